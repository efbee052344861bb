// SPDX-License-Identifier: Apache-2.0
#include "egress/node_plan.hpp"

#include <doctest/doctest.h>

#include "egress/affected.hpp"
#include "egress/packet.hpp"
#include "egress/ruleset.hpp"
#include "egress/statements.hpp"
#include "egress/worlds.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;
using net::NftFamily;

namespace {

const NodeOptions kOptions;

NodePlan plan(const AgentWorld& w, const net::Host& h = host(1)) {
  return plan_node(w, h, {}, kOptions);
}

Packet packet(const std::string& source, const std::string& destination) {
  Packet p;
  p.source = ip(source);
  p.destination = ip(destination);
  return p;
}

const net::Table& ip4(const NodePlan& p) {
  return p.state.tables.at(NftFamily::Ip);
}
const net::Table& ip6(const NodePlan& p) {
  return p.state.tables.at(NftFamily::Ip6);
}

// node1 has a pod of policy "app"; its EIP 1 is on `holder`.
AgentWorld one_pod(const std::string& holder) {
  AgentWorld w = world(3);
  add(w, pod("default", "a", {{"app", "app"}}, {"10.244.1.5", "fd44:0:0:1::5"}));
  add(w, policy("default", "app", "eg", 1));
  place(w, "eg", holder, entry(1));
  return w;
}

// node1 holds EIP 1 and node2 has a pod that uses it.
AgentWorld gateway_for_remote() {
  AgentWorld w = world(3);
  const auto p = policy("default", "app", "eg", 1);
  add(w, p);
  place(w, "eg", "node1", entry(1));
  add(w, slice(p, {{"default", "b", "node2", {"10.244.2.5"}, {"fd44:0:0:2::5"}}}));
  return w;
}

} // namespace

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
    CHECK(s.rules.contains({f, 98, 0, 0x307f, net::RuleAction::Goto, 100}));
    CHECK(s.rules.contains({f, 99, 1, 0x307f, net::RuleAction::Lookup, 7700}));
    CHECK(s.rules.contains({f, 99, 2, 0x307f, net::RuleAction::Lookup, 7702}));
    CHECK(s.rules.contains({f, 100, 0, 0, net::RuleAction::Nop, 0}));
  }
  CHECK(s.rules.size() == 8);
  CHECK(s.routes.at({7702, cidr("10.244.1.0/24"), 1}).type == net::RouteType::Throw);
  CHECK(s.addresses.size() == 2); // the tunnel's own
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
  CHECK(rules_of_class(with_destinations({"198.51.100.0/24"})) == 2);
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
  CHECK(ip4(plan(both)).chains.at("gw_2").rules.size() == 2);
  CHECK(ip4(pods_node).chains.at("gw_2").rules.size() == 1);
}

TEST_CASE("what conntrack calls invalid never leaves with a captured or released pod's address") {
  const NodePlan p = plan(one_pod("node2"));
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
  CHECK(run(ip4(p), "pre_eip", reply) == Verdict::Accept);
  reply.destination = ip("10.244.2.5"); // conntrack has translated it back
  CHECK(run(ip4(p), "prerouting", reply) == Verdict::Accept);
  CHECK(reply.mark == 1);
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

TEST_CASE("an EIP answers pings and nothing else that is unsolicited, while the lease lasts") {
  const NodePlan p = plan(one_pod("node1"));
  Packet x = packet("8.8.8.8", "10.6.1.1");
  x.iif = "eth0";
  x.protocol = 6;
  x.destination_port = 22;
  CHECK(run(ip4(p), "pre_eip", x) == Verdict::Drop);
  x.ct_reply = true;
  CHECK(run(ip4(p), "pre_eip", x) == Verdict::Accept);
  x.lease = false;
  CHECK(run(ip4(p), "pre_eip", x) == Verdict::Drop);
  Packet own = packet("8.8.8.8", "10.6.0.1"); // the node's own address is not concerned
  own.iif = "eth0";
  own.lease = false;
  CHECK(run(ip4(p), "pre_eip", own) == Verdict::Accept);
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

TEST_CASE("an EIP stands on the interface whose subnet holds it, else on the tunnel's parent") {
  AgentWorld w = one_pod("node1");
  auto& e = w.gateways["eg"].status.node_list[0].eips[0];
  e.ipv4 = "10.7.0.77"; // eth1's subnet
  e.ipv6 = "2001:db8:5::1";
  const NodePlan p = plan(w);
  CHECK(p.state.addresses.contains({"eth1", cidr("10.7.0.77/32")}));
  CHECK(p.state.addresses.contains({"eth0", cidr("2001:db8:5::1/128")}));
}

TEST_CASE("an EIP of which policy and gateway say different things serves nobody") {
  AgentWorld w = one_pod("node1");
  for (auto& [key, policy] : w.policies) policy.eip_ipv4 = "10.6.1.99";
  Packet x = packet("10.244.1.5", "8.8.8.8");
  CHECK(run(ip4(plan(w)), "prerouting", x) == Verdict::Drop);
}

TEST_CASE("an EIP that is some node's own address is not served") {
  for (const char* address : {"10.6.0.1", "10.6.0.2", "10.7.0.1"}) {
    AgentWorld w = one_pod("node1");
    w.gateways["eg"].status.node_list[0].eips[0].ipv4 = address;
    for (auto& [key, policy] : w.policies) policy.eip_ipv4 = address;
    const NodePlan p = plan(w);
    CHECK(p.warnings.size() == 1);
    CHECK(p.problems.empty());
    CHECK(ip4(p).sets.at("eipaddrs").elements.empty());
    CHECK(p.state.addresses.size() == 3); // the tunnel's two and the EIP's IPv6
    Packet x = packet("10.244.1.5", "8.8.8.8");
    CHECK(run(ip4(p), "prerouting", x) == Verdict::Accept);
    x.oif = "eth0";
    CHECK(run(ip4(p), "postrouting", x) == Verdict::Drop);
  }
}

TEST_CASE("the tunnel's parent") {
  AgentWorld w = one_pod("node2");
  net::Host h = host(1);
  SUBCASE("is the default route's interface, with the address that the API server knows") {
    h.addresses["eth0"] = {{ip("10.6.9.9"), 16}, {ip("10.6.0.1"), 16}};
    const auto p = plan(w, h);
    CHECK(p.parent == api::TunnelParent{"eth0", "10.6.0.1", ""});
  }
  SUBCASE("is another where the default route's has no such address") {
    h.addresses["eth0"] = {{ip("192.168.0.2"), 24}};
    h.addresses["eth1"] = {{ip("10.6.0.1"), 16}};
    CHECK(plan(w, h).parent == api::TunnelParent{"eth1", "10.6.0.1", ""});
  }
  SUBCASE("is told to be missing when no interface has an address of the node") {
    h.addresses["eth0"] = {{ip("192.168.0.2"), 24}};
    const auto p = plan(w, h);
    REQUIRE(p.problems.size() == 1);
    CHECK(p.problems[0].find("10.6.0.1") != std::string::npos);
    CHECK_FALSE(p.state.tunnel);
    Packet x = packet("10.244.1.5", "8.8.8.8"); // closed, not open
    CHECK(run(ip4(p), "prerouting", x) == Verdict::Accept);
    x.oif = "eth0";
    CHECK(run(ip4(p), "forward", x) == Verdict::Drop);
  }
  SUBCASE("is taken as found where the API server knows nothing") {
    w.cluster.status.node_ip.clear();
    h.addresses["eth0"] = {{ip("10.6.1.200"), 32}, {ip("10.6.0.1"), 16}};
    CHECK(plan(w, h).parent.ipv4 == "10.6.0.1");
  }
  SUBCASE("has IPv6 alone on an IPv6 underlay") {
    h.addresses["eth0"] = {{ip("fe80::1"), 64}, {ip("fd06::1"), 64}};
    h.default_link.erase(Family::V4);
    const auto p = plan(w, h);
    CHECK(p.parent == api::TunnelParent{"eth0", "", "fd06::1"});
    CHECK(p.state.tunnel->local == ip("fd06::1"));
    CHECK(p.state.fdb.at(mac("66:00:00:00:00:02")) == ip("fd06::2"));
    CHECK(ip6(p).chains.contains("raw_pre"));
    CHECK_FALSE(ip4(p).chains.contains("raw_pre"));
  }
}

TEST_CASE("a node that has no EgressNode yet closes and says what it waits for") {
  AgentWorld w = one_pod("node2");
  w.nodes.erase("node1");
  const auto p = plan(w);
  CHECK(p.problems.size() == 1);
  CHECK_FALSE(p.state.tunnel);
  CHECK(p.state.addresses.empty());
  Packet x = packet("10.244.1.5", "8.8.8.8");
  CHECK(run(ip4(p), "prerouting", x) == Verdict::Accept);
  x.oif = "eth0";
  CHECK(run(ip4(p), "forward", x) == Verdict::Drop);
}

TEST_CASE("a peer that is not ready is a warning: its users can do nothing about it") {
  AgentWorld w = one_pod("node2");
  w.nodes["node2"].status.parent = {};
  auto p = plan(w);
  CHECK(p.problems.empty());
  CHECK(p.warnings.size() == 1);
  CHECK(p.state.fdb.empty());
  // An address that the API server does not know of the node is not believed.
  w.nodes["node2"].status.parent = {"eth0", "10.6.0.3", ""};
  p = plan(w);
  CHECK(p.warnings.size() == 1);
  CHECK(p.state.fdb.empty());
}

TEST_CASE("a local pod is judged by itself, whatever the slices say") {
  AgentWorld w = gateway_for_remote();
  add(w, pod("default", "moved", {}, {"10.244.2.5"}));
  const NodePlan p = plan(w);
  CHECK(p.classifier.decide(ip("10.244.2.5"), ip("8.8.8.8")).kind ==
        Classifier::Decision::Kind::Untouched);
  CHECK_FALSE(p.state.routes.contains({7700, cidr("10.244.2.5/32"), 1}));
  CHECK(p.state.routes.contains({7700, cidr("fd44:0:0:2::5/128"), 1}));
}

TEST_CASE("an address that is used again belongs to the younger pod") {
  AgentWorld w = one_pod("node2");
  auto young = pod("default", "0-sorts-first", {}, {"10.244.1.5"});
  young.meta.created = WallTime(std::chrono::seconds(5));
  add(w, young);
  CHECK(plan(w).classifier.decide(ip("10.244.1.5"), ip("8.8.8.8")).kind ==
        Classifier::Decision::Kind::Untouched);
}

TEST_CASE("policies that decide alike share a class, and each pod's own policy is told") {
  AgentWorld w = world(2);
  for (const char* name : {"a", "b"}) {
    auto source = policy("default", name, "eg", 1);
    add(w, source);
    add(w, pod("default", name, {{"app", name}},
               {std::string("10.244.1.") + (*name == 'a' ? "1" : "2")}));
  }
  place(w, "eg", "node2", entry(1));
  const auto p = plan(w);
  CHECK(ip4(p).sets.at("classes").elements.size() == 1);
  CHECK(p.classifier.decide(ip("10.244.1.1"), ip("8.8.8.8")).policy.name == "a");
  CHECK(p.classifier.decide(ip("10.244.1.2"), ip("8.8.8.8")).policy.name == "b");
}

TEST_CASE("connections that are decided otherwise now are stale, others are not") {
  const auto p = plan(one_pod("node2"));
  const auto make = [](const char* source, const char* destination, std::uint32_t mark) {
    net::Connection c;
    c.original = {ip(source), ip("10.96.0.9"), 4000, 80}; // by a Service
    c.reply = {ip(destination), ip(source), 80, 4000};
    c.mark = mark;
    return c;
  };
  const auto right = make("10.244.1.5", "8.8.8.8", 0x80010007); // foreign bits are not looked at
  const auto before_policy = make("10.244.1.5", "8.8.8.8", 0);
  const auto here = make("10.244.1.5", "8.8.8.8", 0x10000);
  const auto inside = make("10.244.1.5", "10.244.2.2", 0);
  const auto none = make("10.244.1.7", "8.8.8.8", 0);
  const auto left_over = make("10.244.1.7", "8.8.8.8", 0x80010000);
  CHECK(stale({right, before_policy, here, inside, none, left_over}, p.classifier) ==
        std::vector{before_policy, here, left_over});
}
