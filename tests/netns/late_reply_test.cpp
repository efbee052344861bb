// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "netns/cluster.hpp"

// A policy goes. The pod's node has already forgotten its connection, the gateway has not, and in
// between the server sends once more. Let go by the gateway, that would open a connection on the
// pod's node in which the pod is the one that answers: no NAT rule sees such answers. Only routes
// of a CNI without overlay show it, as here: through an overlay it dies under strict rp_filter.
using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;
using namespace egw::test;

namespace {

// A second pod, to which the server sends by way of the gateway: once that has come, whatever the
// server sent to the gateway before would have come too.
struct Behind {
  const char* pod;
  Udp server, other;

  Behind(const Cluster& c, const Try& t, const char* pod_)
      : pod(pod_), server(c.server, {t.server, 54}), other(c.pod, {pod, 54}) {}
  void await() {
    server.send({pod, 54}, "behind");
    REQUIRE(other.receive(kLong) != "");
  }
};

void route_by_gateway(const Cluster& c) {
  {
    const Netns::Inside inside(c.two.ns);
    run("ip route add 10.244.1.0/24 via 10.6.0.1 && ip -6 route add fd44:0:0:1::/64 via fd06::1");
  }
  {
    const Netns::Inside inside(c.server); // which would be told of the shorter way
    run("sysctl -qw net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.eth0.accept_redirects=0 "
        "net.ipv6.conf.eth0.accept_redirects=0 && ip route add 10.244.1.6 via 10.6.0.2 && "
        "ip -6 route add fd44:0:0:1::6 via fd06::2 && ip -6 route add fd44::/16 via fd06::1");
  }
  {
    const Netns::Inside inside(c.pod);
    run("ip addr add fd44:0:0:1::6/128 dev eth0 nodad");
  }
  const Netns::Inside inside(c.one.ns);
  run("ip -6 route add fd44:0:0:1::6/128 dev cali1");
}

// The node forgets, the gateway does not: its entry stands, and the pod is in no class any more.
void policy_goes(Cluster& c, const Try& t, std::uint16_t port) {
  AgentWorld world = c.seen_by_one;
  world.policies.clear();
  c.one.reconcile(world);
  CHECK(c.one.forget_stale(t.pod) == 1);
  world = c.seen_by_two;
  world.policies.clear();
  world.slices.clear();
  c.two.reconcile(world);
  const Netns::Inside inside(c.two.ns);
  const auto left = net::Conntrack().find({ip(t.pod)});
  REQUIRE(left);
  REQUIRE(std::ranges::count_if(*left, [&](const net::Connection& found) {
            return found.original.source_port == port && found.mark != 0;
          }) == 1);
}

} // namespace

TEST_SUITE_BEGIN("netns");

TEST_CASE(
    "a reply that the gateway still translates does not reach a pod whose node has forgotten") {
  Cluster c;
  route_by_gateway(c);
  c.watch_pods();
  std::uint16_t port = 4000;
  for (const auto& [t, second] : {std::pair{kBoth[0], "10.244.1.6"}, {kBoth[1], "fd44:0:0:1::6"}}) {
    CAPTURE(std::string(t.pod));
    Behind behind(c, t, second);
    {
      c.reconcile();
      ++port;
      Udp server(c.server, {t.server, 53}), pod(c.pod, {t.pod, port});
      pod.send({t.server, 53}, "first");
      REQUIRE(server.receive(kLong) == t.eip);
      policy_goes(c, t, port);
      server.answer("late");
      behind.await();
      CHECK(pod.receive(0) == "");
      // From now on the pod's traffic is the CNI's.
      pod.send({t.server, 53}, "second");
      CHECK(server.receive(kLong) == std::string(t.node));
      CHECK_FALSE(c.pod_seen());
    }
    {
      c.reconcile();
      ++port;
      Tcp tcp(c.server, c.pod, {t.pod, port}, {t.server, 80});
      REQUIRE(tcp.seen == t.eip);
      policy_goes(c, t, port);
      REQUIRE(send(tcp.served.get(), "late", 4, 0) == 4);
      behind.await();
      char byte = 0;
      CHECK(recv(tcp.client.get(), &byte, 1, MSG_DONTWAIT) == -1);
      // What the server does not know from the node's address it refuses.
      CHECK(send(tcp.client.get(), "second", 6, MSG_NOSIGNAL) == 6);
      const bool refused = recv(tcp.client.get(), &byte, 1, 0) == -1 && errno == ECONNRESET;
      CHECK(refused);
      CHECK_FALSE(c.pod_seen());
    }
  }
}

TEST_SUITE_END();
