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
  std::map<std::string, std::size_t> by_uid;
  for (std::size_t i = 0; i < users.size(); ++i) by_uid.emplace(users[i].uid, i);
  std::set<std::string> with_spare; // gateways that have a block of which they use nothing
  // Whether the gateway exists and needs the block, or may soon: one spare block stays with it.
  const auto needed = [&](const api::IdBlock& block) {
    if (unknown.contains(block.gateway)) return true;
    const auto user = by_uid.find(block.gateway_uid);
    if (user == by_uid.end()) return false;
    IdUser& gateway = users[user->second];
    const auto first_used = gateway.ids.lower_bound(block.first);
    if (first_used != gateway.ids.end() && *first_used < block.first + api::kIdBlockSize) {
      return true;
    }
    if (block.resting_until != WallTime{}) {
      if (gateway.wants_blocks == 0) return false;
      --gateway.wants_blocks; // its own again
      return true;
    }
    return with_spare.insert(gateway.uid).second || gateway.wants_blocks > 0;
  };

  std::map<std::int32_t, api::IdBlock> blocks;
  for (api::IdBlock block : current) {
    if (!valid_block(block.first)) continue;
    if (needed(block)) {
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
      if (found) user.wants_blocks = 0; // there may be room in it; else it asks again
    }
  }
  std::int32_t next = 1; // what lies below is given out
  for (const IdUser& user : users) {
    for (std::int32_t wanted = user.wants_blocks; wanted > 0; next += api::kIdBlockSize) {
      if (!valid_block(next)) {
        plan.exhausted = true;
        break;
      }
      const auto at = blocks.find(next);
      const bool free = at == blocks.end() ||
                        (at->second.resting_until != WallTime{} && at->second.resting_until <= now);
      if (!free) continue;
      blocks[next] = {next, user.gateway, user.uid, {}};
      --wanted;
    }
  }
  for (auto& [first, block] : blocks) plan.blocks.push_back(std::move(block));
  return plan;
}

std::deque<std::int32_t> free_ids(const std::vector<std::int32_t>& blocks,
                                  const std::set<std::int32_t>& taken) {
  std::deque<std::int32_t> free;
  for (const std::int32_t first : blocks) {
    for (std::int32_t id = first; id < first + api::kIdBlockSize; ++id) {
      if (!taken.contains(id)) free.push_back(id);
    }
  }
  return free;
}

} // namespace egw::egress
