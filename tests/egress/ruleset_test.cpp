// SPDX-License-Identifier: Apache-2.0
#include "egress/ruleset.hpp"

#include <doctest/doctest.h>

#include "egress/node_planner.hpp"
#include "egress/node_plans.hpp"
#include "egress/statements.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;

TEST_CASE(
    "hash sets have room in steps of four, and what has too much of it keeps it for a while") {
  const auto table = [](std::uint32_t elements) {
    net::Table t;
    t.sets["remote_pods"] = {.key = net::KeyType::Ipv4, .data = net::DataType::Mark};
    for (std::uint32_t i = 0; i < elements; ++i) {
      t.sets.at("remote_pods").elements.insert_or_assign({nft::host32(i), {}}, nft::host32(1));
    }
    t.sets["alive"] = {.key = net::KeyType::NfProto, .timeout = true};
    return t;
  };
  const auto room = [](const net::Table& before, net::Table t) {
    keep_sizes(before, t);
    CHECK(t.sets.at("alive").size == 0); // elements that go by themselves have no such table
    return t.sets.at("remote_pods").size;
  };
  CHECK(room({}, table(0)) == 64);
  CHECK(room({}, table(64)) == 64);
  CHECK(room({}, table(65)) == 256);
  CHECK(room({}, table(10'000)) == 16'384);

  net::Table before = table(300);
  keep_sizes({}, before);
  REQUIRE(before.sets.at("remote_pods").size == 1024);
  CHECK(room(before, table(2000)) == 4096);
  CHECK(room(before, table(200)) == 1024);
  CHECK(room(before, table(0)) == 1024); // sixteen times
  before.sets.at("remote_pods").size = 4096;
  CHECK(room(before, table(60)) == 64);
}

TEST_CASE("every set that packets are looked up in has room for its elements") {
  const NodePlan p = plan(gateway_for_remote());
  for (const auto& [family, table] : p.state.tables) {
    for (const auto& [name, set] : table.sets) {
      CAPTURE(name);
      if (set.size != 0) CHECK(set.size >= set.elements.size());
      const bool sized = !set.interval && !set.timeout;
      if (family != net::NftFamily::Arp && name != "all_eips") CHECK((set.size != 0) == sized);
    }
  }
}

TEST_CASE("a plan from the beginning leaves sets the room that they have in the kernel") {
  const AgentWorld w = gateway_for_remote();
  net::State kernel = plan(w).state;
  net::Table& table = kernel.tables.at(net::NftFamily::Ip);
  REQUIRE(table.sets.at("pods").size == 1024); // more than nodes have
  table.sets.at("pods").size = 4096;           // more than it needs
  table.sets.at("sources").size = 65'536;      // far too much
  NodePlanner planner;
  const auto made = planner.plan(w, host(1), {}, kOptions, {}, kernel);
  CHECK_FALSE(planner.was_partial());
  CHECK(ip4(*made).sets.at("pods").size == 4096);
  CHECK(ip4(*made).sets.at("sources").size == 64);
}
