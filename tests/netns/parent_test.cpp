// SPDX-License-Identifier: Apache-2.0
#include "netns/cluster.hpp"

// The interface that the tunnel stands on: chosen, changed and taken away, with packets. After each
// change the kernel's own news lead to the repair, as in the agent.
using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;
using namespace egw::test;

namespace {

// What the API server is told of node2's parent, and tells node1.
void report(Cluster& c) {
  auto& status = c.seen_by_one.nodes["node2"].status;
  status.parent = c.two.plan.parent;
}

// A datagram may be lost while links and neighbours come back (IPv6 waits for the carrier); one
// with another source may not come.
void all_leave_by_the_eip(Cluster& c, std::uint16_t& port) {
  for (const Try& t : kBoth) {
    CAPTURE(std::string(t.eip));
    std::string seen = round_trip(c, t, ++port);
    for (int again = 0; again < 2 && seen.starts_with("no"); ++again) {
      seen = round_trip(c, t, ++port);
    }
    CHECK(seen == t.eip);
  }
  CHECK_FALSE(c.pod_seen());
}

std::string outer_family(Cluster& c) {
  const Netns::Inside inside(c.one.ns);
  return run("ip -d link show egw0 | grep -o 'local [^ ]*' | tr -d '\\n'");
}

// A second wire between the nodes, eth1 with 10.8.0.N, which no Node object lists.
void second_wire(Cluster& c) {
  const Netns::Inside inside(c.one.ns);
  run("ip link add eth1 type veth peer name eth1 netns " + c.two.ns.path() +
      " && ip addr add 10.8.0.1/24 dev eth1 && ip link set eth1 up");
  const Netns::Inside there(c.two.ns);
  run("ip addr add 10.8.0.2/24 dev eth1 && ip link set eth1 up");
}

} // namespace

TEST_SUITE_BEGIN("netns");

TEST_CASE("the tunnel goes over the subnet that was chosen: another interface, or IPv6") {
  Cluster c;
  second_wire(c);
  c.watch_pods();
  std::uint16_t port = 4000;
  for (const auto& [cidr, local] : {std::pair{"10.8.0.0/24", "local 10.8.0.1"},
                                    {"fd06::/16", "local fd06::1"},
                                    {"10.6.0.0/16", "local 10.6.0.1"}}) {
    for (Node* node : {&c.one, &c.two}) {
      node->options.tunnel_parent.subnets = parse_subnets(cidr).value();
    }
    c.two.reconcile(c.seen_by_two);
    report(c);
    c.seen_by_two.nodes["node1"].status.parent.ipv4 = "10.8.0.1";
    if (cidr[3] != '8') c.seen_by_two.nodes["node1"].status.parent.ipv4 = "10.6.0.1";
    c.reconcile();
    CHECK(outer_family(c) == local);
    all_leave_by_the_eip(c, port);
  }
}

TEST_CASE("an interface chosen by name, and by the Node's annotation before that") {
  Cluster c;
  second_wire(c);
  c.watch_pods();
  std::uint16_t port = 4000;
  for (Node* node : {&c.one, &c.two}) node->options.tunnel_parent.names = {"eth[0-9]", "bond*"};
  c.reconcile(); // of both the one whose address is known
  CHECK(outer_family(c) == "local 10.6.0.1");
  all_leave_by_the_eip(c, port);
  for (AgentWorld* world : {&c.seen_by_one, &c.seen_by_two}) {
    for (auto& [name, node] : world->nodes) {
      node.meta.annotations.set(api::kAnnotationTunnelParent, "eth1, 10.8.0.0/24");
    }
  }
  c.two.reconcile(c.seen_by_two);
  report(c);
  c.seen_by_two.nodes["node1"].status.parent.ipv4 = "10.8.0.1";
  c.reconcile();
  CHECK(outer_family(c) == "local 10.8.0.1");
  all_leave_by_the_eip(c, port);
}

namespace {

// `master`: what `ip link add` makes it with, after "type".
void follow_the_parent(const std::string& master) {
  Cluster c;
  c.reconcile();
  c.watch_pods();
  std::uint16_t port = 4000;
  all_leave_by_the_eip(c, port);
  const char* const routes =
      "ip route replace default via 10.6.0.254 && ip -6 route replace default via fd06::254";
  const auto change = [&](Node& node, const std::string& what) {
    CAPTURE(what);
    {
      const Netns::Inside inside(node.ns);
      run(what);
    }
    // Until it is followed nothing may leave by another way.
    for (const Try& t : kBoth) {
      Udp pod(c.pod, {t.pod, ++port});
      pod.send({t.server, 53}, "too early");
    }
    CHECK(node.await_change() < 1s);
    c.two.reconcile(c.seen_by_two);
    report(c);
    c.reconcile();
    all_leave_by_the_eip(c, port);
  };
  for (const bool gateway : {false, true}) {
    CAPTURE(gateway);
    Node& node = gateway ? c.two : c.one;
    const std::string n = gateway ? "2" : "1";
    const std::string six = " && ip addr replace fd06::" + n + "/16 dev ";
    change(node, "ip link set eth0 down && ip link set eth0 up" + six + "eth0 nodad && " + routes);
    change(node, "ip link set eth0 down && ip link set eth0 name lan0 && ip link set lan0 up" +
                     six + "lan0 nodad && " + routes);
    CHECK(node.plan.parent.name == "lan0");
    change(node,
           "ip link add br0 type " + master +
               " && ip link set br0 up && ip link set lan0 down && ip link set lan0 master br0 && "
               "ip link set lan0 up && ip addr flush dev lan0 && ip addr add 10.6.0." +
               n + "/16 dev br0" + six + "br0 nodad && " + routes);
    CHECK(node.plan.parent.name == "br0");
    // The Node object follows, as a kubelet would see to it.
    for (AgentWorld* world : {&c.seen_by_one, &c.seen_by_two}) {
      world->cluster.status.node_ip["node" + n] = {{"10.6.0.5" + n}, {"fd06::" + n}};
      world->nodes["node" + n].status.parent.ipv4 = "10.6.0.5" + n;
    }
    change(node, "ip addr del 10.6.0." + n + "/16 dev br0 && ip addr add 10.6.0.5" + n +
                     "/16 dev br0 && " + routes);
    CHECK(node.plan.parent.ipv4 == "10.6.0.5" + n);
    if (!gateway) {
      const Netns::Inside inside(c.server);
      run("ip route replace 10.244.0.0/16 via 10.6.0.51");
    }
  }
}

} // namespace

TEST_CASE("a parent that goes down, is renamed, moves below a bridge or changes its address") {
  follow_the_parent("bridge");
}

TEST_CASE("the same with a bond, where the kernel has them") {
  const std::string bond = "bond mode active-backup miimon 10";
  bool there = false;
  {
    const Netns probe;
    const Netns::Inside inside(probe);
    there = succeeds("ip link add b0 type " + bond);
  }
  if (there) {
    follow_the_parent(bond);
  } else {
    MESSAGE("this kernel has no bonds: not tried");
  }
}

TEST_SUITE_END();
