// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <poll.h>

#include "net/diff.hpp"
#include "netns/sample.hpp"

using namespace egw;
using namespace egw::net;
using namespace egw::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("netns");

namespace {

// Whether a look is due within the time. Netlink tells before the change returns, but the kernel's
// link watch and address detection follow later.
bool due_within(Kernel& kernel, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  for (;;) {
    if (kernel.drain_events()) return true;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (left <= 0ms) return false;
    pollfd p{kernel.event_fd(), POLLIN, 0};
    poll(&p, 1, static_cast<int>(left.count()));
  }
}

void settle(Kernel& kernel) {
  while (due_within(kernel, 60ms)) (void)kernel.observe();
}

} // namespace

TEST_CASE("own changes are silent, from the first to the last") {
  const Node node;
  const Netns::Inside inside(node.ns);
  Kernel kernel{Ownership{}};
  Lease lease = kernel.lease();
  (void)kernel.observe();
  settle(kernel);
  State wanted = sample_state(node.parent());
  CHECK(print(reconcile(kernel, wanted)) == "");
  CHECK_FALSE(due_within(kernel, 1500ms)); // longer than the link watch's second
  REQUIRE(lease.refresh(100ms).ok());
  REQUIRE(lease.refresh(50ms).ok());
  CHECK_FALSE(due_within(kernel, 300ms)); // nor does its end
  wanted.tunnel->vni = 200;
  wanted.neighbours.erase({ip("172.31.0.2")});
  wanted.addresses.erase({"up0", prefix("2001:db8::50/128")});
  wanted.tables[NftFamily::Ip].sets["nodes"].elements.clear();
  CHECK(print(reconcile(kernel, wanted)) == "");
  CHECK_FALSE(due_within(kernel, 1500ms));
  CHECK(print(reconcile(kernel, State{})) == "");
  CHECK_FALSE(due_within(kernel, 300ms));
}

TEST_CASE("what others change and may concern us is told, the rest is not") {
  const Node node;
  const Netns::Inside inside(node.ns);
  Kernel kernel{shared_tables()};
  const State wanted = sample_state(node.parent());
  REQUIRE(print(reconcile(kernel, wanted)) == "");
  (void)kernel.observe();
  settle(kernel);
  for (const std::string change : {
           "ip link set egw0 down",
           "ip link set egw0 mtu 1400",
           "ip link set up0 mtu 1400",
           "ethtool -K egw0 gro on",
           "ethtool -K up0 gro on && ethtool -K up0 gro off", // which it is depends on the kernel
           "ip link set up0 down",
           "ip addr add 192.0.2.60/24 dev up0",
           "ip addr del 192.0.2.50/32 dev up0",
           "ip addr del 2001:db8::50/128 dev up0",
           "ip addr del 172.31.0.1/32 dev egw0",
           "ip route flush table 7702",
           "ip -6 route flush table 7702",
           "ip rule del pref 98",
           "ip -6 rule del pref 98",
           "ip neigh del 172.31.0.2 dev egw0",
           "ip neigh replace fe80::6600:2 lladdr 66:00:00:00:00:03 dev egw0",
           "bridge fdb del 66:00:00:00:00:02 dev egw0",
           "ip neigh add 172.31.0.3 lladdr 66:00:00:00:00:03 dev egw0 nud permanent",
           "ip route change default via 192.0.2.3",
           "nft flush ruleset",
           "nft add element ip egw nodes { 1.2.3.4 }",
           "nft add rule ip egw forward accept",
           "nft delete table arp egw",
           "iptables-nft -P FORWARD DROP",
           "iptables-nft -F FORWARD",
           "ip link del egw0",
       }) {
    CAPTURE(change);
    REQUIRE(print(reconcile(kernel, wanted)) == "");
    run("ip link set up0 up && ip route replace default via 192.0.2.2 && iptables-nft -P FORWARD "
        "ACCEPT && "
        "iptables-nft -A FORWARD -j ACCEPT");
    (void)kernel.observe();
    REQUIRE(print(reconcile(kernel, wanted)) == "");
    settle(kernel);
    run(change);
    CHECK(due_within(kernel, 2s));
  }
  REQUIRE(print(reconcile(kernel, wanted)) == "");
  settle(kernel);
  for (const std::string noise : {
           "ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev up0 nud reachable",
           "ping -c 1 -W 1 172.31.0.99 || true",
           "ping -c 1 -W 1 192.0.2.2 || true",
           "ip route add 198.51.100.0/24 via 192.0.2.2",
           "ip rule add pref 50 from 10.0.0.0/8 lookup main",
           "nft add table ip other && nft add chain ip other c && nft add rule ip other c drop",
           "iptables-nft -N THEIRS && iptables-nft -A THEIRS -j DROP",
           "nft add table inet egw",
           "ip link add v1 type veth peer name v2 && ip link set v1 up && ip link set v2 up && ip "
           "link del v1",
       }) {
    CAPTURE(noise);
    run(noise);
    CHECK_FALSE(due_within(kernel, 300ms));
  }
}

TEST_CASE("what others changed before our own change is told of after it") {
  const Node node;
  const Netns::Inside inside(node.ns);
  Kernel kernel{Ownership{}};
  State wanted = sample_state(node.parent());
  REQUIRE(print(reconcile(kernel, wanted)) == "");
  settle(kernel);
  wanted.tunnel->mtu = 1400;
  const Batch batch = diff(kernel.observe().state, wanted);
  run("ip rule del pref 98");
  CHECK(print(kernel.apply(batch)) == ""); // takes in all that was told until then
  pollfd p{kernel.event_fd(), POLLIN, 0};
  CHECK(poll(&p, 1, 0) == 1);
  CHECK(kernel.drain_events());
  CHECK(poll(&p, 1, 0) == 0);
}

TEST_CASE("lost messages mean a full look") {
  const Netns ns;
  const Netns::Inside inside(ns);
  Kernel kernel{Ownership{}};
  (void)kernel.observe();
  settle(kernel);
  // More than eight megabytes of notifications that by themselves concern nobody.
  run("for n in 1 2 3 4; do { echo 'add table ip other'; echo 'add set ip other s { type "
      "ipv4_addr; }'; "
      "for a in $(seq 0 127); do for b in $(seq 0 255); do echo \"add element ip other s { "
      "10.0.$a.$b }\"; done; done; echo 'delete table ip other'; } | nft -f -; done");
  CHECK(kernel.drain_events());
  CHECK_FALSE(kernel.drain_events());
}

TEST_SUITE_END();
