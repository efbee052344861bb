// SPDX-License-Identifier: Apache-2.0
#include "egress/controller_core.hpp"

#include <doctest/doctest.h>

#include <string>

#include "egress/harness.hpp"

// What the controller refuses, and what it puts right again.

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;

TEST_CASE("controller: refusals name what is wrong; what was enforced closes") {
  Harness h = cluster();
  h.policy("default", "missing", "nowhere");
  h.policy("default", "outside", "eg1", "10.9.9.9");
  h.policy("default", "none", "");
  h.settle();
  CHECK(h.condition(h.policy("default", "missing").status.conditions, kAccepted) ==
        "False GatewayNotFound");
  CHECK(h.condition(h.policy("default", "missing").status.conditions, kEnforced).empty());
  CHECK(h.condition(h.policy("default", "outside").status.conditions, kAllocated) ==
        "False NotInPool");
  CHECK(h.condition(h.policy("default", "none").status.conditions, kAccepted) ==
        "False NoDefaultGateway");
  CHECK(noticed(h, "PolicyRefused"));

  h.policy("default", "a", "eg1");
  h.settle();
  const auto id = h.policy("default", "a").status.eip_id;
  CHECK(id != 0);
  auto gateway = h.gateway("eg1");
  gateway.spec.scope_namespaces = {"team-a"};
  h.api.put(gateway);
  h.settle();
  const auto closed = h.policy("default", "a").status;
  CHECK(h.condition(closed.conditions, kAccepted) == "False NotInScope");
  CHECK(h.condition(closed.conditions, kEnforced) == "True");
  CHECK(closed.eip_id == 0);
  CHECK(closed.eip_ipv4.empty());
  CHECK(find_entry(h.gateway("eg1").status, id).entry == nullptr);

  gateway = h.gateway("eg1");
  gateway.spec.scope_namespaces.reset();
  gateway.spec.scope_namespace_selector = api::LabelSelector{{{"team", "a"}}, {}};
  h.api.put(gateway);
  h.settle();
  CHECK(h.policy("default", "a").status.eip_id == 0);
  h.ns("default", {{"team", "a"}});
  h.settle();
  CHECK(h.policy("default", "a").status.eip_id != 0);

  h.api.remove({Kind::Gateway, "", "eg1"});
  h.settle();
  CHECK(h.condition(h.policy("default", "a").status.conditions, kAccepted) ==
        "False GatewayNotFound");
  CHECK(h.condition(h.policy("default", "a").status.conditions, kEnforced) == "True");
  CHECK(h.policy("default", "a").status.eip_id == 0);
  const auto* info = h.api.find<api::EgressClusterInfo>(Kind::ClusterInfo, "", "default");
  REQUIRE(info->status.id_blocks.size() == 1);
  CHECK(info->status.id_blocks[0].resting_until > h.now.wall);
}

TEST_CASE(
    "controller: an empty gateway name is filled once, from the namespace, else the cluster") {
  Harness h = cluster();
  h.policy("default", "a", "");
  h.settle();
  auto gateway = h.gateway("eg1");
  gateway.spec.cluster_default = true;
  h.api.put(gateway);
  h.settle();
  CHECK(h.policy("default", "a").spec.gateway == "eg1");
  CHECK(h.policy("default", "a").status.eip_id != 0);

  h.gateway("eg2", {"10.6.3.0/28"});
  h.ns("team", {{api::kLabelNamespaceDefault, "eg2"}});
  h.policy("team", "b", "");
  h.settle();
  CHECK(h.policy("team", "b").spec.gateway == "eg2");
  CHECK(h.policy("team", "b").status.eip_ipv4 == "10.6.3.1");
  CHECK(h.policy("team", "b").status.eip_ipv6.empty());
}

TEST_CASE("controller: of two gateways that claim one address the older wins") {
  Harness h = cluster();
  h.advance(std::chrono::seconds(5));
  h.gateway("eg0", {"10.6.2.15-10.6.2.30"});
  h.settle();
  CHECK(h.condition(h.gateway("eg0").status.conditions, kAccepted) == "False PoolOverlap");
  CHECK(h.condition(h.gateway("eg1").status.conditions, kAccepted) == "True");
  h.policy("default", "a", "eg0");
  h.settle();
  CHECK(h.condition(h.policy("default", "a").status.conditions, kAccepted) ==
        "False GatewayRefused");
  auto gateway = h.gateway("eg0");
  gateway.spec.ipv4_pool = {"10.6.2.20-10.6.2.30"};
  h.api.put(gateway);
  h.settle();
  CHECK(h.policy("default", "a").status.eip_ipv4 == "10.6.2.20");
  // A node's address is no EIP.
  gateway = h.gateway("eg0");
  gateway.spec.ipv4_pool = {"10.6.1.1"};
  h.api.put(gateway);
  h.settle();
  CHECK(h.condition(h.gateway("eg0").status.conditions, kAccepted) == "False PoolInsideCluster");
  CHECK(h.policy("default", "a").status.eip_ipv4 == "10.6.2.20");
}

TEST_CASE("controller: ids and addresses that two entries share are repaired") {
  Harness h = cluster();
  h.advance(std::chrono::seconds(5));
  h.gateway("eg2", {"10.6.3.0/28"});
  h.policy("default", "a", "eg1");
  h.policy("default", "b", "eg2");
  h.settle();
  const auto id = h.policy("default", "a").status.eip_id;
  auto gateway = h.gateway("eg2");
  for (auto& n : gateway.status.node_list) {
    for (auto& e : n.eips) {
      e.id = id;
      e.ipv4 = "10.6.2.10";
    }
  }
  CHECK(h.api.write({WriteVerb::UpdateStatus, gateway, false}).outcome == WriteDone::Outcome::Ok);
  CHECK_FALSE(h.violations().empty());
  h.settle();
  CHECK(h.violations().empty());
  CHECK(h.policy("default", "a").status.eip_id == id);
  CHECK(h.policy("default", "b").status.eip_ipv4 == "10.6.3.1");
  CHECK(h.policy("default", "b").status.eip_id != id);
}

TEST_CASE("controller: EgressClusterInfo is made again with the blocks that are given out") {
  Harness h = cluster();
  h.policy("default", "a", "eg1");
  h.settle();
  const auto blocks =
      h.api.find<api::EgressClusterInfo>(Kind::ClusterInfo, "", "default")->status.id_blocks;
  h.api.remove({Kind::ClusterInfo, "", "default"});
  h.settle();
  const auto* info = h.api.find<api::EgressClusterInfo>(Kind::ClusterInfo, "", "default");
  REQUIRE(info != nullptr);
  CHECK(info->status.id_blocks == blocks);
  // Also by a process that never saw the old one: from the ids in use.
  h.api.remove({Kind::ClusterInfo, "", "default"});
  const auto before = h.policy("default", "a").status.eip_id;
  h.restart(9);
  h.settle();
  info = h.api.find<api::EgressClusterInfo>(Kind::ClusterInfo, "", "default");
  CHECK(info->status.id_blocks == blocks);
  CHECK(h.policy("default", "a").status.eip_id == before);
}

TEST_CASE("controller: duplicate tunnel addresses: the older EgressNode keeps its own") {
  Harness h = cluster();
  h.advance(std::chrono::seconds(5));
  h.node("node4");
  h.settle();
  auto node = h.egress_node("node4");
  const std::string first = h.egress_node("node1").status.tunnel_ipv4;
  node.status.tunnel_ipv4 = first;
  h.api.write({WriteVerb::ApplyStatus, node, false});
  h.settle();
  CHECK(h.egress_node("node1").status.tunnel_ipv4 == first);
  CHECK(h.egress_node("node4").status.tunnel_ipv4 != first);
  CHECK(h.violations().empty());
  h.remove_node("node4");
  h.settle();
  CHECK(h.api.find<api::EgressNode>(Kind::EgressNode, "", "node4") == nullptr);
}

TEST_CASE("controller: a tunnel subnet that overlaps the cluster is refused") {
  ControllerOptions options;
  options.tunnel.v4 = Prefix::parse("10.6.0.0/16").value();
  Harness h(options);
  h.node("node1");
  h.restart(1);
  h.settle();
  CHECK(h.condition(h.egress_node("node1").status.conditions, kAddressesAllocated) ==
        "False SubnetOverlap");
  CHECK(h.egress_node("node1").status.tunnel_ipv4.empty());
}

TEST_CASE("controller: a write that succeeds without effect is not repeated in a loop") {
  Harness h = cluster();
  // An API server that keeps another form of what is written: answers Ok with its own.
  auto insisting = h.egress_node("node1");
  insisting.status.tunnel_mac = "00:00:00:00:00:00";
  std::vector<Event> events;
  int writes = 0;
  for (int i = 0; i < 50; ++i) {
    insisting.meta.resource_version = std::to_string(100000 + i);
    events = one(Upsert{insisting});
    for (int k = 0; k < 10; ++k) {
      auto actions = h.core->step(std::move(events), h.now);
      events.clear();
      for (const Action& action : actions) {
        const auto* write = std::get_if<Write>(&action);
        if (write == nullptr || key_of(write->object).kind != Kind::EgressNode) continue;
        ++writes;
        events.emplace_back(WriteDone{key_of(write->object), WriteDone::Outcome::Ok, insisting});
      }
      if (events.empty()) break;
    }
    h.advance(std::chrono::milliseconds(100));
  }
  CHECK(h.core->counters().fruitless > 0);
  CHECK(writes < 15);
}

TEST_CASE("controller: the taint goes off nodes whose agent is ready, where that is asked for") {
  const auto taints = [](Harness& h, const char* name) {
    return h.api.find<api::Node>(Kind::Node, "", name)->taints;
  };
  const auto tainted = [](Harness& h, const char* name) {
    auto node = *h.api.find<api::Node>(Kind::Node, "", name);
    node.taints = {"a", api::kTaintAgentNotReady, api::kTaintAgentNotReady, "z"}; // two effects
    h.api.put(node);
  };
  for (const bool asked : {false, true}) {
    CAPTURE(asked);
    ControllerOptions options;
    options.remove_taint = asked;
    Harness h(options);
    h.restart(7);
    h.node("n1");
    h.settle();
    tainted(h, "n1");
    h.settle();
    CHECK(taints(h, "n1").size() == 4); // its agent has said nothing yet
    h.agents("False");
    h.settle();
    CHECK(taints(h, "n1").size() == 4);
    h.agents();
    h.settle();
    CHECK(taints(h, "n1").size() == (asked ? 2 : 4));
    tainted(h, "n1"); // by hand, later
    h.settle();
    CHECK(taints(h, "n1").size() == (asked ? 2 : 4));
  }
}
