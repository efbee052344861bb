// SPDX-License-Identifier: Apache-2.0
#include "egress/ruleset_hooks.hpp"

#include <doctest/doctest.h>

#include "egress/node_plans.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;

TEST_CASE("an EIP answers pings and nothing else that is unsolicited, while the lease lasts") {
  const NodePlan p = plan(one_pod("node1"));
  // pre_eip sees what opens a connection, before a Service can take it; prerouting all the rest.
  CHECK(ip4(p).chains.at("pre_eip").base == net::BaseChain{"nat", net::Hook::Prerouting, -110});
  for (const char* const base : {"pre_eip", "prerouting"}) {
    CAPTURE(base);
    Packet x = packet("8.8.8.8", "10.6.1.1");
    x.iif = "eth0";
    x.protocol = 6;
    x.destination_port = 22;
    CHECK(run(ip4(p), base, x) == Verdict::Drop);
    x.invalid = true; // the segment of a connection that nobody knows: no RST with the EIP
    CHECK(run(ip4(p), base, x) == Verdict::Drop);
    Packet ping = packet("8.8.8.8", "10.6.1.1");
    ping.iif = "eth0";
    ping.protocol = 1;
    ping.icmp_type = 8;
    CHECK(run(ip4(p), base, ping) == Verdict::Accept);
    ping.lease = false;
    CHECK(run(ip4(p), base, ping) == Verdict::Drop);
    Packet own = packet("8.8.8.8", "10.6.0.1"); // the node's own address is not concerned
    own.iif = "eth0";
    own.lease = false;
    CHECK(run(ip4(p), base, own) == Verdict::Accept);
  }
}

TEST_CASE("what no policy takes is dropped as well when it comes to an EIP unsolicited") {
  // No connection, so pre_eip does not see it: from a pod of no policy that is known or not yet,
  // and from one whose policy lets it go.
  AgentWorld w = one_pod("node1");
  auto away = policy("default", "app", "eg", 1);
  away.spec.dest_subnet = {"9.9.9.0/24"};
  add(w, away);
  NodeOptions strict = kOptions;
  strict.unknown_pods = UnknownPods::Drop;
  for (const NodeOptions& options : {kOptions, strict}) {
    const NodePlan p = plan_node(w, host(1), {}, options);
    for (const char* const source : {"10.244.1.5", "10.244.1.9", "8.8.8.8"}) {
      Packet x = packet(source, "10.6.1.1");
      x.invalid = true;
      CHECK(run(ip4(p), "prerouting", x) == Verdict::Drop);
    }
  }
}

TEST_CASE("nothing begins by a tunnel that is not in its group") {
  const NodePlan p = plan(gateway_for_remote());
  Packet x = packet("10.244.2.5", "8.8.8.8");
  x.iif = "egw0";
  CHECK(run(ip4(p), "pre_eip", x) == Verdict::Accept);
  x.grouped = false;
  CHECK(run(ip4(p), "pre_eip", x) == Verdict::Drop);
  x.iif = "eth0";
  CHECK(run(ip4(p), "pre_eip", x) == Verdict::Accept);
}

TEST_CASE("what comes by the tunnel bears the mark of replies as far as forward, in IPv4 alone") {
  const NodePlan p = plan(gateway_for_remote());
  for (const bool is_new : {true, false}) {
    Packet x = packet("10.244.2.5", "8.8.8.8");
    x.iif = "egw0";
    x.oif = "eth0";
    x.source_mac = mac("66:00:00:00:00:02");
    x.ct_new = is_new;
    x.ct_mark = is_new ? 0 : 0x10000;
    x.mark = 0x4000; // another's
    CHECK(run(ip4(p), "prerouting", x) == Verdict::Accept);
    CHECK(x.mark == 0x4001);
    CHECK(run(ip4(p), "forward", x) == Verdict::Accept);
    CHECK(x.mark == 0x4000);
  }
}

TEST_CASE("on a gateway a connection that has its EIP is not judged again, but its source is") {
  AgentWorld w = gateway_for_remote();
  Packet x = packet("10.244.2.5", "8.8.8.8");
  x.iif = "egw0";
  x.source_mac = mac("66:00:00:00:00:02");
  CHECK(run(ip4(plan(w)), "prerouting", x) == Verdict::Accept);
  REQUIRE(x.ct_mark == 0x10000);
  x.ct_new = false;
  // The policy names other destinations now: the pod's node drops this packet, and both forget the
  // connection. Until then its EIP stays what it was.
  auto narrowed = policy("default", "app", "eg", 1);
  narrowed.spec.dest_subnet = {"9.9.9.0/24"};
  add(w, narrowed);
  const NodePlan later = plan(w);
  CHECK(run(ip4(later), "prerouting", x) == Verdict::Accept);
  CHECK(x.ct_mark == 0x10000);
  Packet begins = x;
  begins.ct_new = true;
  begins.ct_mark = 0;
  CHECK(run(ip4(later), "prerouting", begins) == Verdict::Drop);
  Packet expired = x;
  expired.lease = false;
  CHECK(run(ip4(later), "prerouting", expired) == Verdict::Drop);
  Packet other_eip = x;
  other_eip.ct_mark = 0x20000; // not held here
  CHECK(run(ip4(later), "prerouting", other_eip) == Verdict::Drop);
  Packet forged = x;
  forged.source_mac = mac("66:00:00:00:00:03");
  CHECK(run(ip4(later), "prerouting", forged) == Verdict::Drop);
}

TEST_CASE("by the tunnel nothing comes in the name of a node, whatever its port") {
  const NodePlan p = plan(gateway_for_remote());
  Packet x = packet("10.6.0.2", "8.8.8.8");
  x.destination_port = 7789;
  x.iif = "eth0"; // an outer packet
  CHECK(run(ip4(p), "prerouting", x) == Verdict::Accept);
  x.iif = "egw0";
  x.source_mac = mac("66:00:00:00:00:02");
  CHECK(run(ip4(p), "prerouting", x) == Verdict::Drop);
}

TEST_CASE("the MSS is clamped to the smallest MTU on the way, as a number") {
  const auto clamped = [](const AgentWorld& w, const net::Host& h, const char* family) {
    const NodePlan p = plan(w, h);
    const auto& table = family == std::string("ip") ? ip4(p) : ip6(p);
    std::uint32_t mss = 0;
    for (const net::Rule& rule : table.chains.at("to_tunnel").rules) {
      for (const net::Expr& e : rule) {
        const auto* number = std::get_if<net::expr::Immediate>(&e);
        if (number != nullptr) mss = *number->data.begin() * 256U + number->data.begin()[1];
      }
    }
    return mss;
  };
  const AgentWorld pods_node = one_pod("node2");
  net::Host h = host(1);
  CHECK(clamped(pods_node, h, "ip") == 1500 - 50 - 40);
  CHECK(clamped(pods_node, h, "ip6") == 1500 - 50 - 60);
  h.links["egw0"] = {9, "egw0", {}, 1300, true};
  CHECK(clamped(pods_node, h, "ip") == 1300 - 40);
  h.links.at("egw0").mtu = 8950; // from when the parent had more
  CHECK(clamped(pods_node, h, "ip") == 1500 - 50 - 40);
  h.links.erase("egw0");
  h.links.at("eth0").mtu = 0;
  CHECK(clamped(pods_node, h, "ip") == 0); // not known: the kernel asks the route
  h.links.at("eth0").mtu = 1500;
  // The way of what comes by the tunnel leads on by the interface of the EIP.
  h.links["lan"] = {10, "lan", {}, 1400, true};
  h.addresses["lan"] = {cidr("10.6.1.9/24")};
  CHECK(clamped(one_pod("node1"), h, "ip") == 1400 - 40);
}
