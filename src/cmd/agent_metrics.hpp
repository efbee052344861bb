// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "cmd/agent_guard.hpp"
#include "cmd/agent_watches.hpp"
#include "cmd/metrics.hpp"
#include "egress/agent_core.hpp"
#include "k8s/metrics.hpp"

namespace egw::cmd {

// What the wiring counts. Of the core thread alone.
struct AgentStats {
  Histogram turns, looks, applies;
  std::uint64_t refusals = 0, forgotten = 0, announced = 0, reports = 0, report_failures = 0;
  std::uint64_t insert_failures = 0; // of the node, as the kernel counts them
};

// All metrics of an agent.
[[nodiscard]] std::string metrics_text(const egress::AgentCore& core, const AgentStats& stats,
                                       const AgentGuard& guard, const k8s::ClientMetrics& client,
                                       const AgentWatches& watches);

} // namespace egw::cmd
