// SPDX-License-Identifier: Apache-2.0
#include "egress/names.hpp"

#include <algorithm>

#include "base/digest.hpp"

namespace egw::egress {

Mac tunnel_mac(std::string_view node, int attempt) {
  std::string text = std::string("egw tunnel ").append(node);
  if (attempt > 0) text += " " + std::to_string(attempt);
  const auto digest = sha256(text);
  Mac mac;
  mac.bytes[0] = 0x66; // locally administered, unicast
  std::copy_n(digest.begin(), mac.bytes.size() - 1, mac.bytes.begin() + 1);
  return mac;
}

std::string label_value(std::string_view name) {
  // https://kubernetes.io/docs/concepts/overview/working-with-objects/labels: at most 63
  // characters, the first and the last alphanumeric.
  constexpr std::size_t kMax = 63;
  if (name.size() <= kMax) return std::string(name);
  const std::string digest = short_digest(name);
  return std::string(name.substr(0, kMax - 1 - digest.size())) + "-" + digest;
}

} // namespace egw::egress
