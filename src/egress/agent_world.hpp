// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "egress/agent_io.hpp"
#include "egress/node_planner.hpp"

namespace egw::egress::agent {

// What the API server said, reduced to what a plan is made of: an object whose other fields changed
// changes nothing here, and costs nothing.
class Store {
 public:
  explicit Store(std::string node) { world_.node = std::move(node); }

  // Each returns whether a plan may be another one now. Events that are no objects return false.
  template <class E>
  bool take(const E&) {
    return false;
  }
  bool take(Listed<api::EgressGateway>& e);
  bool take(Changed<api::EgressGateway>& e);
  bool take(Gone<api::EgressGateway>& e);
  bool take(Listed<api::EgressNode>& e);
  bool take(Changed<api::EgressNode>& e);
  bool take(Gone<api::EgressNode>& e);
  bool take(Listed<api::Namespace>& e);
  bool take(Changed<api::Namespace>& e);
  bool take(Gone<api::Namespace>& e);
  bool take(Listed<api::Pod>& e);
  bool take(Changed<api::Pod>& e);
  bool take(Gone<api::Pod>& e);
  bool take(Listed<api::EgressClusterInfo>& e);
  bool take(Changed<api::EgressClusterInfo>& e);
  bool take(PoliciesListed& e);
  bool take(Changed<api::EgressPolicy>& e);
  bool take(PolicyGone& e);
  bool take(SlicesListed& e);
  bool take(SliceChanged& e);
  bool take(SliceGone& e);

  [[nodiscard]] const AgentWorld& world() const { return world_; }
  void stay_closed(bool closed) { world_.stay_closed = closed; }
  // Since the last call.
  [[nodiscard]] WorldChanges take_changes() { return std::exchange(changes_, {}); }
  [[nodiscard]] const std::optional<api::EgressNode>& own_node() const { return own_; }

  // Gateways whose nodes are chosen so that this one may serve them: their slices are wanted.
  [[nodiscard]] std::set<std::string> gateways_here() const;
  // Slices of other gateways are forgotten. Returns whether there were any.
  bool keep_slices_of(const std::set<std::string>& gateways);
  // What a plan still lacks, slices of `gateways` included: names for people; empty when complete.
  [[nodiscard]] std::vector<std::string> missing(const std::set<std::string>& gateways) const;

 private:
  bool put(api::EgressGateway gateway);
  bool put(api::EgressNode node);
  bool put(api::EgressClusterInfo info);
  bool put(const api::EgressPolicy& policy);
  bool put(const SliceScope& scope, const api::EgressEndpointSlice& slice);
  bool put(const api::Pod& pod);
  bool forget(const api::NamespacedName& pod);
  bool forget(const api::PolicyKey& policy);
  bool forget_slice(const api::NamespacedName& slice);
  [[nodiscard]] static WorldChanges all() {
    WorldChanges changes;
    changes.everything = true;
    return changes;
  }
  bool other(bool changed) { // than pods, policies and slices
    changes_.everything = changes_.everything || changed;
    return changed;
  }

  AgentWorld world_;
  WorldChanges changes_ = all();
  std::optional<api::EgressNode> own_;
  std::set<std::string> lists_; // kinds that had a list
  std::set<SliceScope> slice_lists_;
};

} // namespace egw::egress::agent
