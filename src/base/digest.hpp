// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace egw {

// SHA-256 (FIPS 180-4): names that are made from content must not collide, not even on purpose.
[[nodiscard]] std::array<std::uint8_t, 32> sha256(std::string_view data);
// The first 20 hexadecimal digits (80 bits) of it, for names of sets, chains and objects.
[[nodiscard]] std::string short_digest(std::string_view data);

} // namespace egw
