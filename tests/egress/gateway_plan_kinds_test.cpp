// SPDX-License-Identifier: Apache-2.0
// Ways to get an EIP: in turn, the node's own, pairs that are completed; and what a new leader
// finds of them.
#include <doctest/doctest.h>

#include <set>

#include "egress/gateway_case.hpp"
#include "egress/policy_plan.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;

namespace {

std::set<std::int32_t> ids(const GatewayPlan& plan) {
  std::set<std::int32_t> found;
  for (const auto& [key, allocation] : plan.allocations) found.insert(allocation.id);
  return found;
}

} // namespace

TEST_CASE("gateway plan: rr gives each policy an EIP of its own until there is none left") {
  GatewayCase c;
  c.gateway.spec.ipv4_pool = {"10.0.0.1-10.0.0.4"};
  for (int i = 0; i < 4; ++i) c.policy_in_turn();
  auto plan = c.settle();
  CHECK(ids(plan).size() == 4);
  // Those that come later share, and the EIPs that are there stay where they are.
  for (int i = 0; i < 4; ++i) c.policy_in_turn();
  plan = c.settle();
  CHECK(ids(plan).size() == 4);
  CHECK(plan.moves.empty());
  std::map<std::int32_t, int> users;
  for (const auto& [key, allocation] : plan.allocations) ++users[allocation.id];
  for (const auto& [id, count] : users) CHECK(count == 2);
  // One that becomes free is taken again, under a new id: the old one rests.
  const auto freed = c.policies[0].status.eip_id;
  c.policies.erase(c.policies.begin() + 4, c.policies.end());
  c.policies.erase(c.policies.begin());
  c.settle();
  c.policy_in_turn();
  plan = c.settle();
  CHECK(ids(plan).size() == 4);
  CHECK_FALSE(ids(plan).contains(freed));
}

TEST_CASE("gateway plan: useNodeIP takes an entry for each ready node, and moves like an EIP") {
  GatewayCase c;
  c.gateway.spec.ipv4_pool.clear();
  for (int i = 0; i < 7; ++i) c.policy_of_node();
  auto plan = c.settle();
  CHECK(ids(plan).size() == 3);
  std::set<std::string> nodes;
  for (std::size_t i = 0; i < 3; ++i) nodes.insert(c.node_of(i));
  CHECK(nodes.size() == 3);
  CHECK(c.settle().moves.empty());

  const std::string lost = c.node_of(1);
  std::vector<std::string> before;
  for (std::size_t i = 0; i < c.policies.size(); ++i) before.push_back(c.node_of(i));
  c.phase(lost, api::NodePhase::NodeNotReady);
  plan = c.settle();
  CHECK(plan.moves.size() == 1);
  for (std::size_t i = 0; i < c.policies.size(); ++i) {
    if (before[i] != lost) CHECK(c.node_of(i) == before[i]);
    CHECK(c.node_of(i) != lost);
  }
  // The node that comes back takes nothing back.
  c.phase(lost, api::NodePhase::Ready);
  CHECK(c.settle().moves.empty());
}

TEST_CASE("gateway plan: EIPs get an address of the family that the gateway gets") {
  GatewayCase c;
  c.policy("");
  c.policy("10.0.0.7");
  c.policy_of_node();
  c.settle();
  const auto first = c.policies[0].status.eip_id;
  c.gateway.spec.ipv6_pool = {"fd00::1-fd00::2"};
  auto plan = c.settle();
  CHECK(plan.allocations.at(c.policies[0].key()).id == first); // the same mark on connections
  CHECK(plan.allocations.at(c.policies[0].key()).ipv6 == "fd00::1");
  CHECK(plan.allocations.at(c.policies[1].key()).ipv6 == "fd00::2");
  CHECK(plan.allocations.at(c.policies[2].key()).ipv6.empty());
  CHECK(c.settle().moves.empty());
  // With no address left a new EIP is refused, and one that is there stays as it is.
  c.gateway.spec.ipv4_pool = {"10.0.0.1-10.0.0.99"};
  c.policy("10.0.0.9");
  plan = c.settle();
  CHECK(plan.allocations.at(c.policies[3].key()).refusal.reason == "PoolExhausted");
}

TEST_CASE("gateway plan: a new leader finds the EIP of a policy whose status was not written") {
  GatewayCase c;
  c.policy_in_turn();
  c.policy_in_turn();
  c.policy_of_node();
  c.policy("10.0.0.50");
  auto before = c.settle();
  for (auto& policy : c.policies) policy.status.eip_id = 0; // lost with the old leader
  const auto after = c.plan();
  CHECK(after.status == c.gateway.status);
  CHECK(ids(after) == ids(before));
  // One policy's EIP is not given to another, where one can't be read.
  c.in.keep_unused = true;
  const auto held = ids(before);
  c.policies.erase(c.policies.begin() + 1, c.policies.end());
  const auto careful = c.plan();
  CHECK_FALSE(held.contains(careful.allocations.at(c.policies[0].key()).id));
}

TEST_CASE("gateway plan: ids that run out in the whole cluster are told with the remedy") {
  GatewayCase c;
  c.in.blocks.clear();
  c.in.ids_exhausted = true;
  c.policy("");
  const auto plan = c.settle();
  CHECK(plan.allocations.at(c.policies[0].key()).refusal.reason == "IdsExhausted");
  CHECK(plan.wants_blocks == 1);
}

TEST_CASE("gateway plan: policies that share an EIP ask for one id together") {
  GatewayCase c;
  c.in.blocks.clear();
  for (int i = 0; i < 100; ++i) c.policy("");
  CHECK(c.settle().wants_blocks == 1);
  for (int i = 0; i < 70; ++i) c.policy_in_turn();
  CHECK(c.settle().wants_blocks == 3); // 71 EIPs
}
