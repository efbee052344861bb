// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cmd/status_report.hpp"
#include "cmd/tree.hpp"

namespace egw::cmd {

inline constexpr std::size_t kScreenWidth = 100;

// For people: what is wrong first, counted at the top; no line longer than kScreenWidth.
[[nodiscard]] std::string render_table(const StatusReport& report, bool colour);
// For programs: everything.
[[nodiscard]] Tree to_tree(const StatusReport& report);

} // namespace egw::cmd
