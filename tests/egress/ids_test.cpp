// SPDX-License-Identifier: Apache-2.0
#include "egress/ids.hpp"

#include <doctest/doctest.h>

#include "base/chrono.hpp"

using namespace egw;
using namespace egw::egress;
using namespace std::chrono_literals;

namespace {
const WallTime kNow = parse_rfc3339("2026-01-01T00:00:00Z");
const WallTime kOld = kNow - 1h;
} // namespace

TEST_CASE("ids: blocks of 32 from 1 on, within 15 bits") {
  CHECK(block_of(1) == 1);
  CHECK(block_of(32) == 1);
  CHECK(block_of(33) == 33);
  CHECK(valid_block(1));
  CHECK_FALSE(valid_block(2));
  CHECK_FALSE(valid_block(0));
  CHECK_FALSE(valid_block(-31));
  CHECK(valid_block(32705));
  CHECK_FALSE(valid_block(32737)); // would hold 32768
}

TEST_CASE("ids: the lowest free id") {
  CHECK(free_id({33, 1}, {}) == 33);
  CHECK(free_id({1}, {1, 2, 4}) == 3);
  std::set<std::int32_t> all;
  for (std::int32_t id = 1; id <= 32; ++id) all.insert(id);
  CHECK_FALSE(free_id({1}, all));
  CHECK_FALSE(free_id({}, {}));
}

TEST_CASE("ids: who wants a block gets the lowest one; nobody shares") {
  const auto plan = plan_blocks(
      {{33, "a", "ua", {}}},
      {{"a", "ua", kOld, {33}, false}, {"b", "ub", kNow, {}, true}, {"c", "uc", kOld, {}, true}},
      {}, kNow);
  REQUIRE(plan.blocks.size() == 3);
  CHECK(plan.blocks[0] == api::IdBlock{1, "c", "uc", {}}); // the older asks first
  CHECK(plan.blocks[1] == api::IdBlock{33, "a", "ua", {}});
  CHECK(plan.blocks[2] == api::IdBlock{65, "b", "ub", {}});
  CHECK_FALSE(plan.exhausted);
}

TEST_CASE("ids: the block of a gateway that is gone rests, then is given out again") {
  const auto gone = plan_blocks({{1, "a", "ua", {}}}, {{"b", "ub", kOld, {}, true}}, {}, kNow);
  REQUIRE(gone.blocks.size() == 2);
  CHECK(gone.blocks[0].resting_until == kNow + 5min);
  CHECK(gone.blocks[1].first == 33);
  const std::vector<IdUser> wants = {{"b", "ub", kOld, {}, true}};
  CHECK(plan_blocks({gone.blocks[0]}, wants, {}, kNow + 4min).blocks[0].gateway == "a");
  CHECK(plan_blocks({gone.blocks[0]}, wants, {}, kNow + 5min).blocks[0] ==
        api::IdBlock{1, "b", "ub", {}});
  // Time alone changes nothing, and neither does a gateway that can't be read at the moment.
  CHECK(plan_blocks({gone.blocks[0]}, {}, {}, kNow + 1h).blocks[0] == gone.blocks[0]);
  CHECK(plan_blocks({{1, "a", "ua", {}}}, {}, {"a"}, kNow).blocks[0].resting_until == WallTime{});
  // Of the same name, but another object.
  CHECK(plan_blocks({{1, "a", "ua", {}}}, {{"a", "other", kNow, {}, false}}, {}, kNow)
            .blocks[0]
            .resting_until == kNow + 5min);
}

TEST_CASE("ids: ids in use bring their block back, the older gateway first") {
  const auto plan = plan_blocks(
      {{2, "bad", "x", {}}},
      {{"young", "uy", kNow, {5, 40}, true}, {"old", "uo", kOld, {7}, false}}, {}, kNow);
  REQUIRE(plan.blocks.size() == 2);
  CHECK(plan.blocks[0] == api::IdBlock{1, "old", "uo", {}});
  CHECK(plan.blocks[1] == api::IdBlock{33, "young", "uy", {}});
}

TEST_CASE("ids: all blocks given out") {
  std::vector<api::IdBlock> blocks;
  for (std::int32_t first = 1; valid_block(first); first += 32) {
    blocks.push_back({first, "a", "ua", {}});
  }
  CHECK(blocks.size() == 1023);
  const std::vector<IdUser> users = {{"a", "ua", kOld, {}, false}, {"b", "ub", kOld, {}, true}};
  CHECK(plan_blocks(blocks, users, {}, kNow).exhausted);
  CHECK(plan_blocks(blocks, users, {}, kNow).blocks == blocks);
}
