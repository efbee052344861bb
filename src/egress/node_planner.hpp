// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "egress/node_plan.hpp"

namespace egw::egress {

// What became another one in an AgentWorld. A pod, policy or slice that changes there becomes a new
// node of its map, and the old one is kept here, so that the same address always means the same
// value.
struct WorldChanges {
  using PoliciesByKey = std::map<api::PolicyKey, CompiledPolicy>;
  using Slices = std::map<api::NamespacedName, RemotePods>;

  bool everything = false; // or something else than the following
  std::set<api::NamespacedName> pods;
  std::set<api::PolicyKey> policies;
  std::set<api::NamespacedName> slices;
  std::vector<LocalPods::node_type> old_pods;
  std::vector<PoliciesByKey::node_type> old_policies;
  std::vector<Slices::node_type> old_slices;
  // Gateways of which the status alone changed, as they were.
  std::map<std::string, api::EgressGateway> old_gateways;
};

struct PlanMemory;

// Makes plans of one world as it changes. Each is what plan_node() makes of the same input; where
// only a few of them changed, what the last plan was made of is looked at there alone.
// Whatever is not that simple is planned from the beginning.
class NodePlanner {
 public:
  NodePlanner();
  ~NodePlanner();
  NodePlanner(const NodePlanner&) = delete;
  NodePlanner& operator=(const NodePlanner&) = delete;
  NodePlanner(NodePlanner&&) = delete;
  NodePlanner& operator=(NodePlanner&&) = delete;

  // `world` is the same object each time, and `changes` all of what changed there in between; sets
  // keep the room that they have in `kernel`, where it does.
  [[nodiscard]] std::shared_ptr<const NodePlan> plan(const AgentWorld& world, const net::Host& host,
                                                     const Marks& previous,
                                                     const NodeOptions& options,
                                                     const WorldChanges& changes,
                                                     const net::State& kernel = {});
  // Whether the last plan was made from the one before; for tests and measurements.
  [[nodiscard]] bool was_partial() const { return partial_; }

 private:
  std::shared_ptr<const NodePlan> last_;
  std::unique_ptr<PlanMemory> memory_;
  bool partial_ = false;
};

} // namespace egw::egress
