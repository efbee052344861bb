// SPDX-License-Identifier: Apache-2.0
#include "base/digest.hpp"

#include <openssl/evp.h>

#include <cstddef>
#include <stdexcept>

namespace egw {

std::array<std::uint8_t, 32> sha256(std::string_view data) {
  std::array<std::uint8_t, 32> out{};
  unsigned size = 0;
  if (EVP_Digest(data.data(), data.size(), out.data(), &size, EVP_sha256(), nullptr) != 1 ||
      size != out.size()) {
    throw std::runtime_error("libcrypto has no SHA-256");
  }
  return out;
}

std::string short_digest(std::string_view data) {
  constexpr std::size_t digits = 20;
  constexpr std::string_view hex = "0123456789abcdef";
  const auto full = sha256(data);
  std::string out;
  out.reserve(digits);
  for (std::size_t i = 0; i < digits / 2; ++i) {
    out += hex[full[i] >> 4U];
    out += hex[full[i] & 0xfU];
  }
  return out;
}

} // namespace egw
