// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cmd/agent_options.hpp"

namespace egw::cmd {

// Removes every trace of an agent from this node's kernel. Refuses while one runs. Needs no API
// server. Returns the exit status.
[[nodiscard]] int run_cleanup(const AgentSettings& settings);

} // namespace egw::cmd
