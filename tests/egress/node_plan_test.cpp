// SPDX-License-Identifier: Apache-2.0
#include "egress/node_plan.hpp"

#include <doctest/doctest.h>

#include "egress/affected.hpp"
#include "egress/node_plans.hpp"
#include "egress/ruleset.hpp"
#include "egress/statements.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;

TEST_CASE("a pod's packet is marked for its gateway, in both families, and the route is there") {
  const NodePlan p = plan(one_pod("node2"));
  CHECK(p.problems.empty());
  CHECK(p.warnings.empty());
  CHECK(p.parent == api::TunnelParent{"eth0", "10.6.0.1", "fd06::1"});
  for (const auto& [source, destination, table] :
       {std::tuple{"10.244.1.5", "8.8.8.8", &ip4(p)}, {"fd44:0:0:1::5", "2001:db8::8", &ip6(p)}}) {
    Packet x = packet(source, destination);
    x.mark = 0x4000; // kube-proxy's bit stays
    CHECK(run(*table, "prerouting", x) == Verdict::Accept);
    CHECK(x.mark == (0x4000 | mark_of(2, kOptions.mark_mask).value()));
    CHECK(x.ct_mark == 0x80010000);
    x.oif = "egw0";
    CHECK(run(*table, "forward", x) == Verdict::Accept);
    CHECK(x.mark == 0x4000);
    CHECK(run(*table, "postrouting", x) == Verdict::Accept);
    CHECK(x.snat == ip(source)); // bound to itself, so that no MASQUERADE acts
  }
  const auto& s = p.state;
  CHECK(s.tunnel->local == ip("10.6.0.1"));
  CHECK(s.tunnel->parent == 2);
  CHECK(s.neighbours.at({ip("172.31.0.2")}) == mac("66:00:00:00:00:02"));
  CHECK(s.neighbours.at({ip("fd11::2")}) == mac("66:00:00:00:00:02"));
  CHECK(s.fdb.at(mac("66:00:00:00:00:02")) == ip("10.6.0.2"));
  CHECK(s.fdb.size() == 1); // node3 is of no concern
  for (const Family f : {Family::V4, Family::V6}) {
    CHECK(s.routes.at({7702, Prefix::all(f), 1}).via ==
          ip(f == Family::V4 ? "172.31.0.2" : "fd11::2"));
    CHECK(s.routes.at({7702, Prefix::all(f), 0xffffffff}).type == net::RouteType::Blackhole);
    CHECK(s.rules.contains({f, 99, 2, 0x307f, net::RuleAction::Lookup, 7702}));
  }
  CHECK(s.rules.size() == 2); // no replies to remote pods, and nothing worth jumping over
  CHECK(s.routes.at({7702, cidr("10.244.1.0/24"), 1}).type == net::RouteType::Throw);
  CHECK(s.addresses.size() == 2); // the tunnel's own
}

TEST_CASE("packets without a mark jump over routing rules, where there are enough to pay for it") {
  using net::RuleAction;
  AgentWorld w = gateway_for_remote();
  const net::RoutingRule replies{Family::V4, 99, 1, 0x307f, RuleAction::Lookup, 7700};
  const net::RoutingRule jump{Family::V4, 98, 0, 0x307f, RuleAction::Goto, 100},
      end{Family::V4, 100, 0, 0, RuleAction::Nop, 0};
  NodePlan p = plan(w);
  CHECK(p.state.rules.contains(replies));
  CHECK_FALSE(p.state.rules.contains(jump));
  for (const int id : {2, 3}) { // two gateways more, for pods of this node
    const std::string name = "more" + std::to_string(id);
    add(w, pod("default", name, {{"app", name}}, {"10.244.1." + std::to_string(id)}));
    add(w, policy("default", name, "eg", id));
    place(w, "eg", "node" + std::to_string(id), entry(id));
  }
  p = plan(w);
  CHECK(p.state.rules.contains(replies));
  CHECK(p.state.rules.contains(jump));
  CHECK(p.state.rules.contains(end));
  CHECK(p.state.rules.size() == 10);
}

TEST_CASE("what leaves by another interface than the tunnel, although it should, is dropped") {
  const NodePlan p = plan(one_pod("node2"));
  Packet x = packet("10.244.1.5", "8.8.8.8");
  CHECK(run(ip4(p), "prerouting", x) == Verdict::Accept);
  x.oif = "eth0";
  CHECK(run(ip4(p), "forward", x) == Verdict::Drop);

  // A flow of before: the policy has gone, its connection mark has not.
  const NodePlan without = plan(world(3));
  Packet y = packet("10.244.1.5", "8.8.8.8");
  y.ct_mark = 0x80010000;
  y.ct_new = false;
  CHECK(run(ip4(without), "prerouting", y) == Verdict::Accept);
  y.oif = "eth0";
  CHECK(run(ip4(without), "forward", y) == Verdict::Drop);
  y.ct_reply = true; // but replies reach the pod
  y.oif = "veth1";
  CHECK(run(ip4(without), "forward", y) == Verdict::Accept);
}

TEST_CASE("rules that cost every packet stand only where they can match") {
  const NodePlan pods_node = plan(one_pod("node2")), holder = plan(gateway_for_remote());
  CHECK_FALSE(ip4(pods_node).chains.contains("pre_eip"));
  CHECK(ip4(holder).chains.contains("pre_eip"));
  const auto rules_of_class = [](const AgentWorld& w) {
    const NodePlan p = plan(w);
    for (const auto& [name, chain] : ip4(p).chains) {
      if (name.starts_with("c_")) return chain.rules.size();
    }
    return std::size_t{0};
  };
  const auto with_destinations = [](std::vector<std::string> destinations) {
    AgentWorld w = one_pod("node2");
    auto p = policy("default", "app", "eg", 1);
    p.spec.dest_subnet = std::move(destinations);
    add(w, p);
    return w;
  };
  CHECK(rules_of_class(with_destinations({})) == 2);                  // all outside the cluster
  CHECK(rules_of_class(with_destinations({"198.51.100.0/24"})) == 0); // data, not a chain
  const AgentWorld inside = with_destinations({"198.51.100.0/24", "10.96.0.0/24"});
  CHECK(rules_of_class(inside) == 3); // and then the cluster's part is left alone
  Packet x = packet("10.244.1.5", "10.96.0.10");
  CHECK(run(ip4(plan(inside)), "prerouting", x) == Verdict::Accept);
  CHECK(x.mark == 0);
  // Where remote pods are served, what came by the tunnel never goes back into it.
  AgentWorld both = gateway_for_remote();
  add(both, pod("default", "a", {{"app", "other"}}, {"10.244.1.5"}));
  add(both, policy("default", "other", "eg2", 2));
  place(both, "eg2", "node2", entry(2));
  CHECK(ip4(plan(both)).chains.at("eip_2").rules.size() == 4);
  CHECK(ip4(pods_node).chains.at("eip_1").rules.size() == 3);
}

TEST_CASE("what conntrack calls invalid never leaves with a captured or released pod's address") {
  AgentWorld w = one_pod("node2");
  add(w, pod("default", "other", {}, {"10.244.1.6"}));
  const NodePlan p = plan(w);
  Packet captured = packet("10.244.1.5", "8.8.8.8");
  captured.invalid = true;
  CHECK(run(ip4(p), "prerouting", captured) == Verdict::Drop);
  Packet other = packet("10.244.1.6", "8.8.8.8");
  other.invalid = true;
  CHECK(run(ip4(p), "prerouting", other) == Verdict::Accept);
  other.released = true;
  CHECK(run(ip4(p), "prerouting", other) == Verdict::Drop);
  other.destination = ip("10.96.0.10"); // inside the cluster nothing is translated anyway
  CHECK(run(ip4(p), "prerouting", other) == Verdict::Accept);
  other.destination = ip("8.8.8.8");
  other.invalid = false;
  CHECK(run(ip4(p), "prerouting", other) == Verdict::Accept);
}

TEST_CASE("released: own pods that lose or change their class, not new ones and not remote ones") {
  const auto released = [](const AgentWorld& before, const AgentWorld& after) {
    return affected(plan(before).state, plan(after).state).released;
  };
  const std::set<Address> pod_a{ip("10.244.1.5"), ip("fd44:0:0:1::5")};
  CHECK(released(one_pod("node2"), world(3)) == pod_a);
  CHECK(released(world(3), one_pod("node2")).empty());
  CHECK(released(one_pod("node2"), one_pod("node2")).empty());
  AgentWorld narrower = one_pod("node2");
  auto p = policy("default", "app", "eg", 1);
  p.spec.dest_subnet = {"198.51.100.0/24"};
  add(narrower, p);
  CHECK(released(one_pod("node2"), narrower) == pod_a);
  CHECK(released(gateway_for_remote(), world(3)).empty());
}

TEST_CASE("addresses inside the cluster and pods of no policy are never touched") {
  AgentWorld w = one_pod("node2");
  add(w, pod("default", "other", {}, {"10.244.1.6"}));
  const NodePlan p = plan(w);
  for (const auto& [source, destination] : {std::pair{"10.244.1.5", "10.96.0.10"},
                                            {"10.244.1.5", "10.6.0.3"},
                                            {"10.244.1.6", "8.8.8.8"}}) {
    Packet x = packet(source, destination);
    x.mark = 0x8000;
    CHECK(run(ip4(p), "prerouting", x) == Verdict::Accept);
    x.oif = "eth0";
    CHECK(run(ip4(p), "forward", x) == Verdict::Accept);
    CHECK(run(ip4(p), "postrouting", x) == Verdict::Accept);
    CHECK(x.mark == 0x8000);
    CHECK(x.ct_mark == 0);
    CHECK_FALSE(x.snat);
  }
}

TEST_CASE("a pod on the gateway itself is translated there") {
  const NodePlan p = plan(one_pod("node1"));
  Packet x = packet("10.244.1.5", "8.8.8.8");
  CHECK(run(ip4(p), "prerouting", x) == Verdict::Accept);
  CHECK(x.mark == 0);
  CHECK(x.ct_mark == 0x10000);
  x.oif = "eth0";
  CHECK(run(ip4(p), "forward", x) == Verdict::Accept);
  CHECK(run(ip4(p), "postrouting", x) == Verdict::Accept);
  CHECK(x.snat == ip("10.6.1.1"));
  CHECK(p.state.addresses.at({"eth0", cidr("10.6.1.1/32")}).eip);
  CHECK(p.state.addresses.at({"eth0", cidr("fd06:1::1/128")}).eip);
  CHECK(p.held ==
        std::map<std::int32_t, std::vector<Address>>{{1, {ip("10.6.1.1"), ip("fd06:1::1")}}});

  Packet late = packet("10.244.1.5", "8.8.8.8");
  late.lease = false; // the agent is dead: this node must not serve the EIP
  CHECK(run(ip4(p), "prerouting", late) == Verdict::Drop);
  Packet older = packet("10.244.1.5", "8.8.8.8");
  older.ct_new = false; // a connection from before the policy
  CHECK(run(ip4(p), "prerouting", older) == Verdict::Drop);
  Packet moved = older;
  moved.ct_mark = 0x80010000; // the EIP was elsewhere
  CHECK(run(ip4(p), "prerouting", moved) == Verdict::Drop);
}

TEST_CASE(
    "a pod of this node gets nothing by the address of a remote pod whose node has no MAC yet") {
  AgentWorld w = gateway_for_remote();
  w.nodes.at("node2").status.tunnel_mac = "";
  const NodePlan p = plan(w);
  CHECK(ip4(p).sets.at("sources").elements.empty());
  CHECK(ip4(p).sets.at("remote_pods").elements.size() == 1);
  Packet forged = packet("10.244.2.5", "8.8.8.8");
  CHECK(run(ip4(p), "prerouting", forged) == Verdict::Accept);
  CHECK(forged.ct_mark == 0);
}

TEST_CASE(
    "on a gateway a remote pod's packets come by the tunnel, from its node's MAC, or not at all") {
  const NodePlan p = plan(gateway_for_remote());
  CHECK(p.problems.empty());
  Packet x = packet("10.244.2.5", "8.8.8.8");
  x.iif = "egw0";
  x.source_mac = mac("66:00:00:00:00:02");
  CHECK(run(ip4(p), "prerouting", x) == Verdict::Accept);
  CHECK(x.ct_mark == 0x10000);
  x.oif = "eth0";
  CHECK(run(ip4(p), "forward", x) == Verdict::Accept);
  CHECK(run(ip4(p), "postrouting", x) == Verdict::Accept);
  CHECK(x.snat == ip("10.6.1.1"));

  Packet reply = packet("8.8.8.8", "10.6.1.1");
  reply.iif = "eth0";
  reply.ct_reply = true;
  reply.ct_new = false;
  reply.ct_mark = 0x10000;
  reply.destination = ip("10.244.2.5"); // conntrack has translated it back
  CHECK(run(ip4(p), "prerouting", reply) == Verdict::Accept);
  CHECK(reply.mark == 1);
  reply.lease = false; // the agent is dead: another node may hold the EIP
  CHECK(run(ip4(p), "prerouting", reply) == Verdict::Drop);
  reply.lease = true;
  // Of a connection whose pod has no policy any more: by the CNI's way it would open, on the pod's
  // node, a connection that nobody translates.
  reply.destination = ip("10.244.2.99");
  CHECK(run(ip4(p), "prerouting", reply) == Verdict::Drop);
  CHECK(p.state.routes.at({7700, cidr("10.244.2.5/32"), 1}).via == ip("172.31.0.2"));
  CHECK(p.state.routes.at({7700, cidr("fd44:0:0:2::5/128"), 1}).via == ip("fd11::2"));
  CHECK(p.state.fdb.contains(mac("66:00:00:00:00:02")));

  Packet forged = packet("10.244.2.5", "8.8.8.8");
  forged.iif = "egw0";
  forged.source_mac = mac("66:00:00:00:00:03");
  CHECK(run(ip4(p), "prerouting", forged) == Verdict::Drop);
  Packet stranger = packet("10.244.2.6", "8.8.8.8");
  stranger.iif = "egw0";
  stranger.source_mac = mac("66:00:00:00:00:02");
  CHECK(run(ip4(p), "prerouting", stranger) == Verdict::Drop);
  Packet inside = x;
  inside.ct_mark = 0;
  inside.destination = ip("10.244.3.1"); // came by the tunnel, but is for the cluster
  CHECK(run(ip4(p), "prerouting", inside) == Verdict::Drop);
}

TEST_CASE("a gateway drops what came by the tunnel and what none of its policies takes") {
  AgentWorld w = world(3);
  auto source = policy("default", "app", "eg", 1);
  source.spec.dest_subnet = {"8.8.8.0/24"};
  add(w, source);
  place(w, "eg", "node1", entry(1));
  add(w, slice(source, {{"default", "b", "node2", {"10.244.2.5"}, {}}}));
  const NodePlan p = plan(w);
  Packet x = packet("10.244.2.5", "9.9.9.9"); // the pod's node still believes an older policy
  x.iif = "egw0";
  x.source_mac = mac("66:00:00:00:00:02");
  CHECK(run(ip4(p), "prerouting", x) == Verdict::Drop);
  x.destination = ip("8.8.8.8");
  CHECK(run(ip4(p), "prerouting", x) == Verdict::Accept);
}

TEST_CASE("without an EIP, a place, or the family, a selected pod's packets are dropped") {
  AgentWorld unplaced = one_pod("");
  AgentWorld nowhere = one_pod("node2");
  nowhere.gateways.clear();
  AgentWorld none = one_pod("node2");
  for (auto& [key, policy] : none.policies) policy.eip_id = 0;
  AgentWorld other_gateway = one_pod("node2");
  for (auto& [key, policy] : other_gateway.policies) policy.gateway = "eg2";
  AgentWorld twice = one_pod("node2");
  place(twice, "eg2", "node3", entry(1));
  for (const auto& w : {unplaced, nowhere, none, other_gateway, twice}) {
    const NodePlan p = plan(w);
    Packet x = packet("10.244.1.5", "8.8.8.8");
    CHECK(run(ip4(p), "prerouting", x) == Verdict::Drop);
    Packet inside = packet("10.244.1.5", "10.244.2.2");
    CHECK(run(ip4(p), "prerouting", inside) == Verdict::Accept);
    CHECK(p.problems.empty()); // nothing that this node could do about it
  }
  CHECK(plan(twice).warnings.size() == 1);

  AgentWorld v4_only = one_pod("node2");
  for (auto& [key, policy] : v4_only.policies) policy.eip_ipv6.clear();
  const NodePlan p = plan(v4_only);
  Packet x = packet("fd44:0:0:1::5", "2001:db8::1");
  CHECK(run(ip6(p), "prerouting", x) == Verdict::Drop);
  Packet y = packet("10.244.1.5", "8.8.8.8");
  CHECK(run(ip4(p), "prerouting", y) == Verdict::Accept);
}

TEST_CASE("iptables-legacy's FORWARD policy of DROP is told of, with what to do") {
  AgentWorld w = world(2);
  net::Host h = host(1);
  h.legacy_forward_drop = {Family::V6};
  const auto p = plan_node(w, h, {}, kOptions);
  REQUIRE(p.warnings.size() == 1);
  CHECK(p.warnings[0].find("`ip6tables-legacy -I FORWARD -i egw0 -j ACCEPT`") != std::string::npos);
  CHECK(p.problems.empty());
}

TEST_CASE("VXLAN from a stranger, and a pod's own, are dropped") {
  const NodePlan p = plan(one_pod("node2"));
  Packet x = packet("10.6.0.2", "10.6.0.1");
  x.destination_port = 7789;
  const auto& nodes = ip4(p).sets.at("nodes");
  CHECK(nodes.elements.size() == 2);
  Packet forwarded = packet("10.244.1.9", "10.6.0.2");
  forwarded.destination_port = 7789;
  forwarded.oif = "eth0";
  CHECK(run(ip4(p), "forward", forwarded) == Verdict::Drop);
  forwarded.destination_port = 53;
  CHECK(run(ip4(p), "forward", forwarded) == Verdict::Accept);
}
