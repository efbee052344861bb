// SPDX-License-Identifier: Apache-2.0
#include "netns/cluster.hpp"

// A pod that sends before its address is in the API, and one that sends after it left it.
using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;
using namespace egw::test;

namespace {

constexpr std::array kYoung = {Try{"10.244.1.6", "203.0.113.9", "10.6.1.1", "10.6.0.1"},
                               Try{"fd44:0:0:1::6", "2001:db8::9", "fd06:1::1", "fd06::1"}};

void give_second_ipv6(const Cluster& c) {
  {
    const Netns::Inside inside(c.one.ns);
    run("ip -6 route add fd44:0:0:1::6/128 dev cali1");
  }
  const Netns::Inside inside(c.pod);
  run("ip addr add fd44:0:0:1::6/128 dev eth0 nodad");
}

} // namespace

TEST_SUITE_BEGIN("netns");

TEST_CASE("a pod that sends before its address is known sends nothing outside") {
  Cluster c;
  give_second_ipv6(c);
  c.reconcile();
  std::uint16_t port = 4000;
  // Nobody of a policy starts: an address that no pod is known to have is left alone.
  for (const Try& t : kYoung) CHECK(first_packet(c, t, ++port) == std::string(t.node));

  add(c.seen_by_one, testing::pod("default", "young", {{"app", "app"}}, {}));
  c.one.reconcile(c.seen_by_one);
  const std::uint16_t early = ++port;
  for (const Try& t : kYoung) CHECK(first_packet(c, t, early).empty());
  for (const Try& t : kBoth) CHECK(round_trip(c, t, ++port) == std::string(t.eip));

  add(c.seen_by_one,
      testing::pod("default", "young", {{"app", "app"}}, {"10.244.1.6", "fd44:0:0:1::6"}));
  add(c.seen_by_two,
      slice(c.app, {{"default", "a", "node1", {"10.244.1.5"}, {"fd44:0:0:1::5"}},
                    {"default", "young", "node1", {"10.244.1.6"}, {"fd44:0:0:1::6"}}}));
  c.reconcile();
  // The same socket as before, so that what it began early would show.
  for (const Try& t : kYoung) CHECK(round_trip(c, t, early) == std::string(t.eip));
}

TEST_CASE("a pod whose object has gone sends nothing outside, until its address is another's") {
  Cluster c;
  c.reconcile();
  std::uint16_t port = 4000;
  for (const Try& t : kBoth) CHECK(round_trip(c, t, ++port) == std::string(t.eip));
  c.seen_by_one.pods.clear();
  c.one.reconcile(c.seen_by_one);
  for (const Try& t : kBoth) CHECK(first_packet(c, t, ++port).empty());
  c.one.start(); // an agent that starts anew keeps it so
  c.one.reconcile(c.seen_by_one);
  for (const Try& t : kBoth) CHECK(first_packet(c, t, ++port).empty());
  add(c.seen_by_one, testing::pod("elsewhere", "b", {}, {"10.244.1.5", "fd44:0:0:1::5"}));
  c.one.reconcile(c.seen_by_one);
  for (const Try& t : kBoth) CHECK(round_trip(c, t, ++port) == std::string(t.node));
}

TEST_SUITE_END();
