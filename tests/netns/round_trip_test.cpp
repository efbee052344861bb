// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "net/diff.hpp"
#include "netns/sample.hpp"

using namespace egw;
using namespace egw::net;
using namespace egw::test;

TEST_SUITE_BEGIN("netns");

namespace {

void check_equal(const State& seen, const State& wanted) {
  CHECK(seen.tunnel == wanted.tunnel);
  CHECK(seen.addresses == wanted.addresses);
  CHECK(seen.routes == wanted.routes);
  CHECK(seen.rules == wanted.rules);
  CHECK(seen.neighbours == wanted.neighbours);
  CHECK(seen.fdb == wanted.fdb);
  for (const auto& [family, table] : wanted.tables) {
    REQUIRE(seen.tables.contains(family));
    for (const auto& [name, set] : table.sets) {
      CAPTURE(name);
      REQUIRE(seen.tables.at(family).sets.contains(name));
      CHECK(seen.tables.at(family).sets.at(name) == set);
    }
    for (const auto& [name, chain] : table.chains) {
      CAPTURE(name);
      REQUIRE(seen.tables.at(family).chains.contains(name));
      const Chain& have = seen.tables.at(family).chains.at(name);
      CHECK(have.base == chain.base);
      const auto is = have.rules.unpacked(), should_be = chain.rules.unpacked();
      REQUIRE(is.size() == should_be.size());
      for (std::size_t i = 0; i < is.size(); ++i)
        CHECK_MESSAGE(is[i] == should_be[i], to_string(is[i]) << "\n" << to_string(should_be[i]));
    }
  }
  CHECK(seen == wanted);
}

} // namespace

TEST_CASE("what is applied reads back equal, and a second look finds nothing to do") {
  const Node node;
  const Netns::Inside inside(node.ns);
  const State wanted = sample_state(node.parent());
  Kernel kernel{Ownership{}};
  CHECK(print(reconcile(kernel, wanted)) == "");
  const Observation seen = kernel.observe();
  check_equal(seen.state, wanted);
  CHECK(print(diff(seen.state, wanted)) == "");
  CHECK(seen.host.default_link.at(Family::V4) == "up0");
  CHECK(seen.host.default_link.at(Family::V6) == "up0");
}

TEST_CASE("maps in a chain of lookups, intervals that touch, and classes without users") {
  const Node node;
  const Netns::Inside inside(node.ns);
  Kernel kernel{Ownership{}};
  State wanted;
  Table& t = wanted.tables[NftFamily::Ip];
  t.sets["marks"] = {
      KeyType::Ipv4, DataType::Mark, false, false, {{element("10.0.0.1"), key_of(7U)}}};
  t.sets["classes"] = {KeyType::Mark,
                       DataType::Verdict,
                       false,
                       false,
                       {{element(7U), Verdict{VerdictKind::Goto, "c"}}}};
  t.sets["touching"] = {
      KeyType::Ipv4,
      DataType::None,
      true,
      false,
      {{interval("10.0.0.0", "10.0.0.255"), {}}, {interval("10.0.1.0", "10.0.1.7"), {}}}};
  t.chains["c"] = {};
  t.chains["pre"] = {BaseChain{"filter", Hook::Prerouting, 0},
                     {{expr::Payload{expr::PayloadBase::Network, 12, 4, 1},
                       expr::Lookup{"marks", 1, 1}, expr::Lookup{"classes", 1, 0, false, true}}}};
  CHECK(print(reconcile(kernel, wanted)) == "");
  State seen = kernel.observe().state;
  CHECK(print(diff(seen, wanted)) == "");
  CHECK(seen.tables[NftFamily::Ip].sets["touching"].elements ==
        Elements{{interval("10.0.0.0", "10.0.1.7"), {}}});
  CHECK(seen.tables[NftFamily::Ip].chains == t.chains);
}

TEST_CASE("nft prints what was written as people would write it") {
  const Node node;
  const Netns::Inside inside(node.ns);
  Kernel kernel{Ownership{}};
  REQUIRE(print(reconcile(kernel, sample_state(node.parent()))) == "");
  CHECK(run("nft -j list ruleset | jq -r '.nftables[] | .table.name // empty' | sort -u") ==
        "egw\n");
  const std::string text = run("nft list ruleset");
  for (const std::string line : {
           "iifname \"egw0\" drop",
           "ct mark & 0x7fff0000 == 0x00010000 accept",
           "ct state new ct mark set ct mark & 0x0001ffff | 0x00010000",
           "ip daddr @d_1 goto eip_2",
           "ip6 daddr != @cluster goto eip_1",
           "type filter hook prerouting priority raw - 10; policy accept;",
           "udp dport 7789 ip saddr @nodes notrack accept",
           "udp dport 7789 fib daddr type local drop",
           "meta nfproto != @alive ip daddr @eipaddrs drop",
           "ip saddr vmap @pods",
           "meta mark set ip saddr map @marks",
           "meta mark vmap @classes",
           "tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu",
           "oifname \"egw0\" snat to ip saddr",
           "snat to ct mark & 0x7fff0000 map @eips",
           "type hook nat", // replaced below: proves that a missing line is noticed
           "elements = { 10.0.0.0/8, 127.0.0.0/8,",
           "elements = { 0x00010000 : 192.0.2.50 }",
           "elements = { 10.1.0.5 . 66:00:00:00:00:02 }",
           "elements = { \"up0\" }",
       }) {
    CAPTURE(line);
    CHECK(contains(text, line) == (line != "type hook nat"));
  }
}

TEST_SUITE_END();
