// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "net/diff.hpp"
#include "netns/sample.hpp"

using namespace egw;
using namespace egw::net;
using namespace egw::test;

TEST_SUITE_BEGIN("netns");

TEST_CASE("a restart changes nothing, not even a handle") {
  const Node node;
  const Netns::Inside inside(node.ns);
  const State wanted = sample_state(node.parent());
  auto first = std::make_unique<Kernel>(Ownership{});
  REQUIRE(print(reconcile(*first, wanted)) == "");
  // Addresses of the veth pair settle by themselves for a second; ours are what is compared.
  const char* ours =
      "nft -s -j list ruleset && ip -d -j link show egw0 && ip -j addr show egw0 && ip rule && "
      "ip -6 rule && ip route show table all proto 217 && ip -6 route show table all proto 217 && "
      "ip neigh show dev egw0 nud permanent && bridge fdb show dev egw0";
  const std::string before = run(ours);
  const bool bound = first->tables_are_bound();
  first.reset();
  Kernel restarted{Ownership{}};
  const Batch batch = diff(restarted.observe().state, wanted);
  CHECK(print(batch) ==
        (bound ? "nft: take table ip\nnft: take table ip6\nnft: take table arp\n" : ""));
  CHECK(print(restarted.apply(batch)) == "");
  const std::string after = run(ours);
  std::size_t same = 0;
  while (same < before.size() && same < after.size() && before[same] == after[same]) ++same;
  CHECK_MESSAGE(after == before, before.substr(same, 200) << "\n" << after.substr(same, 200));
}

TEST_CASE("what is changed by hand is put right, and nothing else is asked of the kernel") {
  const Node node;
  const Netns::Inside inside(node.ns);
  const State wanted = sample_state(node.parent());
  Kernel kernel{shared_tables()};
  REQUIRE(print(reconcile(kernel, wanted)) == "");
  for (const std::string harm : {
           "ip link del egw0",
           "ip link set egw0 down",
           "ip link set egw0 address 66:00:00:00:00:99",
           "ip link set egw0 mtu 1300",
           "echo 1 > /proc/sys/net/ipv4/conf/egw0/rp_filter",
           "ip link set egw0 group 0",
           "echo 0 > /proc/sys/net/ipv4/conf/egw0/src_valid_mark",
           "ip link set egw0 addrgenmode eui64",
           "ethtool -K egw0 gro on",
           "ip link set egw0 type vxlan learning",
           "ip addr del 172.31.0.1/32 dev egw0",
           "ip addr del fe80::6600:1/64 dev egw0",
           "ip addr add 172.31.0.9/32 dev egw0",
           "ip addr del 192.0.2.50/32 dev up0",
           "ip addr del 2001:db8::50/128 dev up0",
           "ip route flush table 7702",
           "ip -6 route flush table 7702",
           "ip route replace default via 172.31.0.77 dev egw0 onlink table 7702 metric 1 proto 217",
           "ip -6 route replace default via fe80::77 dev egw0 onlink table 7702 metric 1 proto 217",
           "ip route add 198.51.100.0/24 via 172.31.0.2 dev egw0 onlink table 7700 proto 217",
           "ip rule del pref 98",
           "ip -6 rule del pref 100",
           "ip rule add pref 97 fwmark 0x9/0x307f lookup 7709 proto 217",
           "ip neigh del 172.31.0.2 dev egw0",
           "ip neigh replace fe80::6600:2 lladdr 66:00:00:00:00:aa dev egw0 nud permanent",
           "ip neigh add 172.31.0.88 lladdr 66:00:00:00:00:88 dev egw0 nud permanent",
           "bridge fdb del 66:00:00:00:00:02 dev egw0",
           "bridge fdb replace 66:00:00:00:00:02 dev egw0 dst 192.0.2.99",
           "bridge fdb add 66:00:00:00:00:77 dev egw0 dst 192.0.2.99",
           "nft flush ruleset",
           "nft delete table arp egw",
           "nft flush chain ip egw prerouting",
           "nft add rule ip egw forward accept",
           "nft insert rule ip6 egw raw_pre ct state established accept",
           "nft add rule ip egw input ip saddr { 10.0.0.1, 10.0.0.2 } accept",
           "nft delete element ip egw nodes { 192.0.2.2 }",
           "nft add element ip egw nodes { 203.0.113.9 }",
           "nft delete element ip egw pods { 10.1.0.5 }",
           "nft delete element ip egw pods { 10.1.0.5 } && nft add element ip egw pods { 10.1.0.5 "
           ": drop }",
           "nft delete element ip6 egw cluster { fd00::/8 }",
           "nft add element ip egw cluster { 172.16.0.0/12 }",
           "nft flush set ip egw d_1",
           "nft add chain ip egw stranger && nft add rule ip egw stranger drop",
           "nft add set ip egw extra '{ type inet_service; flags interval; }'",
           "nft add map ip egw extra '{ type inet_service : verdict; elements = { 80 : goto lone "
           "}; }'",
           "nft chain ip egw forward '{ policy drop; }'",
           "nft add table ip egw '{ flags dormant; }'",
           "nft flush chain ip egw postrouting && nft delete chain ip egw postrouting",
           "nft flush chain ip egw postrouting && nft delete chain ip egw postrouting && "
           "nft add chain ip egw postrouting '{ type nat hook postrouting priority 100; }'",
           "nft flush chain ip egw prerouting && nft delete map ip egw classes && "
           "nft add map ip egw classes '{ type ipv4_addr : verdict; }'",
       }) {
    CAPTURE(harm);
    run(harm);
    const Batch batch = diff(kernel.observe().state, wanted);
    CHECK_FALSE(batch.empty());
    CHECK(print(kernel.apply(batch)) == "");
    const State after = kernel.observe().state;
    CHECK(print(diff(after, wanted)) == "");
    CHECK(after == wanted);
    CHECK(run("sysctl -n net.ipv4.conf.egw0.rp_filter") == "2\n");
    CHECK_FALSE(contains(run("nft list table ip egw"), "dormant"));
  }
}

// Kernels before 5.18 keep no mark of an address's owner: there its form is the mark.
TEST_CASE("an EIP that was given another form by hand is put right, or told of as another's") {
  const Node node;
  const Netns::Inside inside(node.ns);
  const State wanted = sample_state(node.parent());
  Kernel kernel{Ownership{}};
  REQUIRE(print(reconcile(kernel, wanted)) == "");
  run("ip addr change 192.0.2.50/32 dev up0 preferred_lft forever valid_lft forever proto 217");
  const bool marked = contains(run("ip addr show dev up0"), " proto ");
  const std::string told = print(reconcile(kernel, wanted));
  CHECK((kernel.observe().state == wanted) == marked);
  CHECK(contains(told, "192.0.2.50/32, which is not ours") != marked);
}

TEST_CASE("a tunnel with another number is made anew with all that stood on it") {
  const Node node;
  const Netns::Inside inside(node.ns);
  State wanted = sample_state(node.parent());
  Kernel kernel{Ownership{}};
  REQUIRE(print(reconcile(kernel, wanted)) == "");
  wanted.tunnel->vni = 101;
  CHECK(print(reconcile(kernel, wanted)) == "");
  CHECK(kernel.observe().state == wanted);
  wanted.tunnel->port = 4789;
  wanted.tunnel->local = ip("2001:db8::1");
  wanted.tunnel->mtu = 1400;
  wanted.fdb[mac("66:00:00:00:00:02")] = ip("2001:db8::2");
  CHECK(print(reconcile(kernel, wanted)) == "");
  CHECK(kernel.observe().state == wanted);
  CHECK(contains(run("ip -d link show egw0"), "vxlan id 101 local 2001:db8::1 dev up0"));
}

TEST_CASE("a half-made tunnel of a process that died is taken up") {
  const Node node;
  const Netns::Inside inside(node.ns);
  const State wanted = sample_state(node.parent());
  run("ip link add egw0 address 66:00:00:00:00:01 mtu 1450 type vxlan id 100 dstport 7789 local "
      "192.0.2.1 dev up0 "
      "nolearning");
  Kernel kernel{Ownership{}};
  CHECK(print(reconcile(kernel, wanted)) == "");
  CHECK(kernel.observe().state == wanted);
}

TEST_CASE("everything goes, and what others made stays as it was") {
  const Node node;
  const Netns::Inside inside(node.ns);
  run("nft add table ip other && nft add chain ip other egw && nft add table inet egw && "
      "nft add set inet egw alive '{ type ipv4_addr; elements = { 1.2.3.4 }; }' && "
      "ip addr add 192.0.2.77/32 dev up0 preferred_lft 0 && ip addr add 192.0.2.78/32 dev up0 "
      "proto 99 && "
      "ip route add 198.51.100.0/24 via 192.0.2.2 table 7702 proto static && "
      "ip route add 203.0.113.0/24 via 192.0.2.2 proto bgp && ip -6 route add 2001:db8:1::/48 via "
      "2001:db8::2 && "
      "ip rule add pref 99 fwmark 0x4/0x307f lookup 7702 && ip -6 rule add pref 98 from "
      "2001:db8:9::/64 lookup main proto 218 && "
      "ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev up0 nud permanent && "
      "ip link add type vxlan external 2>/dev/null; ip link add name vx1 type vxlan id 7 dstport "
      "4790 dev up0 && "
      "bridge fdb append 00:00:00:00:00:00 dev vx1 dst 192.0.2.44");
  // The kernel's own addresses of the veth settle by themselves: they are not part of the
  // comparison.
  const char* others =
      "nft -j list ruleset && ip -j -d link show vx1 && ip -4 -j addr show up0 && ip -j rule && ip "
      "-6 -j rule && "
      "ip -j route show table all && ip -6 -j route show 2001:db8:1::/48 && ip -j neigh show nud "
      "permanent && bridge -j fdb show dev vx1";
  const std::string before = run(others);
  Kernel kernel{Ownership{}};
  const State wanted = sample_state(node.parent());
  REQUIRE(print(reconcile(kernel, wanted)) == "");
  CHECK(kernel.observe().state == wanted);
  CHECK(run(others) != before);
  CHECK(print(reconcile(kernel, State{})) == "");
  CHECK(kernel.observe().state == State{});
  CHECK(run(others) == before);
}

TEST_CASE("a link of our name that is not ours is refused and left alone") {
  const Node node;
  const Netns::Inside inside(node.ns);
  const State wanted = sample_state(node.parent());
  for (const std::string make :
       {"ip link add egw0 type veth peer name egw1",
        "ip link add egw0 type vxlan id 100 dstport 7789 local 192.0.2.1 dev up0 nolearning && "
        "ip link set egw0 up"}) {
    CAPTURE(make);
    run(make);
    const std::string before = run("ip -d -j link show egw0");
    Kernel kernel{Ownership{}};
    const Observation seen = kernel.observe();
    CHECK_FALSE(seen.state.tunnel);
    CHECK(seen.host.links.contains("egw0"));
    const std::string errors = print(kernel.apply(diff(seen.state, wanted)));
    CHECK(contains(errors,
                   "a link named egw0 is there and is not ours (its alias is not \"egw tunnel\")"));
    CHECK(run("ip -d -j link show egw0") == before);
    CHECK(print(reconcile(kernel, State{})) == "");
    CHECK(run("ip -d -j link show egw0") == before);
    run("ip link del egw0");
  }
}

TEST_CASE("an address or a route that another holds is reported and left alone") {
  const Node node;
  const Netns::Inside inside(node.ns);
  run("ip addr add 192.0.2.50/32 dev up0 && ip route add blackhole default table 7702 metric 1 "
      "proto static");
  const State wanted = sample_state(node.parent());
  Kernel kernel{Ownership{}};
  const auto errors = reconcile(kernel, wanted);
  CHECK(errors.size() == 2);
  const std::string text = print(errors);
  CHECK(contains(text,
                 "add egress IP address 192.0.2.50/32 on up0: up0 already has 192.0.2.50/32, which "
                 "is not ours"));
  CHECK(contains(text,
                 "add route 0.0.0.0/0 table 7702 metric 1 via 172.31.0.2 dev egw0: routing "
                 "protocol 4 holds this route"));
  CHECK(contains(run("ip addr show up0"), "inet 192.0.2.50/32 scope global up0"));
  CHECK(contains(run("ip route show table 7702"), "blackhole default proto static metric 1"));
  CHECK(contains(run("ip addr show up0"), "2001:db8::50/128"));
}

TEST_CASE("an error belongs to its step and does not stop the others") {
  const Node node;
  const Netns::Inside inside(node.ns);
  State wanted = sample_state(node.parent());
  wanted.routes.insert_or_assign({7710, prefix("0.0.0.0/0"), 1},
                                 {RouteType::Unicast, "missing0", ip("172.31.0.9")});
  wanted.routes.insert_or_assign({7711, prefix("0.0.0.0/0"), 1},
                                 {RouteType::Unicast, "egw0", ip("224.0.0.9")});
  Kernel kernel{Ownership{}};
  const auto errors = reconcile(kernel, wanted);
  REQUIRE(errors.size() == 2);
  // Refused before it is sent, and refused by the kernel with its own words.
  CHECK(errors[0].message ==
        "add route 0.0.0.0/0 table 7710 metric 1 via 172.31.0.9 dev missing0: there is no link "
        "missing0");
  CHECK(errors[0].code == ENODEV);
  CHECK(contains(
      errors[1].message,
      "add route 0.0.0.0/0 table 7711 metric 1 via 224.0.0.9 dev egw0: Invalid argument: "));
  wanted.routes.erase({7710, prefix("0.0.0.0/0"), 1});
  wanted.routes.erase({7711, prefix("0.0.0.0/0"), 1});
  CHECK(kernel.observe().state == wanted);
}

TEST_CASE("a refused ruleset changes nothing and keeps egress IPs away") {
  const Node node;
  const Netns::Inside inside(node.ns);
  State wanted = sample_state(node.parent());
  wanted.tables[NftFamily::Ip].chains["eip_2"].rules = {
      {expr::Decide{{VerdictKind::Goto, "nowhere"}}}};
  Kernel kernel{Ownership{}};
  const auto errors = reconcile(kernel, wanted);
  const std::string text = print(errors);
  CHECK(contains(text, "write 1 rule of ip chain eip_2: No such file or directory"));
  CHECK(contains(text,
                 "steps that follow the nftables transaction were not taken, the first: add egress "
                 "IP address 192.0.2.50/32 on up0"));
  CHECK(run("nft list ruleset") == "");
  CHECK_FALSE(contains(run("ip addr show up0"), "192.0.2.50"));
  CHECK(contains(run("ip rule"), "fwmark 0/0x307f goto 100"));
}

TEST_CASE("deleting what vanished meanwhile is success") {
  const Node node;
  const Netns::Inside inside(node.ns);
  const State wanted = sample_state(node.parent());
  Kernel kernel{shared_tables()};
  REQUIRE(print(reconcile(kernel, wanted)) == "");
  State less = wanted;
  less.tables[NftFamily::Ip].sets["nodes"].elements.clear();
  less.tables[NftFamily::Ip].chains.erase("lone");
  less.rules.clear();
  less.routes.clear();
  less.addresses.erase({"up0", prefix("192.0.2.50/32")});
  const Batch batch = diff(kernel.observe().state, less);
  run("nft delete chain ip egw lone && nft delete element ip egw nodes { 192.0.2.2 } && ip rule "
      "del pref 98 && "
      "ip route flush table 7702 && ip addr del 192.0.2.50/32 dev up0");
  CHECK(print(kernel.apply(batch)) == "");
  CHECK(kernel.observe().state == less);
}

TEST_CASE("intervals that overlap in a map are refused before they are sent") {
  const Netns ns;
  const Netns::Inside inside(ns);
  Kernel kernel{Ownership{}};
  State wanted;
  wanted.tables[NftFamily::Ip].chains["c"] = {};
  wanted.tables[NftFamily::Ip].sets["m"] = {
      KeyType::Ipv4,
      DataType::Verdict,
      true,
      false,
      {{interval("10.0.0.0", "10.0.0.9"), Verdict{VerdictKind::Goto, "c"}},
       {interval("10.0.0.5", "10.0.0.6"), Verdict{}}}};
  const auto errors = reconcile(kernel, wanted);
  REQUIRE(errors.size() == 1);
  CHECK(errors[0].message == "set m, element 0a000005-0a000006: overlaps 0a000000-0a000009");
  CHECK(run("nft list ruleset") == "");
}

TEST_SUITE_END();
