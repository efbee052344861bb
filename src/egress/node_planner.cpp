// SPDX-License-Identifier: Apache-2.0
#include "egress/node_planner.hpp"

#include <utility>

#include "egress/cluster.hpp"
#include "egress/lookup.hpp"
#include "egress/node_ranges.hpp"
#include "egress/plan_memory.hpp"
#include "egress/plan_update.hpp"
#include "egress/ruleset.hpp"

namespace egw::egress {

NodePlanner::NodePlanner() = default;
NodePlanner::~NodePlanner() = default;

std::shared_ptr<const NodePlan> NodePlanner::plan(const AgentWorld& world, const net::Host& host,
                                                  const Marks& previous, const NodeOptions& options,
                                                  const WorldChanges& changes,
                                                  const net::State& kernel) {
  // Where nodes are merged, the routes follow the pods.
  const bool simple = memory_ && !changes.everything && memory_->natural && !memory_->blind &&
                      host == memory_->host && previous == last_->marks &&
                      last_->problems.empty() && !last_->disputed &&
                      !world.cluster.status.pod_cidr.contains(kAllNodes);
  // Of no use any more if this fails halfway.
  auto memory = std::move(memory_);
  partial_ = false;
  if (simple) {
    auto plan = std::make_shared<NodePlan>(*last_);
    partial_ = update_plan(*memory, *plan, options, changes);
    if (partial_) {
      last_ = std::move(plan);
      memory_ = std::move(memory);
      return last_;
    }
  }
  memory.reset();
  NodePlan made = plan_node(world, host, previous, options);
  for (auto& [family, table] : made.state.tables) {
    if (const auto* is = lookup(kernel.tables, family)) keep_sizes(*is, table);
  }
  last_ = std::make_shared<const NodePlan>(std::move(made));
  memory_ = std::make_unique<PlanMemory>(world, host, options, *last_);
  return last_;
}

} // namespace egw::egress
