// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace egw::test {

// Whether a request's target is the expected one: the same path, each expected parameter there with
// the same decoded value, none there that is expected as "!name".
[[nodiscard]] bool target_fits(std::string_view expected, std::string_view got);

} // namespace egw::test
