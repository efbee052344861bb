// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace egw {

// What `git describe` said of the tree this was built from, such as "v0.1.0-3-g812a7f0-dirty".
[[nodiscard]] std::string_view version();

} // namespace egw
