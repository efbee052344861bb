// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cmd/controller_options.hpp"

namespace egw::cmd {

// Runs the controller until SIGTERM or SIGINT. Returns the exit status.
[[nodiscard]] int run_controller(const ControllerSettings& settings);

} // namespace egw::cmd
