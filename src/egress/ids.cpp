// SPDX-License-Identifier: Apache-2.0
#include "egress/ids.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include "base/chrono.hpp"

namespace egw::egress {

std::int32_t block_of(std::int32_t id) {
  return id - (id - 1) % api::kIdBlockSize;
}

bool valid_block(std::int32_t first) {
  return first >= 1 && block_of(first) == first && first + api::kIdBlockSize - 1 <= api::kMaxEipId;
}

BlockPlan plan_blocks(const std::vector<api::IdBlock>& current, std::vector<IdUser> users,
                      const std::set<std::string>& unknown, WallTime now) {
  std::sort(users.begin(), users.end(), [](const IdUser& a, const IdUser& b) {
    return std::tie(a.created, a.gateway) < std::tie(b.created, b.gateway);
  });
  const auto exists = [&](const api::IdBlock& block) {
    return unknown.contains(block.gateway) ||
           std::any_of(users.begin(), users.end(),
                       [&](const IdUser& u) { return u.uid == block.gateway_uid; });
  };

  std::map<std::int32_t, api::IdBlock> blocks;
  for (api::IdBlock block : current) {
    if (!valid_block(block.first)) continue;
    if (exists(block)) {
      block.resting_until = {};
    } else if (block.resting_until == WallTime{}) {
      block.resting_until = std::chrono::floor<std::chrono::seconds>(now) + kIdRest;
    }
    const auto [at, fresh] = blocks.emplace(block.first, block);
    // Two entries for one block, put there by hand: one that is in use wins over one that rests.
    if (!fresh && at->second.resting_until != WallTime{}) at->second = block;
  }

  BlockPlan plan;
  for (IdUser& user : users) {
    for (const std::int32_t id : user.ids) {
      const std::int32_t first = block_of(id);
      if (!valid_block(first)) continue;
      const bool found =
          blocks.try_emplace(first, api::IdBlock{first, user.gateway, user.uid, {}}).second;
      if (found) user.wants_block = false; // there may be room in it; else it asks again
    }
  }
  for (const IdUser& user : users) {
    if (!user.wants_block) continue;
    bool found = false;
    for (std::int32_t first = 1; valid_block(first) && !found; first += api::kIdBlockSize) {
      const auto at = blocks.find(first);
      found = at == blocks.end() ||
              (at->second.resting_until != WallTime{} && at->second.resting_until <= now);
      if (found) blocks[first] = {first, user.gateway, user.uid, {}};
    }
    plan.exhausted = plan.exhausted || !found;
  }
  for (auto& [first, block] : blocks) plan.blocks.push_back(std::move(block));
  return plan;
}

std::optional<std::int32_t> free_id(const std::vector<std::int32_t>& blocks,
                                    const std::set<std::int32_t>& taken) {
  for (const std::int32_t first : blocks) {
    for (std::int32_t id = first; id < first + api::kIdBlockSize; ++id) {
      if (!taken.contains(id)) return id;
    }
  }
  return std::nullopt;
}

} // namespace egw::egress
