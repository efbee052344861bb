// SPDX-License-Identifier: Apache-2.0
#include "egress/policy.hpp"

#include <doctest/doctest.h>

#include "egress/cluster.hpp"
#include "egress/worlds.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;

TEST_CASE("policies are ordered by priority, reach, age, then name") {
  auto make = [](api::PolicyKind kind, const char* name, std::optional<std::int32_t> priority,
                 int age) {
    api::EgressPolicy p =
        policy(kind == api::PolicyKind::EgressClusterPolicy ? "" : "default", name, "g", 1);
    p.kind = kind;
    p.spec.priority = priority;
    p.meta.created = WallTime(std::chrono::seconds(1000 - age));
    return compile(p);
  };
  using enum api::PolicyKind;
  // Each stands before all that follow it.
  const std::vector<CompiledPolicy> order = {
      make(EgressClusterPolicy, "urgent", 5, 0),
      make(EgressPolicy, "small", 999, 0),
      make(EgressPolicy, "old", {}, 9),
      make(EgressGatewayPolicy, "z", {}, 1), // kinds in their order, before names
      make(EgressPolicy, "a", {}, 1),
      make(EgressPolicy, "b", {}, 1),
      make(EgressClusterPolicy, "old-but-wide", 1000, 9),
      make(EgressPolicy, "late", 32768, 1),
      make(EgressClusterPolicy, "by-default", {}, 9),
  };
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (std::size_t j = 0; j < order.size(); ++j) {
      INFO(order[i].key.to_string(), " and ", order[j].key.to_string());
      CHECK(before(order[i], order[j]) == (i < j));
    }
  }
}

TEST_CASE("a policy selects pods of its namespace by labels") {
  const auto p = compile(policy("default", "app", "g", 1));
  CHECK(selects(p, pod("default", "a", {{"app", "app"}}, {"10.244.1.1"}), nullptr));
  CHECK_FALSE(selects(p, pod("other", "a", {{"app", "app"}}, {"10.244.1.1"}), nullptr));
  CHECK_FALSE(selects(p, pod("default", "a", {{"app", "x"}}, {"10.244.1.1"}), nullptr));
  const auto starting = pod("default", "a", {{"app", "app"}}, {});
  CHECK_FALSE(selects(p, starting, nullptr));
  CHECK(will_select(p, starting, nullptr));
}

TEST_CASE("pods on the host network and pods that have ended are never selected") {
  const auto p = compile(policy("default", "app", "g", 1));
  auto a = pod("default", "a", {{"app", "app"}}, {"10.244.1.1"});
  a.host_network = true;
  CHECK_FALSE(selects(p, a, nullptr));
  a.host_network = false;
  for (const auto phase : {api::PodPhase::Succeeded, api::PodPhase::Failed}) {
    a.phase = phase;
    CHECK_FALSE(selects(p, a, nullptr));
  }
}

TEST_CASE("a cluster policy selects by namespace, which alone is enough") {
  auto source = policy("", "wide", "g", 1);
  source.kind = api::PolicyKind::EgressClusterPolicy;
  source.spec.namespace_selector = api::LabelSelector{{{"team", "a"}}, {}};
  const auto a = pod("x", "a", {{"app", "wide"}}, {"10.244.1.1"});
  const auto b = pod("x", "b", {}, {"10.244.1.2"});
  const api::Labels team_a{{"team", "a"}}, team_b{{"team", "b"}};

  auto p = compile(source);
  CHECK(selects(p, a, &team_a));
  CHECK_FALSE(selects(p, b, &team_a));
  CHECK_FALSE(selects(p, a, &team_b));
  CHECK_FALSE(selects(p, a, nullptr)); // the namespace is not known yet

  source.spec.pod_selector.reset();
  p = compile(source);
  CHECK(selects(p, b, &team_a));
  CHECK_FALSE(selects(p, b, &team_b));

  source.spec.namespace_selector.reset();
  CHECK_FALSE(selects(compile(source), b, &team_a)); // selects by nothing at all
}

TEST_CASE("podSubnet selects the pods whose address lies inside") {
  auto source = policy("default", "app", "g", 1);
  source.spec.pod_selector.reset();
  source.spec.pod_subnet = {"10.244.1.0/28", "fd44::/126"};
  const auto p = compile(source);
  CHECK(selects(p, pod("default", "a", {}, {"10.244.1.15"}), nullptr));
  CHECK(selects(p, pod("default", "a", {}, {"10.244.2.1", "fd44::2"}), nullptr));
  CHECK_FALSE(selects(p, pod("default", "a", {}, {"10.244.1.16", "fd44::4"}), nullptr));
}

TEST_CASE("what of a policy's text cannot be parsed closes") {
  auto source = policy("default", "app", "g", 1);
  source.spec.dest_subnet = {"8.8.8.0/24", "nonsense"};
  CHECK(compile(source).everything_outside);
  source.spec.dest_subnet = {"8.8.8.0/24", "2001:db8::/32"};
  source.spec.excluded_subnet = {"8.8.8.128/25"};
  const auto p = compile(source);
  CHECK_FALSE(p.everything_outside);
  CHECK(p.destinations.contains(ip("8.8.8.127")));
  CHECK_FALSE(p.destinations.contains(ip("8.8.8.128")));
  CHECK(p.destinations.contains(ip("2001:db8::1")));
  source.spec.pod_selector.reset();
  source.spec.pod_subnet = {"10.244.1.0/33"};
  CHECK_FALSE(selects(compile(source), pod("default", "a", {}, {"10.244.1.1"}), nullptr));
}

TEST_CASE("a policy counts from its first acceptance on, with the EIP that its status names") {
  auto source = policy("default", "app", "g", 7);
  auto p = compile(source);
  CHECK(p.enforced);
  CHECK(p.eip_id == 7);
  CHECK_FALSE(p.eip_ipv4.empty());
  CHECK_FALSE(p.eip_ipv6.empty());
  source.status.eip_ipv6.clear();
  source.status.conditions[0].status = "False";
  p = compile(source);
  CHECK_FALSE(p.enforced);
  CHECK(p.eip_ipv6.empty());
  source.status.conditions.clear();
  CHECK_FALSE(compile(source).enforced);
}

TEST_CASE("inside the cluster is what its status names, and what never leaves a host") {
  api::EgressClusterInfo info = world(2).cluster;
  info.status.extra_cidr.ipv4 = {"192.168.7.7"};
  info.status.api_server.ipv4 = {"203.0.113.9"};
  const auto inside = inside_cluster(info);
  for (const char* a : {"10.244.1.9", "10.244.2.9", "10.96.0.1", "10.6.0.1", "192.168.7.7",
                        "203.0.113.9", "127.0.0.1", "169.254.1.1", "224.0.0.5", "255.255.255.255",
                        "fd44:0:0:1::9", "fe80::1", "ff02::1", "::1", "fd96::1", "fd06::2"}) {
    CHECK_MESSAGE(inside.contains(ip(a)), a);
  }
  for (const char* a : {"10.244.3.1", "8.8.8.8", "10.6.0.3", "192.168.7.8", "2001:db8::1"}) {
    CHECK_MESSAGE(!inside.contains(ip(a)), a);
  }
}
