// SPDX-License-Identifier: Apache-2.0
#include "egress/placement.hpp"

#include <tuple>

namespace egw::egress {

namespace {

template <class Rank>
std::optional<std::size_t> best(const std::vector<Candidate>& candidates, const Rank& rank) {
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (!found || rank(candidates[i]) < rank(candidates[*found])) found = i;
  }
  return found;
}

} // namespace

std::optional<std::size_t> choose_node(api::PlacementPolicy policy, std::int32_t limit,
                                       const std::vector<Candidate>& candidates) {
  const auto average = [](const Candidate& c) {
    return std::tuple<bool, std::int64_t, std::int64_t, const std::string&>(false, c.eips_all, 0,
                                                                            c.node);
  };
  const auto fullest = [](const Candidate& c) {
    return std::tuple<bool, std::int64_t, std::int64_t, const std::string&>(false, -c.eips_here,
                                                                            c.eips_all, c.node);
  };
  switch (policy) {
    case api::PlacementPolicy::AverageSelection:
      return best(candidates, average);
    case api::PlacementPolicy::MinimumNodeSelection:
      return best(candidates, fullest);
    case api::PlacementPolicy::LimitSelection:
      break;
  }
  return best(candidates, [&](const Candidate& c) {
    const bool over = c.eips_all >= limit;
    return std::tuple<bool, std::int64_t, std::int64_t, const std::string&>(
        over, over ? c.eips_all : -c.eips_here, c.eips_all, c.node);
  });
}

} // namespace egw::egress
