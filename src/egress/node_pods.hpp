// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "egress/node_places.hpp"
#include "egress/node_plan.hpp"
#include "egress/ruleset.hpp"

// Which pods a node's ruleset knows, and the class of each: the ordered list of policies that hold
// for it. Pods whose policies decide alike share a class.
namespace egw::egress {

struct NodePods {
  std::map<std::uint32_t, PodClass> classes;
  std::vector<std::pair<Address, std::uint32_t>> pods;                  // in order of addresses
  std::vector<std::shared_ptr<const std::vector<api::PolicyKey>>> keys; // of each pod
  std::map<Address, std::string>
      remote;                      // pods of other nodes -> node; their policies have an EIP here
  std::set<std::int32_t> eips;     // ids that the classes refer to
  std::vector<Address> unselected; // of pods of this node that are in no class, in order
  std::size_t starting = 0;        // pods of this node that will be in one and have no address yet
  std::vector<std::string> warnings;
};

[[nodiscard]] NodePods select_pods(const AgentWorld& world, const Places& places);

} // namespace egw::egress
