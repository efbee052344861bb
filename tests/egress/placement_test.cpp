// SPDX-License-Identifier: Apache-2.0
#include "egress/placement.hpp"

#include <doctest/doctest.h>

#include <map>

using namespace egw::egress;
using egw::api::PlacementPolicy;

namespace {

// Places `n` EIPs one after the other; returns how many each node got.
std::map<std::string, int> fill(PlacementPolicy policy, int limit, int n,
                                std::vector<Candidate> nodes) {
  std::map<std::string, int> out;
  for (int i = 0; i < n; ++i) {
    const auto chosen = choose_node(policy, limit, nodes);
    REQUIRE(chosen);
    ++nodes[*chosen].eips_here;
    ++nodes[*chosen].eips_all;
    ++out[nodes[*chosen].node];
  }
  return out;
}

const std::vector<Candidate> kThree = {{"b", 0, 0}, {"a", 0, 0}, {"c", 0, 0}};

} // namespace

TEST_CASE("placement: nowhere to go") {
  CHECK_FALSE(choose_node(PlacementPolicy::AverageSelection, 0, {}));
}

TEST_CASE("placement: AverageSelection evens out over all gateways, ties fall by name") {
  CHECK(kThree[*choose_node(PlacementPolicy::AverageSelection, 0, kThree)].node == "a");
  CHECK(fill(PlacementPolicy::AverageSelection, 0, 6, kThree) ==
        std::map<std::string, int>{{"a", 2}, {"b", 2}, {"c", 2}});
  CHECK(fill(PlacementPolicy::AverageSelection, 0, 3, {{"a", 0, 4}, {"b", 0, 1}, {"c", 0, 2}}) ==
        std::map<std::string, int>{{"b", 2}, {"c", 1}});
}

TEST_CASE("placement: MinimumNodeSelection fills one node") {
  CHECK(fill(PlacementPolicy::MinimumNodeSelection, 0, 5, kThree) ==
        std::map<std::string, int>{{"a", 5}});
  CHECK(fill(PlacementPolicy::MinimumNodeSelection, 0, 1, {{"a", 1, 9}, {"b", 2, 2}}) ==
        std::map<std::string, int>{{"b", 1}});
}

TEST_CASE("placement: LimitSelection fills nodes up to the limit, then evens out") {
  CHECK(fill(PlacementPolicy::LimitSelection, 2, 3, kThree) ==
        std::map<std::string, int>{{"a", 2}, {"b", 1}});
  CHECK(fill(PlacementPolicy::LimitSelection, 2, 9, kThree) ==
        std::map<std::string, int>{{"a", 3}, {"b", 3}, {"c", 3}});
}
