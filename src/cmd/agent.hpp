// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cmd/agent_options.hpp"

namespace egw::cmd {

// Runs the agent until SIGTERM or SIGINT, which leave the datapath standing. Returns the exit
// status.
[[nodiscard]] int run_agent(const AgentSettings& settings);

} // namespace egw::cmd
