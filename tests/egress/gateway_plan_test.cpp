// SPDX-License-Identifier: Apache-2.0
#include "egress/gateway_plan.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/chrono.hpp"
#include "egress/gateway_case.hpp"
#include "egress/policy.hpp"
#include "egress/policy_plan.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;

TEST_CASE("gateway plan: the same input gives the same plan, and a settled one none") {
  GatewayCase c;
  for (int i = 0; i < 20; ++i) c.policy(i % 3 == 0 ? "" : fmt::format("10.0.0.{}", 2 + i));
  const auto first = c.plan(), second = c.plan();
  CHECK(first.status == second.status);
  CHECK(first.allocations == second.allocations);
  std::reverse(c.policies.begin(), c.policies.end());
  CHECK(c.plan().status == first.status);
  c.settle();
  const auto again = c.plan();
  CHECK(again.status == c.gateway.status);
  CHECK(again.moves.empty());
}

TEST_CASE("gateway plan: ids that are used up ask for another block") {
  GatewayCase c;
  for (int i = 0; i < 40; ++i) c.policy(fmt::format("10.0.0.{}", 1 + i));
  auto plan = c.settle();
  CHECK(plan.wants_blocks == 1);
  CHECK(plan.allocations.at(c.policies[39].key()).refusal.reason == "WaitingForId");
  c.in.blocks = {1, 65};
  plan = c.settle();
  CHECK(plan.wants_blocks == 0);
  CHECK(plan.allocations.at(c.policies[39].key()).id == 72);
}

TEST_CASE("gateway plan: at most 1,000 EIPs and 100 names") {
  GatewayCase c;
  c.gateway.spec.ipv4_pool = {"10.0.0.0/16"};
  c.in.blocks.clear();
  for (int i = 0; i < 40; ++i) c.in.blocks.push_back(1 + 32 * i);
  for (int i = 0; i < 1001; ++i) c.policy(fmt::format("10.0.{}.{}", i / 200, 1 + i % 200));
  const auto plan = c.settle();
  CHECK(plan.allocations.at(c.policies[1000].key()).refusal.reason == "GatewayFull");
  std::size_t names = 0, entries = 0;
  for (const auto& n : c.gateway.status.node_list) {
    entries += n.eips.size();
    for (const auto& e : n.eips) names += e.policies.size();
  }
  CHECK(entries == 1000);
  CHECK(names == 100);
  CHECK(c.gateway.status.ip_usage.ipv4_total == 65534);
  CHECK(c.gateway.status.ip_usage.ipv4_free == 64534);
}

TEST_CASE("gateway plan: EIPs stay where they stand, also when others are emptier") {
  GatewayCase c;
  c.in.nodes = {{"node1", api::NodePhase::Ready, false, 0}};
  for (int i = 0; i < 6; ++i) c.policy(fmt::format("10.0.0.{}", 1 + i));
  c.settle();
  c.in.nodes.push_back({"node2", api::NodePhase::Ready, false, 0});
  auto plan = c.settle();
  CHECK(plan.moves.empty());
  CHECK(c.gateway.status.node_list[0].eips.size() == 6);
  // A new one goes to the emptier node.
  c.policy("10.0.0.50");
  c.settle();
  CHECK(c.node_of(6) == "node2");
  // A node that the selector does not match any more gives its own away.
  c.in.nodes.erase(c.in.nodes.begin());
  plan = c.settle();
  CHECK(plan.moves.size() == 6);
  CHECK(plan.moves[0] == Move{"10.0.0.1", "node1", "node2"});
}

TEST_CASE("gateway plan: EIPs of other gateways count") {
  GatewayCase c;
  c.in.nodes[0].eips_elsewhere = 10;
  c.in.nodes[2].eips_elsewhere = 1;
  c.policy("10.0.0.1");
  c.policy("10.0.0.2");
  c.policy("10.0.0.3");
  c.settle();
  CHECK(c.node_of(0) == "node2");
  CHECK(c.node_of(1) == "node2");
  CHECK(c.node_of(2) == "node3");
}

TEST_CASE(
    "gateway plan: a pool that no longer holds an EIP in use keeps it for those who have it") {
  GatewayCase c;
  c.policy("");
  c.settle();
  c.gateway.spec.ipv4_pool = {"10.0.5.1-10.0.5.9"};
  auto plan = c.settle();
  CHECK(plan.allocations.at(c.policies[0].key()).ipv4 == "10.0.0.1");
  c.policy("");
  plan = c.settle();
  CHECK(plan.allocations.at(c.policies[1].key()).ipv4 == "10.0.5.1");
  CHECK(c.gateway.status.ip_usage.ipv4_free == 8);
}

TEST_CASE("gateway plan: a refused gateway gives nothing new and takes nothing away") {
  GatewayCase c;
  c.policy("");
  c.settle();
  c.in.refusal = Refusal{"Invalid", "why"};
  c.policy("10.0.0.9");
  const auto plan = c.settle();
  CHECK(plan.allocations.at(c.policies[0].key()).ipv4 == "10.0.0.1");
  CHECK(plan.allocations.at(c.policies[1].key()).refusal.reason == "Invalid");
  CHECK(api::find_condition(c.gateway.status.conditions, kAccepted)->status == "False");
  CHECK(api::find_condition(c.gateway.status.conditions, kReady)->reason == "Invalid");
}

TEST_CASE("gateway plan: what can't be read is not released") {
  GatewayCase c;
  c.policy("10.0.0.7");
  c.settle();
  c.policies.clear();
  c.in.keep_unused = true;
  CHECK(c.settle().status.node_list[0].eips.size() == 1);
  c.in.keep_unused = false;
  CHECK(c.settle().status.node_list[0].eips.empty());
  REQUIRE(c.gateway.status.resting_ids.size() == 1);
  CHECK(c.gateway.status.resting_ids[0].until == kNow + std::chrono::minutes(5));
  // Time alone makes no write.
  c.in.now = c.in.rest_clock = kNow + std::chrono::hours(1);
  CHECK(c.plan().status == c.gateway.status);
}

TEST_CASE("gateway plan: lost addresses and foreign ids are replaced") {
  GatewayCase c;
  c.policy("");
  c.policy("10.0.0.7");
  c.settle();
  const auto id = c.policies[1].status.eip_id;
  c.in.foreign_ids = {id};
  auto plan = c.settle();
  CHECK(plan.allocations.at(c.policies[1].key()).id != id);
  CHECK(plan.allocations.at(c.policies[1].key()).ipv4 == "10.0.0.7");
  c.in.foreign_ids.clear();
  const auto lost = Address::parse("10.0.0.7").value();
  c.in.lost = {lost};
  c.in.taken = {lost};
  plan = c.settle();
  CHECK(plan.allocations.at(c.policies[1].key()).refusal.reason == "HeldElsewhere");
  CHECK(plan.allocations.at(c.policies[0].key()).ipv4 == "10.0.0.1");
}

TEST_CASE("gateway plan: names alone are cosmetic, a move never") {
  GatewayCase c;
  c.policy("");
  c.settle();
  c.policy("");
  CHECK(c.plan().cosmetic);
  c.settle();
  c.in.nodes[0].phase = api::NodePhase::NodeNotReady;
  CHECK_FALSE(c.plan().cosmetic);
  CHECK(c.plan().moves.size() == 1);
}

TEST_CASE("gateway plan: only cordoned nodes are ready") {
  GatewayCase c;
  for (auto& n : c.in.nodes) n.cordoned = true;
  c.policy("");
  c.settle();
  CHECK(c.gateway.status.unplaced.size() == 1);
  CHECK(api::find_condition(c.gateway.status.conditions, kReady)->reason == "Cordoned");
  c.in.nodes.clear();
  c.settle();
  CHECK(api::find_condition(c.gateway.status.conditions, kReady)->reason == "NoNode");
}

TEST_CASE("gateway plan: who is refused among gateways") {
  std::map<std::string, api::EgressGateway> gateways;
  const auto add = [&](const std::string& name, int age, const std::vector<std::string>& pool) {
    auto& g = gateways[name];
    g.meta.name = name;
    g.meta.created = kNow - std::chrono::hours(age);
    g.spec.ipv4_pool = pool;
    g.spec.node_selector.match_labels = {{"a", "b"}};
  };
  add("old", 3, {"10.0.0.0/24"});
  add("young", 1, {"10.0.0.77"});
  add("other", 2, {"10.0.1.0/24"});
  add("inside", 1, {"10.6.0.5"});
  add("bad", 1, {"nonsense"});
  IntervalSet cluster;
  cluster.add(Prefix::parse("10.6.0.0/16").value());
  const auto refused = refuse_gateways(gateways, {cluster, {}, {}});
  CHECK(refused.size() == 3);
  CHECK(refused.at("young").reason == "PoolOverlap");
  CHECK(refused.at("inside").reason == "PoolInsideCluster");
  CHECK(refused.at("bad").reason == "Invalid");

  CHECK(cluster_default(gateways) == nullptr);
  gateways.at("young").spec.cluster_default = true;
  gateways.at("other").spec.cluster_default = true;
  CHECK(cluster_default(gateways)->meta.name == "other");
}
