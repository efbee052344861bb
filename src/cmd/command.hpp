// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace CLI {
class App;
} // namespace CLI

namespace egw::cmd {

// What the command line asks for: set by the subcommand that was named. Returns the exit status.
using Run = std::function<int()>;

// Each adds its subcommand with its options; see app.cpp.
void add_agent(CLI::App& app, Run& run);
void add_controller(CLI::App& app, Run& run);
void add_ctl(CLI::App& app, Run& run);

} // namespace egw::cmd
