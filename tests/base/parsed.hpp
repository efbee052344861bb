// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "base/ip.hpp"

// Texts that are right, as values.
namespace egw {

inline Address addr(std::string_view text) {
  return Address::parse(text).value();
}
inline Prefix cidr(std::string_view text) {
  return Prefix::parse(text).value();
}
inline Range range(std::string_view text) {
  return Range::parse(text).value();
}

} // namespace egw
