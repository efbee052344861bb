// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <vector>

#include "api/egress.hpp"
#include "base/chrono.hpp"

// EIP ids: 1..kMaxEipId, the same in the whole cluster, because they are connection marks on every
// gateway. A gateway takes its ids from blocks of kIdBlockSize, which EgressClusterInfo's status
// hands out by compare-and-swap; so no two gateways ever share one, whoever leads.
namespace egw::egress {

// How long an id or a block rests after its last use: connection entries with its mark have ended
// or been deleted by then.
inline constexpr std::chrono::minutes kIdRest{5};

[[nodiscard]] std::int32_t block_of(std::int32_t id); // the first id of the block that it lies in
[[nodiscard]] bool valid_block(std::int32_t first);

struct IdUser { // a gateway that exists
  std::string gateway, uid;
  WallTime created{};
  std::set<std::int32_t> ids;    // in use or resting
  std::int32_t wants_blocks = 0; // besides those that it has
};
struct BlockPlan {
  std::vector<api::IdBlock> blocks; // by first id
  bool exhausted = false;           // someone wanted a block and none was free
  bool operator==(const BlockPlan&) const = default;
};
// What the blocks should be: those of gateways that are gone rest, then may be given out again, and
// so do those of which a gateway uses nothing, but for one; ids
// that are used but stand in no block (the object was deleted) get their block back, the older
// gateway first; who wants one gets the lowest that is free. Blocks of a gateway named in `unknown`
// (it exists but can't be read) stay.
[[nodiscard]] BlockPlan plan_blocks(const std::vector<api::IdBlock>& current,
                                    std::vector<IdUser> users, const std::set<std::string>& unknown,
                                    WallTime now);

// Ids of the blocks (given by their first ids) that are not in `taken`, in order.
[[nodiscard]] std::deque<std::int32_t> free_ids(const std::vector<std::int32_t>& blocks,
                                                const std::set<std::int32_t>& taken);

} // namespace egw::egress
