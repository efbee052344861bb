// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "egress/port_watch.hpp"
#include "netns/cluster.hpp"

// Where an EIP stands, who is told, and what goes through it besides UDP to a few destinations.
using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;
using namespace egw::test;

namespace {

// A second wire: eth1 of the gateway node, eth1 of the server with a way to everywhere.
void second_wire(Cluster& c) {
  const Netns::Inside inside(c.two.ns);
  run("ip link add eth1 type veth peer name eth1 netns " + c.server.path() +
      " && ip addr add 10.7.0.2/24 dev eth1 && ip addr add fd07::2/64 dev eth1 nodad && "
      "sysctl -qw net.ipv4.conf.eth1.rp_filter=2 && ip link set eth1 up");
  const Netns::Inside there(c.server);
  run("ip addr add 10.7.0.254/24 dev eth1 && ip addr add fd07::254/64 dev eth1 nodad && "
      "ip link set eth1 up && sysctl -qw net.ipv4.conf.all.rp_filter=0");
}

// Gives the EIP of "app" other addresses.
void change_eip(Cluster& c, const std::string& four, const std::string& six) {
  c.app.status.eip_ipv4 = four;
  c.app.status.eip_ipv6 = six;
  for (AgentWorld* world : {&c.seen_by_one, &c.seen_by_two}) {
    add(*world, c.app);
    auto& e = world->gateways["eg"].status.node_list.at(0).eips.at(0);
    e.ipv4 = four;
    e.ipv6 = six;
  }
}

void change_app(Cluster& c) {
  add(c.seen_by_one, c.app);
  add(c.seen_by_two, c.app);
}

// Whether somebody on the server's interface answers for the address.
bool answers(const Cluster& c, const std::string& address, const std::string& link) {
  const Netns::Inside inside(c.server);
  const std::string f = address.find(':') == std::string::npos ? "-4" : "-6";
  run("ip " + f + " route replace " + address + " dev " + link + " && ip " + f +
      " neigh flush to " + address);
  (void)succeeds("ping -c1 -W1 " + address);
  const std::string seen = run("ip " + f + " neigh show to " + address + " dev " + link);
  run("ip " + f + " route del " + address + " dev " + link);
  return contains(seen, "lladdr");
}

} // namespace

TEST_SUITE_BEGIN("netns");

TEST_CASE("ARP and NDP for an EIP are answered on its own interface alone") {
  Cluster c;
  second_wire(c);
  c.reconcile();
  for (const char* eip : {"10.6.1.1", "fd06:1::1"}) {
    CAPTURE(std::string(eip));
    CHECK(answers(c, eip, "eth0"));
    CHECK_FALSE(answers(c, eip, "eth1"));
  }
  CHECK(answers(c, "10.6.0.2", "eth1")); // any other address of the node, as Linux does
}

TEST_CASE("an EIP in a second interface's subnet: flows, replies and announcements use that") {
  Cluster c;
  second_wire(c);
  {
    const Netns::Inside inside(c.two.ns);
    run("ip route add default via 10.7.0.254 dev eth1 metric 900 && "
        "ip -6 route add default via fd07::254 dev eth1 metric 2000");
  }
  {
    const Netns::Inside inside(c.server);
    run("nft 'table inet ways { chain in { type filter hook prerouting priority -300; "
        "iifname eth0 udp dport 53 counter; iifname eth1 udp dport 53 counter; }; }'");
  }
  change_eip(c, "10.7.0.77", "fd07::77");
  c.reconcile();
  c.watch_pods();
  CHECK(c.two.plan.state.addresses.contains({"eth1", cidr("10.7.0.77/32")}));
  CHECK(c.two.plan.warnings.empty());
  std::uint16_t port = 4000;
  for (const Try& t : kBoth) {
    const std::string eip = ip(t.eip).family == Family::V4 ? "10.7.0.77" : "fd07::77";
    Udp server(c.server, {t.server, 53}), pod(c.pod, {t.pod, ++port});
    for (int i = 0; i < 3; ++i) { // a connection that is being made, and one that stands
      pod.send({t.server, 53}, "hello");
      CHECK(server.receive(kLong) == eip);
      server.answer("yes");
      CHECK(pod.receive(kLong) == t.server);
    }
    CHECK(answers(c, eip, "eth1"));
    CHECK_FALSE(answers(c, eip, "eth0"));
  }
  CHECK_FALSE(c.pod_seen());
  const Netns::Inside inside(c.server);
  const std::string ways = run("nft list table inet ways");
  CHECK(contains(ways, "iifname \"eth0\" udp dport 53 counter packets 0 "));
  CHECK(contains(ways, "iifname \"eth1\" udp dport 53 counter packets 6 "));
}

TEST_CASE("an EIP's second interface without a way out, and one that may bear none, are told of") {
  Cluster c;
  second_wire(c);
  change_eip(c, "10.7.0.77", "fd07::77");
  c.reconcile();
  REQUIRE(c.two.plan.warnings.size() == 2);
  CHECK(contains(c.two.plan.warnings[0], "10.7.0.77 is in the subnet of eth1"));
  c.two.options.no_eip_links = {"eth1"};
  c.reconcile();
  CHECK(c.two.plan.state.addresses.contains({"eth0", cidr("10.7.0.77/32")}));
  CHECK_FALSE(answers(c, "10.7.0.77", "eth1"));
  c.two.options.eip_links = {"lan*"};
  c.reconcile();
  CHECK(contains(c.two.plan.warnings[0], "10.7.0.77 stands on no interface"));
  CHECK_FALSE(answers(c, "10.7.0.77", "eth0"));
}

TEST_CASE("what comes unasked to an EIP is dropped and not answered, but for a ping") {
  Cluster c;
  c.reconcile();
  struct Addresses {
    const char *server, *eip, *own, *any;
  };
  for (const auto& [from, eip, own, any] :
       {Addresses{"10.6.0.254", "10.6.1.1", "10.6.0.2", "0.0.0.0"},
        Addresses{"fd06::254", "fd06:1::1", "fd06::2", "::"}}) {
    CAPTURE(std::string(eip));
    // A service of the node that listens everywhere, and a port where nobody does.
    Udp service(c.two.ns, {any, 7100}), asks(c.server, {from, 5000});
    asks.send({eip, 7100}, "hello");
    CHECK(service.receive(kShort) == "");
    asks.send({own, 7100}, "hello");
    CHECK(service.receive(kLong) == from);
    const Netns::Inside inside(c.server);
    const auto refused = [&](const std::string& to) { // at once, by a reset or ICMP
      const std::string connect =
          fmt::format("timeout 1 bash -c 'exec 3<>/dev/tcp/{}/7101' 2>&1 || true", to);
      return contains(run(connect), "refused");
    };
    CHECK(refused(own));
    CHECK_FALSE(refused(eip));
    CHECK(succeeds(std::string("ping -c1 -W2 ") + eip));
  }
}

TEST_CASE("10,000 CIDRs in one policy") {
  Cluster c;
  std::vector<std::string>& to = c.app.spec.dest_subnet;
  for (int i = 0; i < 4999; ++i) { // none beside another, so that they stay apart
    to.push_back(fmt::format("100.64.{}.{}/32", 2 * i / 256, 2 * i % 256));
    to.push_back(fmt::format("2001:db8:1::{:x}/128", 2 * i));
  }
  to.insert(to.end(), {"203.0.113.9/32", "2001:db8::9/128"});
  change_app(c);
  c.reconcile();
  std::uint16_t port = 4000;
  for (const Try& t : kBoth) CHECK(round_trip(c, t, ++port) == t.eip);
  Udp other(c.server, {"10.6.0.254", 53}), pod(c.pod, {"10.244.1.5", ++port});
  pod.send({"10.6.0.254", 53}, "not named");
  CHECK(other.receive(kLong) == "10.6.0.1");
}

TEST_CASE("a few CIDRs of any length decide, and nft lists them as it would write them") {
  Cluster c;
  c.app.spec.dest_subnet = {"10.6.0.254/32", "198.18.0.0/15", "203.0.0.0/8",
                            "192.0.2.0/24",  "fd06::254/128", "2001:db8::/61"};
  change_app(c);
  c.reconcile();
  std::uint16_t port = 4000;
  for (const Try& t : kBoth) CHECK(round_trip(c, t, ++port) == t.eip);
  const Netns::Inside inside(c.one.ns);
  const std::string four = run("nft list table ip egw"), six = run("nft list table ip6 egw");
  CHECK(contains(four,
                 "ip daddr != 10.6.0.254 ip daddr != 192.0.2.0/24 ip daddr != 198.18.0.0/15 "
                 "ip daddr != 203.0.0.0/8"));
  // Of few lengths: data, and a look-up for each.
  CHECK(contains(six, "meta priority . ip6 daddr & ffff:ffff:ffff:fff8:: map @to_61"));
  CHECK(contains(six, "meta priority . ip6 daddr map @to_128"));
  CHECK(contains(four, "ct state new ct mark"));
}

TEST_CASE("1,000 policies on one pod: the last one decides what no other names") {
  Cluster c;
  c.app.spec.priority = 5000;
  c.app.spec.dest_subnet = {"0.0.0.0/0", "::/0"};
  change_app(c);
  for (int i = 0; i < 999; ++i) {
    auto p = policy("default", "p" + std::to_string(i), "eg", 1);
    p.spec.pod_selector = api::LabelSelector{{{"app", "app"}}, {}};
    p.spec.dest_subnet = {fmt::format("198.18.{}.{}/32", i / 250, i % 250)};
    p.spec.priority = 100 + i;
    add(c.seen_by_one, p);
    add(c.seen_by_two, p);
    add(c.seen_by_two, slice(p, {{"default", "a", "node1", {"10.244.1.5"}, {"fd44:0:0:1::5"}}}));
  }
  c.reconcile();
  std::uint16_t port = 4000;
  for (const Try& t : kBoth) CHECK(round_trip(c, t, ++port) == t.eip);
  const auto of = c.one.plan.classifier.decide(ip("10.244.1.5"), ip("198.18.3.248"));
  CHECK(of.nth == 998);
}

TEST_CASE("0.0.0.0/0 and ::/0 take everything outside the cluster and nothing inside") {
  Cluster c;
  c.app.spec.dest_subnet = {"0.0.0.0/0", "::/0"};
  change_app(c);
  c.reconcile();
  std::uint16_t port = 4000;
  for (const Try& t : kBoth) CHECK(round_trip(c, t, ++port) == t.eip);
  for (const Try& t : kBoth) { // a node is inside: as without a policy
    const char* const node = ip(t.eip).family == Family::V4 ? "10.6.0.2" : "fd06::2";
    Udp service(c.two.ns, {node, 7000}), pod(c.pod, {t.pod, ++port});
    pod.send({node, 7000}, "hello");
    CHECK(service.receive(kLong) == t.node);
  }
}

TEST_CASE(
    "a port is kept where it is free; where none is left connections are dropped, and counted") {
  Cluster c;
  add(c.seen_by_one, testing::pod("default", "b", {{"app", "app"}}, {"10.244.1.6"}));
  add(c.seen_by_two, slice(c.app, {{"default", "a", "node1", {"10.244.1.5"}, {}},
                                   {"default", "b", "node1", {"10.244.1.6"}, {}}}));
  c.reconcile();
  // Linux gives a port below 512 another one of these alone: a small range.
  constexpr std::uint16_t kFirst = 1, kLast = 511;
  const auto failures = [&] {
    const Netns::Inside inside(c.two.ns);
    return net::Conntrack().insert_failures().value();
  };
  Udp server(c.server, {"203.0.113.9", 53});
  for (std::uint16_t port = kFirst; port <= kLast; ++port) {
    Udp pod(c.pod, {"10.244.1.5", port});
    pod.send({"203.0.113.9", 53}, "a");
    REQUIRE(server.receive(kLong) == "10.6.1.1");
    CHECK(server.from_port() == port);
  }
  const auto before = failures();
  for (std::uint16_t port = kFirst; port <= 20; ++port) {
    Udp pod(c.pod, {"10.244.1.6", port});
    pod.send({"203.0.113.9", 53}, "b");
  }
  CHECK(server.receive(kShort) == "");
  CHECK(failures() - before == 20);
  // Another destination, or another port of it, has all of them again.
  Udp other(c.server, {"203.0.113.9", 54}), pod(c.pod, {"10.244.1.6", kFirst});
  pod.send({"203.0.113.9", 54}, "b");
  CHECK(other.receive(kLong) == "10.6.1.1");
  CHECK(other.from_port() == kFirst);
}

TEST_CASE("64,000 connections of one EIP to one destination at a time, each with its own port") {
  Cluster c;
  c.reconcile();
  for (const Node* node : {&c.one, &c.two}) {
    const Netns::Inside inside(node->ns);
    run("sysctl -qw net.netfilter.nf_conntrack_udp_timeout=600");
  }
  Udp server(c.server, {"203.0.113.9", 53});
  constexpr int kFirst = 1024, kCount = 64000;
  std::vector<bool> seen(65536);
  int arrived = 0;
  for (int i = 0; i < kCount; ++i) {
    const auto port = static_cast<std::uint16_t>(kFirst + i);
    Udp pod(c.pod, {"10.244.1.5", port});
    pod.send({"203.0.113.9", 53}, "a");
    if (server.receive(kLong) != "10.6.1.1") break;
    arrived += server.from_port() == port && !seen[port] ? 1 : 0;
    seen[port] = true;
  }
  CHECK(arrived == kCount);
  const Netns::Inside inside(c.two.ns);
  CHECK(std::stoi(run("conntrack -C")) >= kCount);
  // So the agent would say which EIP and destination have no port left.
  net::Conntrack conntrack;
  CrowdFinder finder(c.two.options, PortWatch::Timing{}.crowded);
  const std::uint32_t ours = c.two.options.ct_mask;
  const auto begin = [&] { finder.begin(); };
  REQUIRE(conntrack.each(ours, begin, [&](const net::Connection& x) { finder.first(x); }));
  REQUIRE(finder.any());
  REQUIRE(conntrack.each(ours, begin, [&](const net::Connection& x) { finder.second(x); }));
  const auto crowds = finder.crowds();
  REQUIRE(crowds.size() == 1);
  CHECK(crowds.front() == Crowd{1, IPPROTO_UDP, ip("203.0.113.9"), 53, kCount});
}

TEST_CASE("ICMP echo goes by the EIP") {
  Cluster c;
  c.reconcile();
  {
    const Netns::Inside inside(c.server);
    run("nft 'table inet pings { chain in { type filter hook prerouting priority -300; "
        "ip saddr 10.6.1.1 icmp type echo-request counter; "
        "ip6 saddr fd06:1::1 icmpv6 type echo-request counter; }; }'");
  }
  {
    const Netns::Inside inside(c.pod);
    for (const Try& t : kBoth) {
      CHECK(succeeds(fmt::format("ping -c3 -i0.2 -W2 -I {} {}", t.pod, t.server)));
    }
  }
  const Netns::Inside inside(c.server);
  const std::string seen = run("nft list table inet pings");
  CHECK_FALSE(contains(seen, "packets 0 "));
}

TEST_CASE("a pod that sends with an EIP or with a remote pod's address gets nothing out") {
  Cluster c;
  c.reconcile();
  // As on a node whose CNI checks nothing.
  const auto open =
      "for f in all eth0 " + std::string("; do sysctl -qw ") + "net.ipv4.conf.$f.rp_filter=0; done";
  Netns stranger; // a pod of the gateway node that is in no policy
  {
    const Netns::Inside inside(c.two.ns);
    run(open + " && ip link add cali2 type veth peer name eth0 netns " + stranger.path() +
        " && ip link set cali2 up && sysctl -qw net.ipv4.conf.cali2.rp_filter=0 && "
        "ip addr add 169.254.1.1/32 dev cali2 && ip addr add fe80::1/64 dev cali2 nodad");
  }
  {
    const Netns::Inside inside(c.one.ns);
    run(open + " && sysctl -qw net.ipv4.conf.cali1.rp_filter=0");
  }
  {
    const Netns::Inside inside(stranger);
    run("ip link set eth0 up && ip route add 169.254.1.1 dev eth0 && "
        "ip route add default via 169.254.1.1 dev eth0 && "
        "ip -6 route add default via fe80::1 dev eth0 && "
        "ip addr add 10.244.2.7/32 dev eth0 && ip -6 addr add fd44:0:0:2::7/128 dev eth0 nodad");
  }
  std::uint16_t port = 4000;
  for (const Try& t : kBoth) {
    CAPTURE(std::string(t.eip));
    const bool four = ip(t.eip).family == Family::V4;
    const std::string bits = four ? "/32" : "/128 nodad";
    Udp server(c.server, {t.server, 53});
    {
      Udp honest(stranger, {four ? "10.244.2.7" : "fd44:0:0:2::7", ++port});
      honest.send({t.server, 53}, "mine");
      CHECK(server.receive(kLong) == (four ? "10.6.0.2" : "fd06::2"));
    }
    for (const auto& [from, address] :
         {std::pair{&stranger, t.pod}, {&stranger, t.eip}, {&c.pod, t.eip}}) {
      const std::string it = std::string(address) + bits + " dev eth0";
      {
        const Netns::Inside inside(*from);
        run("ip addr add " + it);
      }
      Udp liar(*from, {address, ++port});
      liar.send({t.server, 53}, "not mine");
      const std::string seen = server.receive(kShort);
      CHECK_MESSAGE(seen != t.eip, address);
      const Netns::Inside inside(*from);
      run("ip addr del " + std::string(address) + (four ? "/32" : "/128") + " dev eth0");
    }
  }
}

TEST_SUITE_END();
