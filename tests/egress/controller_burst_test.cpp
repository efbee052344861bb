// SPDX-License-Identifier: Apache-2.0
// Many objects to be written at once.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "egress/harness.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;

namespace {

Kind written_kind(const Write& write) {
  return key_of(write.object).kind;
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
  const auto of = [&](Kind kind) {
    return std::ranges::count_if(h.history,
                                 [kind](const auto& w) { return written_kind(w) == kind; });
  };
  CHECK(of(Kind::Gateway) > 2);
  CHECK(of(Kind::Policy) == 5); // a third of all
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
