// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/egress.hpp"

// Which node holds an EIP. The same input always gives the same answer; ties fall by name.
namespace egw::egress {

struct Candidate {
  std::string node;
  std::int64_t eips_here = 0; // of the gateway in question
  std::int64_t eips_all = 0;  // of all gateways
};

// AverageSelection: the node with the fewest EIPs of all gateways. MinimumNodeSelection: the one
// that already has the most of this gateway, so that few nodes are used. LimitSelection: like that
// among the nodes with fewer than `limit` EIPs; when none has fewer, like AverageSelection. Returns
// an index; nothing when there is no candidate.
[[nodiscard]] std::optional<std::size_t> choose_node(api::PlacementPolicy policy,
                                                     std::int32_t limit,
                                                     const std::vector<Candidate>& candidates);

} // namespace egw::egress
