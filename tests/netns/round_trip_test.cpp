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
      REQUIRE(have.rules.size() == chain.rules.size());
      for (std::size_t i = 0; i < chain.rules.size(); ++i)
        CHECK_MESSAGE(have.rules[i] == chain.rules[i],
                      to_string(have.rules[i]) << "\n" << to_string(chain.rules[i]));
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

TEST_SUITE_END();
