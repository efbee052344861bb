// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/ip.hpp"

namespace egw::egress {

// The MAC of a node's tunnel device, from its name, so that it is stable: locally administered
// (66:...). `attempt`: which one, where names share the first.
[[nodiscard]] Mac tunnel_mac(std::string_view node, int attempt = 0);
// A label value for a name: the name itself up to 63 characters, else a prefix and a digest of it.
[[nodiscard]] std::string label_value(std::string_view name);

} // namespace egw::egress
