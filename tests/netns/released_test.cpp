// SPDX-License-Identifier: Apache-2.0
#include "netns/cluster.hpp"

// A connection's entry is deleted when its pod's policy goes or no longer names the destination.
// What the pod then sends to end it is INVALID for conntrack: nothing translates it. The CNI of
// these nodes, unlike Calico and kube-proxy, lets it pass.
using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;
using namespace egw::test;

namespace {

enum class End { Fin, Rst };

void end(Tcp& tcp, End how) {
  const linger now{how == End::Rst ? 1 : 0, 0};
  check_errno(setsockopt(tcp.client.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now), "linger");
  tcp.client = {};
}

} // namespace

TEST_SUITE_BEGIN("netns");

TEST_CASE("the end of a connection whose policy has gone shows the server no pod address") {
  Cluster c;
  c.watch_pods();
  AgentWorld changed = c.seen_by_one;
  SUBCASE("the policy is deleted") {
    changed.policies.clear();
  }
  SUBCASE("the policy names other destinations") {
    api::EgressPolicy other = c.app;
    other.spec.dest_subnet = {"198.51.100.0/24", "2001:db8:77::/64"};
    add(changed, other);
  }
  std::uint16_t port = 4000;
  for (const End how : {End::Fin, End::Rst}) {
    c.reconcile();
    for (const Try& t : kBoth) {
      Tcp tcp(c.server, c.pod, {t.pod, ++port}, {t.server, 80});
      REQUIRE(tcp.seen == t.eip);
      c.one.reconcile(changed);
      CHECK(c.one.forget_stale(t.pod) == 1);
      end(tcp, how);
      // What the pod begins anew is the CNI's; once it has come, the former would have.
      CHECK(round_trip(c, t, ++port) == std::string(t.node));
      CHECK_MESSAGE(!c.pod_seen(), "the server saw the pod: ", std::string(t.pod),
                    how == End::Fin ? " FIN" : " RST");
      c.one.start(); // an agent that starts anew leaves them held
      c.one.reconcile(c.seen_by_one);
    }
  }
  {
    const Netns::Inside inside(c.one.ns);
    CHECK(contains(run("nft list set ip egw released"), "10.244.1.5 timeout 5d"));
    CHECK(contains(run("nft list set ip6 egw released"), "fd44:0:0:1::5 timeout 5d"));
  }
  // All that other pods do is the CNI's.
  Tcp other(c.server, c.pod, {"10.244.1.6", ++port}, {"203.0.113.9", 80});
  {
    const Netns::Inside inside(c.one.ns);
    CHECK(net::Conntrack().forget(*net::Conntrack().find({ip("10.244.1.6")})));
  }
  end(other, End::Fin);
  CHECK(round_trip(c, {"10.244.1.6", "203.0.113.9", "", ""}, 5000) == "10.6.0.1");
  CHECK(c.pod_seen());
}

TEST_SUITE_END();
