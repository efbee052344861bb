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
#include "egress/policy_index.hpp"
#include "egress/ruleset.hpp"

// Which pods a node's ruleset knows, and the class of each: the ordered list of policies that hold
// for it. Pods whose policies decide alike share a class.
namespace egw::egress {

struct KnownPods {
  SharedMap<std::uint32_t, std::shared_ptr<const PodClass>> classes;
  // In order of addresses: each with its class id; and pods of other nodes, whose policies have an
  // EIP here, with the name of their node as it stands in the world.
  std::vector<std::pair<Address, std::uint32_t>> pods;
  std::vector<std::pair<Address, const std::string*>> remote;
  std::map<std::int32_t, std::size_t> eips; // ids that the classes refer to -> by how many
  std::vector<Address> unselected;          // of pods of this node that are in no class, in order
  std::size_t starting = 0; // pods of this node that will be in one and have no address yet
  bool disputed = false;    // see NodePlan
  std::vector<std::string> warnings;
};

[[nodiscard]] KnownPods select_pods(const AgentWorld& world, const Places& places);

// --- the parts of it, for those who look at some pods alone --------------------------------------

using Policies = std::vector<const CompiledPolicy*>; // in the order of before()
void put_in_order(Policies& policies);               // each once
// Of a pod without an address those that will hold for it.
[[nodiscard]] Policies policies_of(const LocalPods::value_type& pod, const AgentWorld& world,
                                   const PolicyIndex<const CompiledPolicy>& index);

struct ClassOfPolicies {
  std::string digest; // of all that the class decides
  std::vector<PolicyRule> rules;
};
[[nodiscard]] ClassOfPolicies class_of(const Policies& policies, const AgentWorld& world,
                                       const Places& places);
[[nodiscard]] PodClass pod_class(const ClassOfPolicies& of);
// What a class with this digest has unless another class has it.
[[nodiscard]] std::uint32_t natural_id(const std::string& digest);
// EIPs that a class refers to, each once.
[[nodiscard]] std::set<std::int32_t> eips_of(const PodClass& pod_class);
// Whether the pod counts at all.
[[nodiscard]] inline bool has_own_addresses(const LocalPod& pod) {
  return !pod.host_network && !pod.ended;
}

} // namespace egw::egress
