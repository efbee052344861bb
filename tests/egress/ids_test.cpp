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
  CHECK(free_ids({33, 1}, {}).front() == 33);
  CHECK(free_ids({1}, {1, 2, 4}).front() == 3);
  std::set<std::int32_t> all;
  for (std::int32_t id = 1; id <= 32; ++id) all.insert(id);
  CHECK(free_ids({1}, all).empty());
  CHECK(free_ids({}, {}).empty());
}

TEST_CASE("ids: who wants a block gets the lowest one; nobody shares") {
  const auto plan = plan_blocks(
      {{33, "a", "ua", {}}},
      {{"a", "ua", kOld, {33}, 0}, {"b", "ub", kNow, {}, 1}, {"c", "uc", kOld, {}, 1}}, {}, kNow);
  REQUIRE(plan.blocks.size() == 3);
  CHECK(plan.blocks[0] == api::IdBlock{1, "c", "uc", {}}); // the older asks first
  CHECK(plan.blocks[1] == api::IdBlock{33, "a", "ua", {}});
  CHECK(plan.blocks[2] == api::IdBlock{65, "b", "ub", {}});
  CHECK_FALSE(plan.exhausted);
}

TEST_CASE("ids: the block of a gateway that is gone rests, then is given out again") {
  const auto gone = plan_blocks({{1, "a", "ua", {}}}, {{"b", "ub", kOld, {}, 1}}, {}, kNow);
  REQUIRE(gone.blocks.size() == 2);
  CHECK(gone.blocks[0].resting_until == kNow + 5min);
  CHECK(gone.blocks[1].first == 33);
  const std::vector<IdUser> wants = {{"b", "ub", kOld, {}, 1}};
  CHECK(plan_blocks({gone.blocks[0]}, wants, {}, kNow + 4min).blocks[0].gateway == "a");
  CHECK(plan_blocks({gone.blocks[0]}, wants, {}, kNow + 5min).blocks[0] ==
        api::IdBlock{1, "b", "ub", {}});
  // Time alone changes nothing, and neither does a gateway that can't be read at the moment.
  CHECK(plan_blocks({gone.blocks[0]}, {}, {}, kNow + 1h).blocks[0] == gone.blocks[0]);
  CHECK(plan_blocks({{1, "a", "ua", {}}}, {}, {"a"}, kNow).blocks[0].resting_until == WallTime{});
  // Of the same name, but another object.
  CHECK(plan_blocks({{1, "a", "ua", {}}}, {{"a", "other", kNow, {}, 0}}, {}, kNow)
            .blocks[0]
            .resting_until == kNow + 5min);
}

TEST_CASE("ids: ids in use bring their block back, the older gateway first") {
  const auto plan =
      plan_blocks({{2, "bad", "x", {}}},
                  {{"young", "uy", kNow, {5, 40}, 1}, {"old", "uo", kOld, {7}, 0}}, {}, kNow);
  REQUIRE(plan.blocks.size() == 2);
  CHECK(plan.blocks[0] == api::IdBlock{1, "old", "uo", {}});
  CHECK(plan.blocks[1] == api::IdBlock{33, "young", "uy", {}});
}

TEST_CASE("ids: all blocks given out") {
  std::vector<api::IdBlock> blocks;
  std::set<std::int32_t> one_of_each;
  for (std::int32_t first = 1; valid_block(first); first += 32) {
    blocks.push_back({first, "a", "ua", {}});
    one_of_each.insert(first);
  }
  CHECK(blocks.size() == 1023);
  const std::vector<IdUser> users = {{"a", "ua", kOld, one_of_each, 0}, {"b", "ub", kOld, {}, 1}};
  CHECK(plan_blocks(blocks, users, {}, kNow).exhausted);
  CHECK(plan_blocks(blocks, users, {}, kNow).blocks == blocks);
}

TEST_CASE("ids: blocks of which a gateway uses nothing go back, but for one") {
  const std::vector<api::IdBlock> blocks = {
      {1, "a", "ua", {}}, {33, "a", "ua", {}}, {65, "a", "ua", {}}, {97, "a", "ua", {}}};
  const auto plan = plan_blocks(blocks, {{"a", "ua", kOld, {40}, 0}}, {}, kNow);
  REQUIRE(plan.blocks.size() == 4);
  CHECK(plan.blocks[0].resting_until == WallTime{}); // the spare one
  CHECK(plan.blocks[1].resting_until == WallTime{}); // in use
  CHECK(plan.blocks[2].resting_until == kNow + 5min);
  CHECK(plan.blocks[3].resting_until == kNow + 5min);
  // The gateway takes one back while it rests, and one that is used after all stays.
  const auto again = plan_blocks(plan.blocks, {{"a", "ua", kOld, {40, 100}, 1}}, {}, kNow + 1min);
  CHECK(again.blocks[2].resting_until == WallTime{});
  CHECK(again.blocks[3].resting_until == WallTime{});
  // Rested: whoever asks gets it.
  const auto given = plan_blocks(
      plan.blocks, {{"a", "ua", kOld, {40}, 0}, {"b", "ub", kNow, {}, 1}}, {}, kNow + 6min);
  CHECK(given.blocks[2] == api::IdBlock{65, "b", "ub", {}});
  CHECK(plan_blocks(plan.blocks, {{"a", "ua", kOld, {40}, 0}}, {}, kNow + 1h).blocks ==
        plan.blocks);
}

TEST_CASE("ids: several blocks at once") {
  const auto plan = plan_blocks({{33, "a", "ua", {}}},
                                {{"a", "ua", kOld, {33}, 3}, {"b", "ub", kNow, {}, 1}}, {}, kNow);
  REQUIRE(plan.blocks.size() == 5);
  CHECK(plan.blocks[0] == api::IdBlock{1, "a", "ua", {}});
  CHECK(plan.blocks[2] == api::IdBlock{65, "a", "ua", {}});
  CHECK(plan.blocks[3] == api::IdBlock{97, "a", "ua", {}});
  CHECK(plan.blocks[4] == api::IdBlock{129, "b", "ub", {}});
}
