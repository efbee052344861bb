// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "egress/node_places.hpp"
#include "egress/worlds.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;

TEST_CASE("an index spreads over the bits of the mask, lowest first") {
  CHECK(mark_of(0, 0x307f) == 0u);
  CHECK(mark_of(1, 0x307f) == 0x1u);
  CHECK(mark_of(0x7f, 0x307f) == 0x7fu);
  CHECK(mark_of(0x80, 0x307f) == 0x1000u);
  CHECK(mark_of(0x1ff, 0x307f) == 0x307fu);
  CHECK_FALSE(mark_of(0x200, 0x307f));
  CHECK(mark_of(3, 0x80000001) == 0x80000001u);
  CHECK_FALSE(mark_of(4, 0x80000001));
  std::set<std::uint32_t> seen;
  for (std::uint32_t i = 0; i < 512; ++i) {
    const auto mark = mark_of(i, 0x307f);
    REQUIRE(mark);
    CHECK((*mark & ~0x307fu) == 0);
    CHECK(seen.insert(*mark).second);
  }
}

TEST_CASE("an index stays with its node, and one that was just left is not used again at once") {
  const NodeOptions o;
  const Marks first = assign_marks({"a", "b", "c"}, {}, o);
  CHECK(first.index == std::map<std::string, std::uint32_t>{{"a", 2}, {"b", 3}, {"c", 4}});
  const Marks second = assign_marks({"b", "d"}, first, o);
  CHECK(second.index == std::map<std::string, std::uint32_t>{{"b", 3}, {"d", 5}});
  const Marks third = assign_marks({"b", "d", "e"}, second, o);
  CHECK(third.index.at("e") == 2);
}

TEST_CASE("when indices are scarce, those just left serve again, and too many nodes miss one") {
  NodeOptions o;
  o.mark_mask = 0x7; // indices 2..7
  const Marks full = assign_marks({"a", "b", "c", "d", "e", "f"}, {}, o);
  CHECK(full.index.size() == 6);
  const Marks next = assign_marks({"a", "b", "c", "d", "e", "g"}, full, o);
  CHECK(next.index.at("g") == full.index.at("f"));
  CHECK(assign_marks({"a", "b", "c", "d", "e", "f", "g"}, full, o).index.size() == 6);
  CHECK(assign_marks({"a", "b", "c", "d", "e", "f", "g"}, full, o).index == full.index);
}

TEST_CASE("indices are read from the tables of an earlier run") {
  const NodeOptions o;
  const AgentWorld w = world(4);
  net::State s;
  const auto route = [&](std::uint32_t table, const char* via) {
    const Address a = ip(via);
    s.routes.insert_or_assign({table, Prefix::all(a.family), 1},
                              {net::RouteType::Unicast, "egw0", a});
  };
  route(7702, "172.31.0.3");
  route(7702, "fd11::3");
  route(7705, "fd11::2");
  route(7706, "172.31.0.9");        // no such node
  route(7700, "172.31.0.4");        // replies
  route(7700 + 4096, "172.31.0.4"); // no index of the mask
  CHECK(recover_marks(s, w.nodes, o).index ==
        std::map<std::string, std::uint32_t>{{"node3", 2}, {"node2", 5}});
  route(7703, "fd11::4");
  s.routes.insert_or_assign(
      {7702, Prefix::all(Family::V6), 1},
      {net::RouteType::Unicast, "egw0", ip("fd11::4")}); // families that disagree
  const Marks odd = recover_marks(s, w.nodes, o);
  CHECK(odd.index ==
        std::map<std::string, std::uint32_t>{{"node2", 5}, {"node3", 2}, {"node4", 3}});
}
