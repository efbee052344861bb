// SPDX-License-Identifier: Apache-2.0
#include "egress/node_plan.hpp"

#include <doctest/doctest.h>

#include "egress/cluster.hpp"
#include "egress/node_plans.hpp"
#include "egress/ruleset.hpp"
#include "egress/statements.hpp"

// Where addresses and the tunnel stand, and whose a pod is.

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;

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

TEST_CASE("nodes that EgressClusterInfo does not name one by one") {
  AgentWorld w = one_pod("node2");
  w.cluster.status.node_ip = {{kAllNodes, {{"10.6.0.0/30"}, {"fd06::/126"}}}};
  w.cluster.status.pod_cidr = {{kAllNodes, {{"10.240.0.0/16", "10.244.0.0/22"}, {"fd44::/48"}}}};
  net::Host h = host(1);
  h.addresses["eth0"] = {{ip("10.9.9.9"), 16}, {ip("10.6.0.1"), 16}};
  auto p = plan(w, h);
  CHECK(p.parent.ipv4 == "10.6.0.1"); // its own, among all nodes'
  CHECK(p.problems.empty());
  CHECK(p.state.fdb.at(mac("66:00:00:00:00:02")) == ip("10.6.0.2"));
  // Of the ranges only those with a pod of this node: there may be thousands.
  CHECK(p.state.routes.at({7702, cidr("10.244.0.0/22"), 1}).type == net::RouteType::Throw);
  CHECK_FALSE(p.state.routes.contains({7702, cidr("10.240.0.0/16"), 1}));
  Packet x = packet("10.244.1.5", "10.240.7.7"); // inside the cluster
  CHECK(run(ip4(p), "prerouting", x) == Verdict::Accept);
  CHECK(x.mark == 0);
  SUBCASE("a peer's address that is no node's is not believed") {
    w.nodes["node2"].status.parent = {"eth0", "10.6.0.4", ""};
    p = plan(w, h);
    CHECK(p.warnings.size() == 1);
    CHECK(p.state.fdb.empty());
  }
  SUBCASE("nor may an EIP be one of theirs") {
    w.gateways["eg"].status.node_list[0].eips[0].ipv4 = "10.6.0.3";
    for (auto& [key, policy] : w.policies) policy.eip_ipv4 = "10.6.0.3";
    CHECK(plan(w, h).warnings.size() == 1);
  }
  SUBCASE("a node that does not stand there yet takes what it has") {
    w.cluster.status.node_ip = {{kAllNodes, {{"10.6.0.2"}, {}}}};
    p = plan(w, h);
    CHECK(p.parent.ipv4 == "10.9.9.9");
    CHECK(p.problems.empty());
  }
}

TEST_CASE("ranges of pools hold pods of any node") {
  AgentWorld w = one_pod("node2");
  w.cluster.status.pod_cidr["calico/pool"] = {{"192.168.0.0/16"}, {}};
  const auto p = plan(w);
  CHECK(p.state.routes.at({7702, cidr("192.168.0.0/16"), 1}).type == net::RouteType::Throw);
  CHECK(p.state.routes.at({7702, cidr("10.244.1.0/24"), 1}).type == net::RouteType::Throw);
  CHECK_FALSE(p.state.routes.contains({7702, cidr("10.244.2.0/24"), 1}));
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

TEST_CASE("policies that decide alike share a class") {
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
  CHECK(p.classifier.decide(ip("10.244.1.1"), ip("8.8.8.8")) ==
        p.classifier.decide(ip("10.244.1.2"), ip("8.8.8.8")));
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

TEST_CASE("the tunnel's parent as it is chosen") {
  AgentWorld w = one_pod("node2");
  const net::Host h = host(1); // eth0 10.6.0.1, eth1 10.7.0.1, which no Node lists
  NodeOptions o;
  const auto chosen = [&](const char* names, const char* subnets) {
    o.tunnel_parent = {parse_link_names(names).value(), parse_subnets(subnets).value()};
    return plan_node(w, h, {}, o);
  };
  CHECK(chosen("eth0", "").parent.name == "eth0");
  CHECK(chosen("", "10.7.0.0/16").parent == api::TunnelParent{"eth1", "10.7.0.1", ""});
  CHECK(chosen("eth1", "10.0.0.0/8").parent.ipv4 == "10.7.0.1");
  CHECK(chosen("", "fd06::/64").parent == api::TunnelParent{"eth0", "10.6.0.1", "fd06::1"});
  CHECK(chosen("", "fd06::/64").state.tunnel->local == ip("fd06::1"));
  for (const char* names : {"eth1", "bond*"}) { // not with an address of the Node
    const NodePlan p = chosen(names, "");
    CHECK_FALSE(p.state.tunnel);
    REQUIRE(p.problems.size() == 1);
    for (const char* word : {names, "10.6.0.1", "--tunnel-cidr", "tunnel-parent"}) {
      CHECK_MESSAGE(p.problems[0].find(word) != std::string::npos, p.problems[0]);
    }
  }
  auto& annotations = w.nodes["node1"].meta.annotations;
  annotations.set(api::kAnnotationTunnelParent, "eth1, 10.7.0.0/24");
  CHECK(chosen("eth0", "").parent.name == "eth1");
  annotations.set(api::kAnnotationTunnelParent, "10.7.0.0/33");
  const NodePlan wrong = chosen("eth0", "");
  CHECK_FALSE(wrong.state.tunnel);
  CHECK(wrong.problems.at(0).find("10.7.0.0/33") != std::string::npos);
}

TEST_CASE("a chosen interface that is down gives way to one that is up") {
  AgentWorld w = one_pod("node2");
  net::Host h = host(1);
  h.default_link.clear();
  h.addresses["eth1"] = {{ip("10.6.0.1"), 16}};
  NodeOptions o;
  o.tunnel_parent.names = {"eth*"};
  h.links["eth0"].up = false;
  CHECK(plan_node(w, h, {}, o).parent.name == "eth1");
  h.links["eth1"].up = false; // nothing better: the tunnel stays
  CHECK(plan_node(w, h, {}, o).parent.name == "eth0");
}

TEST_CASE("a peer's outer address is believed in the subnets that were chosen, and there alone") {
  AgentWorld w = one_pod("node2");
  const auto reached = [&](const NodeOptions& o) {
    return !plan_node(w, host(1), {}, o).state.fdb.empty();
  };
  w.nodes["node2"].status.parent.ipv4 = "10.8.0.2";
  NodeOptions o;
  CHECK_FALSE(reached(o));
  o.tunnel_parent.subnets = {cidr("10.6.0.0/16"), cidr("10.8.0.0/24")};
  CHECK(reached(o));
  w.nodes["node2"].meta.annotations.set(api::kAnnotationTunnelParent, "10.8.0.0/28");
  CHECK(reached({}));
  w.nodes["node2"].status.parent.ipv4 = "10.8.0.20";
  CHECK_FALSE(reached({}));
}

TEST_CASE("which interfaces may bear EIPs") {
  AgentWorld w = one_pod("node1");
  auto& e = w.gateways["eg"].status.node_list[0].eips[0];
  e.ipv4 = "10.7.0.77"; // eth1's subnet
  e.ipv6 = "";
  NodeOptions o;
  const auto bears = [&](const char* link) {
    return plan_node(w, host(1), {}, o).state.addresses.contains({link, cidr("10.7.0.77/32")});
  };
  o.eip_links = {"eth[01]"};
  CHECK(bears("eth1"));
  o.no_eip_links = {"*1"};
  CHECK(bears("eth0"));
  o.eip_links = {"bond*"};
  CHECK_FALSE(bears("eth0"));
  CHECK_FALSE(bears("eth1"));
}

TEST_CASE("connections of an EIP in another interface's subnet are marked for its gateway") {
  AgentWorld w = gateway_for_remote();
  for (auto& [key, policy] : w.policies) policy.eip_ipv4 = "10.7.0.77";
  w.gateways["eg"].status.node_list[0].eips[0].ipv4 = "10.7.0.77";
  net::Host h = host(1);
  h.gateways = {{{"eth0", Family::V4}, ip("10.6.0.254")}, {{"eth1", Family::V4}, ip("10.7.0.254")}};
  const NodePlan p = plan(w, h);
  CHECK(p.warnings.empty());
  const std::uint32_t index = p.marks.index.at(link_key("eth1"));
  const std::uint32_t mark = mark_of(index, kOptions.mark_mask).value(), table = 7700 + index;
  CHECK(p.state.routes.at({table, Prefix::all(Family::V4), 1}) ==
        net::RouteValue{net::RouteType::Unicast, "eth1", ip("10.7.0.254")});
  CHECK(p.state.routes.at({table, cidr("10.7.0.0/24"), 1}).link == "eth1");
  CHECK(p.state.rules.contains(
      {Family::V4, 99, mark, kOptions.mark_mask, net::RuleAction::Lookup, table}));
  Packet x = packet("10.244.2.5", "8.8.8.8");
  x.iif = "egw0";
  x.source_mac = mac("66:00:00:00:00:02");
  for (const bool begins : {true, false}) {
    x.ct_new = begins;
    CHECK(run(ip4(p), "prerouting", x) == Verdict::Accept);
    CHECK(x.mark == mark);
    x.oif = "eth1";
    CHECK(run(ip4(p), "forward", x) == Verdict::Accept);
    CHECK(x.mark == 0);
  }
  CHECK(run(ip4(p), "postrouting", x) == Verdict::Accept);
  CHECK(x.snat == ip("10.7.0.77"));
  x.lease = false;
  CHECK(run(ip4(p), "prerouting", x) == Verdict::Drop);
  Packet six = packet("fd44:0:0:2::5", "2001:db8::8"); // that one is on the usual interface
  six.iif = "egw0";
  six.source_mac = mac("66:00:00:00:00:02");
  CHECK(run(ip6(p), "prerouting", six) == Verdict::Accept);
  CHECK(six.mark == 0);
  // A restart finds the index again.
  CHECK(recover_marks(p.state, w.nodes, kOptions).index.at(link_key("eth1")) == index);
  h.gateways.erase({"eth1", Family::V4});
  CHECK(plan(w, h).warnings.size() == 1);
}

TEST_CASE("nobody gets an EIP by using its address, or a remote pod's") {
  const AgentWorld w = gateway_for_remote();
  const NodePlan p = plan(w);
  Packet liar = packet("10.244.2.5", "8.8.8.8"); // from a pod of this node
  CHECK(run(ip4(p), "prerouting", liar) == Verdict::Accept);
  CHECK(liar.ct_mark == 0);                                  // no policy took it
  for (const NodePlan& seen : {p, plan(one_pod("node2"))}) { // held here, and elsewhere
    Packet eip = packet("10.6.1.1", "8.8.8.8");
    eip.oif = "eth0";
    CHECK(run(ip4(seen), "postrouting", eip) == Verdict::Drop);
    eip.destination = ip("10.244.1.9"); // by a load balancer outside, back into the cluster
    CHECK(run(ip4(seen), "postrouting", eip) == Verdict::Accept);
  }
}
