// SPDX-License-Identifier: Apache-2.0
// A kind that the controller may not read: what depends on it stays as it is, the rest goes on, and
// a condition says what is missing.
#include <doctest/doctest.h>

#include <string>

#include "egress/cluster_info.hpp"
#include "egress/harness.hpp"
#include "egress/policy.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;

namespace {

std::string watching(const Harness& h) {
  const auto* info = h.api.find<api::EgressClusterInfo>(Kind::ClusterInfo, "", "default");
  return info == nullptr ? "" : h.condition(info->status.conditions, kWatching);
}

} // namespace

TEST_CASE("controller: without pods everything but endpoint slices works") {
  Harness h = cluster();
  h.pod("default", "pod1", "node1", "10.244.1.1");
  h.policy("default", "before", "eg1");
  h.settle();
  h.restart_without({Kind::Pod}, 9);
  h.policy("default", "a", "eg1", "10.6.2.11");
  h.settle();
  CHECK(h.condition(h.policy("default", "a").status.conditions, kReady) == "True");
  CHECK(watching(h) == "False Refused");
  std::size_t slices = 0;
  for (const auto& [key, object] : h.api.objects()) slices += key.kind == Kind::Slice;
  CHECK(slices == 1); // of the policy before: not emptied, and the new one has none yet
  h.grant(Kind::Pod);
  h.settle();
  CHECK(watching(h) == "True");
  slices = 0;
  for (const auto& [key, object] : h.api.objects()) slices += key.kind == Kind::Slice;
  CHECK(slices == 2);
}

TEST_CASE("controller: without nodes nothing moves and no EgressNode goes") {
  Harness h = cluster();
  h.policy("default", "a", "eg1");
  h.settle();
  const auto placed = h.policy("default", "a").status.node;
  const auto nodes =
      h.api.find<api::EgressClusterInfo>(Kind::ClusterInfo, "", "default")->status.node_ip;
  h.restart_without({Kind::Node}, 9);
  h.node(placed, false);
  h.settle();
  CHECK(h.policy("default", "a").status.node == placed);
  for (const char* node : {"node1", "node2", "node3"}) {
    CHECK(h.api.find<api::EgressNode>(Kind::EgressNode, "", node) != nullptr);
  }
  CHECK(h.api.find<api::EgressClusterInfo>(Kind::ClusterInfo, "", "default")->status.node_ip ==
        nodes);
  h.policy("default", "bad", "nowhere");
  h.settle();
  CHECK(h.condition(h.policy("default", "bad").status.conditions, kAccepted) ==
        "False GatewayNotFound");
  h.grant(Kind::Node);
  h.settle();
  CHECK(h.policy("default", "a").status.node != placed);
}

TEST_CASE("controller: EIPs of policies that it may not read are kept") {
  for (const Kind kind : {Kind::Policy, Kind::Namespace}) {
    CAPTURE(to_string(kind));
    Harness h = cluster();
    h.policy("default", "a", "eg1", "10.6.2.11");
    h.settle();
    const auto id = h.policy("default", "a").status.eip_id;
    h.restart_without({kind}, 9);
    h.settle();
    h.node("node1", false); // something that makes it plan the gateway
    h.settle();
    CHECK(find_entry(h.gateway("eg1").status, id).entry != nullptr);
    CHECK(h.policy("default", "a").status.eip_id == id);
    h.grant(kind);
    h.settle();
    CHECK(h.policy("default", "a").status.eip_id == id);
    h.api.remove({Kind::Policy, "default", "a"});
    h.settle();
    CHECK(find_entry(h.gateway("eg1").status, id).entry == nullptr);
  }
}

TEST_CASE("controller: rights that come back are told, also without a new list") {
  Harness h = cluster();
  h.settle();
  h.deny(Kind::Slice);
  h.settle();
  CHECK(watching(h) == "False Refused");
  h.allow(Kind::Slice);
  h.settle();
  CHECK(watching(h) == "True");
}
