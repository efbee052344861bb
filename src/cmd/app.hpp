// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace egw::cmd {

// The command line of egw. Exit status: 0 done, 1 it failed or something is not right, 2 wrong
// usage.
[[nodiscard]] int run(int argc, char** argv);

} // namespace egw::cmd
