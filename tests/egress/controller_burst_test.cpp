// SPDX-License-Identifier: Apache-2.0
// Many objects to be written at once.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <set>
#include <string>

#include "egress/harness.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;

namespace {

Kind written_kind(const Write& write) {
  return key_of(write.object).kind;
}

std::ptrdiff_t of(const Harness& h, Kind kind) {
  return std::ranges::count(h.history, kind, written_kind);
}

} // namespace

TEST_CASE("controller: a node is lost: all gateways are written before what follows from them") {
  Harness h = cluster();
  for (int g = 0; g < 5; ++g) {
    const std::string gateway = fmt::format("g{}", g);
    h.gateway(gateway, {fmt::format("10.7.{}.1-10.7.{}.9", g, g)});
    for (int i = 1; i <= 3; ++i) {
      h.policy("default", fmt::format("{}-{}", gateway, i), gateway,
               fmt::format("10.7.{}.{}", g, i));
    }
  }
  h.settle();
  h.history.clear();
  h.node("node1", false);
  h.settle();
  CHECK(of(h, Kind::Gateway) > 2);
  CHECK(of(h, Kind::Policy) == 5); // a third of all
  const auto policy = std::ranges::find(h.history, Kind::Policy, written_kind);
  const auto gateways_after = std::count_if(
      policy, h.history.end(), [](const auto& w) { return written_kind(w) == Kind::Gateway; });
  CHECK(gateways_after == 0);
}

TEST_CASE(
    "controller: of very many objects a few are written at once, and all of them in the end") {
  ControllerOptions options;
  options.most_writes = 8;
  Harness h(options);
  for (int n = 0; n < 100; ++n) h.node(fmt::format("node{:03}", n), true, false, n + 1);
  h.restart(1);
  CHECK(h.settle() >= 100);
  CHECK(h.most_at_once <= 8 + 1); // EgressClusterInfo does not wait
  h.agents();
  h.settle();
  CHECK(h.core->pending(h.now.steady) == 0);
  CHECK(h.egress_node("node099").status.phase == api::NodePhase::Ready);
}

TEST_CASE("controller: 10,000 EIPs in ten gateways, and none more in one") {
  Harness h = cluster();
  for (int g = 0; g < 10; ++g) {
    h.gateway(fmt::format("big{}", g), {fmt::format("10.{}.0.0/21", 100 + g)});
    for (int i = 0; i < 1000; ++i) {
      h.policy("default", fmt::format("p{}-{}", g, i), fmt::format("big{}", g),
               fmt::format("10.{}.{}.{}", 100 + g, i / 250, 1 + i % 250));
    }
  }
  h.settle();
  std::set<std::int32_t> ids;
  std::map<std::string, std::size_t> held;
  for (int g = 0; g < 10; ++g) {
    for (int i = 0; i < 1000; ++i) {
      const auto& status = h.policy("default", fmt::format("p{}-{}", g, i)).status;
      ids.insert(status.eip_id);
      ++held[status.node];
    }
  }
  CHECK(ids.size() == 10000);
  CHECK(*ids.begin() >= 1);
  REQUIRE(held.size() == 3);
  for (const auto& [node, count] : held) CHECK(count >= 3333);

  h.policy("default", "one-more", "big0", "10.100.7.1");
  h.settle();
  const auto& refused = h.policy("default", "one-more").status;
  CHECK(refused.eip_id == 0);
  CHECK(h.condition(refused.conditions, kAllocated).starts_with("False"));
}

TEST_CASE("controller: a burst of 1,000 pods is one write for each slice") {
  Harness h = cluster();
  h.policy("default", "a", "eg1");
  h.settle();
  h.advance(std::chrono::minutes(1));
  h.history.clear();
  const Time start = h.now.steady;
  for (int i = 0; i < 1000; ++i) {
    h.pod("default", fmt::format("w{}", i), "node1",
          fmt::format("10.244.{}.{}", i / 200, 1 + i % 200));
    if (i == 0) h.pump(); // the first does not wait for the others
  }
  h.settle();
  CHECK(h.now.steady - start < std::chrono::seconds(2));
  const auto& slices = h.core->world().slices;
  CHECK(slices.size() == 10);
  CHECK(of(h, Kind::Slice) <= static_cast<std::ptrdiff_t>(slices.size()) + 1);
}
