// SPDX-License-Identifier: Apache-2.0
#include "egress/controller_core.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>

#include "egress/harness.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;

namespace {

std::size_t count(const std::vector<Write>& writes, Kind kind) {
  return static_cast<std::size_t>(
      std::ranges::count_if(writes, [&](const Write& w) { return key_of(w.object).kind == kind; }));
}

std::string node_of(const Harness& h, std::int32_t id, const std::string& gateway = "eg1") {
  return find_entry(h.gateway(gateway).status, id).node;
}

} // namespace

TEST_CASE("controller: nothing is written before every list has come and leadership is held") {
  Harness h;
  h.node("node1");
  h.gateway("eg1", {"10.6.2.10"});
  ControllerCore core({});
  auto lists = h.api.lists();
  CHECK(core.step(one(LeaderChanged{1}), h.now).empty());
  for (std::size_t i = 0; i + 1 < lists.size(); ++i) CHECK(core.step(one(lists[i]), h.now).empty());
  CHECK_FALSE(core.active());
  CHECK_FALSE(core.step(one(lists.back()), h.now).empty());
  CHECK(core.active());

  ControllerCore standby({});
  CHECK(standby.step(lists, h.now).empty());
  CHECK_FALSE(standby.step(one(LeaderChanged{1}), h.now).empty());
  CHECK(standby.step(one(LostLeadership{}), h.now).empty());
  CHECK(standby.step(one(Upsert{h.api.objects().begin()->second}), h.now).empty());
}

TEST_CASE("controller: an EgressNode for every Node, EgressClusterInfo, and then silence") {
  Harness h = cluster();
  CHECK(h.egress_node("node1").status.tunnel_ipv4.starts_with("172.31."));
  CHECK(h.egress_node("node1").status.tunnel_ipv6.starts_with("fd11::"));
  CHECK(h.egress_node("node1").status.phase == api::NodePhase::Ready);
  CHECK(h.egress_node("node1").meta.labels.find(api::kLabelGatewayNode).has_value());
  const auto* info = h.api.find<api::EgressClusterInfo>(Kind::ClusterInfo, "", "default");
  REQUIRE(info != nullptr);
  CHECK(info->status.node_ip.size() == 3);
  CHECK(info->status.id_blocks.size() == 1);
  CHECK(h.gateway("eg1").status.node_list.size() == 3);
  CHECK(h.gateway("eg1").status.term == 7);
  CHECK(h.condition(h.gateway("eg1").status.conditions, kReady) == "True");

  const auto before = h.history.size();
  h.advance(std::chrono::hours(24));
  h.settle();
  CHECK(h.history.size() == before);
  // A Node's heartbeat is no news.
  auto node = *h.api.find<api::Node>(Kind::Node, "", "node1");
  node.meta.annotations.set("heartbeat", "1");
  h.api.put(node);
  const auto planned = h.core->counters().nodes;
  CHECK(h.settle() == 0);
  CHECK(h.core->counters().nodes == planned);
}

TEST_CASE(
    "controller: a policy gets the default EIP, a second one shares it, the last releases it") {
  Harness h = cluster();
  h.pod("default", "web-1", "node1", "10.244.0.5");
  h.policy("default", "a", "eg1");
  h.settle();
  const auto a = h.policy("default", "a").status;
  CHECK(a.eip_ipv4 == "10.6.2.10");
  CHECK(a.eip_ipv6 == "fd00::10");
  CHECK(a.eip_id >= 1);
  CHECK_FALSE(a.node.empty());
  CHECK(a.node == node_of(h, a.eip_id));
  CHECK(h.condition(a.conditions, kEnforced) == "True");
  CHECK(h.condition(a.conditions, kReady) == "True");
  CHECK(noticed(h, "Allocated"));

  h.policy("default", "b", "eg1");
  h.settle();
  CHECK(h.policy("default", "b").status.eip_id == a.eip_id);
  REQUIRE(find_entry(h.gateway("eg1").status, a.eip_id).entry->policies.size() == 2);
  CHECK(h.gateway("eg1").status.ip_usage == api::IpUsage{10, 9, 10, 9});

  const auto slices = h.core->world().slices_of({api::PolicyKind::EgressPolicy, "default", "a"});
  REQUIRE(slices.size() == 1);
  const auto& slice = h.core->world().slices.at(*slices.begin());
  CHECK(slice.endpoints.size() == 1);
  CHECK(*slice.meta.labels.find(api::kLabelGateway) == "eg1");

  h.api.remove({Kind::Policy, "default", "a"});
  h.settle();
  CHECK(find_entry(h.gateway("eg1").status, a.eip_id).entry != nullptr);
  h.api.remove({Kind::Policy, "default", "b"});
  h.settle();
  CHECK(find_entry(h.gateway("eg1").status, a.eip_id).entry == nullptr);
  REQUIRE(h.gateway("eg1").status.resting_ids.size() == 1);
  CHECK(h.gateway("eg1").status.resting_ids[0].id == a.eip_id);
  CHECK(h.core->world().slices.empty());

  // The id rests, then is used again.
  h.policy("default", "c", "eg1");
  h.settle();
  CHECK(h.policy("default", "c").status.eip_id != a.eip_id);
  h.advance(std::chrono::minutes(6));
  h.policy("default", "d", "eg1", "10.6.2.15");
  h.settle();
  CHECK(h.policy("default", "d").status.eip_id == a.eip_id);
  CHECK(h.gateway("eg1").status.resting_ids.empty());
}

TEST_CASE("controller: a lost node's EIPs spread over the others in one write, none comes back") {
  Harness h = cluster();
  for (int i = 0; i < 6; ++i) {
    h.policy("default", fmt::format("p{}", i), "eg1", fmt::format("10.6.2.{}", 11 + i));
  }
  h.settle();
  std::map<std::string, int> held;
  for (int i = 0; i < 6; ++i) ++held[h.policy("default", fmt::format("p{}", i)).status.node];
  CHECK(held == std::map<std::string, int>{{"node1", 2}, {"node2", 2}, {"node3", 2}});

  std::map<int, std::string> before;
  for (int i = 0; i < 6; ++i) {
    const auto& status = h.policy("default", fmt::format("p{}", i)).status;
    before[status.eip_id] = status.node;
  }
  h.history.clear();
  h.node("node2", false);
  h.settle();
  CHECK(count(h.history, Kind::Gateway) == 1);
  const auto write = std::ranges::find_if(
      h.history, [](const Write& w) { return key_of(w.object).kind == Kind::Gateway; });
  REQUIRE(write != h.history.end());
  CHECK(write->failover);
  held.clear();
  for (int i = 0; i < 6; ++i) {
    const auto& status = h.policy("default", fmt::format("p{}", i)).status;
    ++held[status.node];
    if (before.at(status.eip_id) != "node2") CHECK(status.node == before.at(status.eip_id));
  }
  CHECK(held == std::map<std::string, int>{{"node1", 3}, {"node3", 3}});
  CHECK(h.egress_node("node2").status.phase == api::NodePhase::NodeNotReady);
  CHECK(noticed(h, "EIPMoved"));

  h.node("node2", true);
  h.settle();
  for (const auto& n : h.gateway("eg1").status.node_list) {
    CHECK(n.status == "Ready");
    if (n.name == "node2") CHECK(n.eips.empty());
  }
  // A cordoned node keeps what it has and gets nothing new.
  h.node("node1", true, true);
  h.node("node2", true, true);
  h.settle();
  h.policy("default", "late", "eg1");
  h.settle();
  CHECK(h.policy("default", "late").status.node == "node3");
  CHECK(held["node1"] == 3);
}

TEST_CASE("controller: no ready node leaves EIPs unplaced, and they come back as they were") {
  Harness h = cluster();
  h.policy("default", "a", "eg1");
  h.settle();
  const auto id = h.policy("default", "a").status.eip_id;
  for (const char* name : {"node1", "node2", "node3"}) h.node(name, false);
  h.settle();
  CHECK(h.gateway("eg1").status.unplaced.size() == 1);
  CHECK(h.condition(h.gateway("eg1").status.conditions, kReady) == "False NoReadyNode");
  CHECK(h.policy("default", "a").status.node.empty());
  CHECK(h.policy("default", "a").status.eip_id == id);
  CHECK(h.condition(h.policy("default", "a").status.conditions, kReady) == "False NoReadyNode");
  CHECK(noticed(h, "NoReadyNode"));
  h.node("node2", true);
  h.settle();
  CHECK(h.policy("default", "a").status.node == "node2");
  CHECK(h.policy("default", "a").status.eip_id == id);
  CHECK(h.gateway("eg1").status.unplaced.empty());
}

TEST_CASE("controller: an agent that says its datapath is broken holds nothing") {
  Harness h = cluster();
  h.policy("default", "a", "eg1");
  h.settle();
  const std::string holder = h.policy("default", "a").status.node;
  h.api.agent(holder, "False", {"eth0", "10.6.1.1", ""});
  h.settle();
  CHECK(h.egress_node(holder).status.phase == api::NodePhase::Failed);
  CHECK(h.policy("default", "a").status.node != holder);
  // Nor one that claims an underlay address that is not its Node's.
  const std::string second = h.policy("default", "a").status.node;
  h.api.agent(second, "True", {"eth0", "10.6.1.99", ""});
  h.settle();
  CHECK(h.condition(h.egress_node(second).status.conditions, kReady) == "False ForeignParent");
  CHECK(h.policy("default", "a").status.node != second);
}

TEST_CASE(
    "controller: a new leader writes its term and moves nothing, in whatever order lists come") {
  Harness h = cluster();
  for (int i = 0; i < 5; ++i) {
    h.policy("default", fmt::format("p{}", i), "eg1", fmt::format("10.6.2.{}", 11 + i));
  }
  h.policy("default", "d", "eg1");
  h.settle();
  const auto before = h.gateway("eg1").status;
  for (unsigned seed = 0; seed < 5; ++seed) {
    h.restart(8 + seed, seed);
    h.history.clear();
    h.settle();
    const auto& after = h.gateway("eg1").status;
    CHECK(after.node_list == before.node_list);
    CHECK(after.term == 8 + seed);
    CHECK(h.history.size() == 1);
  }
  // A Lease that was deleted starts at 1 again: the term goes on nevertheless.
  h.restart(1);
  h.settle();
  CHECK(h.gateway("eg1").status.term == 13);
  // And a leader that sees a higher one resigns and writes no more.
  auto other = h.gateway("eg1");
  other.status.term = 20;
  h.api.write({WriteVerb::UpdateStatus, other, false});
  h.settle();
  CHECK(h.resigned == 1);
  CHECK_FALSE(h.core->active());
}

TEST_CASE("controller: the allocation is found again when the policy's status was never written") {
  Harness h = cluster();
  h.policy("default", "a", "eg1");
  h.policy("default", "b", "eg1", "10.6.2.17");
  h.settle();
  const auto before = h.gateway("eg1").status.node_list;
  for (const char* name : {"a", "b"}) {
    auto policy = h.policy("default", name);
    policy.status = {};
    CHECK(h.api.write({WriteVerb::UpdateStatus, policy, false}).outcome == WriteDone::Outcome::Ok);
  }
  h.restart(8);
  h.settle();
  CHECK(h.gateway("eg1").status.node_list == before);
  CHECK(h.policy("default", "b").status.eip_ipv4 == "10.6.2.17");
}

TEST_CASE("controller: a slice at once, then at most two batches a second") {
  Harness h = cluster();
  h.policy("default", "a", "eg1");
  h.settle();
  h.advance(std::chrono::minutes(1));
  h.history.clear();
  const Time start = h.now.steady;
  for (int i = 0; i < 200; ++i) {
    h.pod("default", fmt::format("w{}", i), "node1", fmt::format("10.244.1.{}", i + 1));
    h.pump();
    if (i == 0) CHECK(count(h.history, Kind::Slice) == 1);
    h.advance(std::chrono::milliseconds(10));
  }
  h.settle();
  const auto seconds = std::chrono::duration<double>(h.now.steady - start).count();
  CHECK(seconds < 4);
  CHECK(count(h.history, Kind::Slice) <= 3 + 2 * static_cast<std::size_t>(seconds + 1) + 2);
  std::size_t endpoints = 0;
  for (const auto& [name, slice] : h.core->world().slices) endpoints += slice.endpoints.size();
  CHECK(endpoints == 200);
  // Another pod's annotation is no reason to write.
  h.history.clear();
  h.pod("default", "other", "node1", "10.244.9.9", "db");
  CHECK(h.settle() == 0);
}

TEST_CASE("controller: churn that goes on costs two slice writes a second") {
  Harness h = cluster();
  h.policy("default", "a", "eg1");
  for (int i = 0; i < 1000; ++i) {
    h.pod("default", fmt::format("w{:04}", i), "node1",
          fmt::format("10.244.{}.{}", i / 200, i % 200));
  }
  h.settle();
  h.advance(std::chrono::minutes(1));
  h.history.clear();
  const Time start = h.now.steady;
  for (int i = 0; i < 6000; ++i) { // a minute of it: one goes and one comes, anywhere
    h.api.remove({Kind::Pod, "default", fmt::format("w{:04}", (i * 7) % 1000 + i / 1000 * 1000)});
    h.pod("default", fmt::format("w{:04}", 1000 + i), "node2",
          fmt::format("10.244.{}.{}", 10 + i / 200, i % 200));
    h.pump();
    h.advance(std::chrono::milliseconds(10));
  }
  const auto seconds = std::chrono::duration<double>(h.now.steady - start).count();
  CHECK(seconds == 60);
  CHECK(count(h.history, Kind::Slice) <= 2 * 60 + 20 + 1); // and what a rest gives
  h.settle();
  CHECK(h.now.steady - start < std::chrono::seconds(120));
}

TEST_CASE("controller: a status tells which policies come first, without haste") {
  Harness h = cluster();
  h.pod("default", "pod1", "node1", "10.244.1.1");
  h.policy("default", "a", "eg1");
  h.settle();
  CHECK(h.condition(h.policy("default", "a").status.conditions, kOverlapped).empty());
  h.history.clear();
  h.policy("default", "first", "eg1", "", "web",
           [](api::PolicySpec& spec) { spec.priority = 100; });
  h.settle();
  CHECK(h.condition(h.policy("default", "a").status.conditions, kOverlapped) == "True");
  CHECK(h.condition(h.policy("default", "first").status.conditions, kOverlapped).empty());
  h.api.remove({Kind::Policy, "default", "first"});
  h.settle();
  CHECK(h.condition(h.policy("default", "a").status.conditions, kOverlapped).empty());

  // One that comes before thirty others: twenty writes a second.
  for (int i = 0; i < 29; ++i) h.policy("default", fmt::format("p{}", i), "eg1");
  h.settle();
  h.history.clear();
  const Time start = h.now.steady;
  h.policy("default", "first", "eg1", "", "web",
           [](api::PolicySpec& spec) { spec.priority = 100; });
  h.settle();
  const auto seconds = std::chrono::duration<double>(h.now.steady - start).count();
  CHECK(seconds >= 1.4);
  CHECK(count(h.history, Kind::Policy) <= 32);
}
