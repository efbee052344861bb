// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/interval_set.hpp"
#include "egress/ruleset.hpp"
#include "net/state.hpp"

// The chain of a class of pods: one rule or more for each policy, in order. A packet does not come
// back from it: what no policy takes ends in kUntakenChain.
namespace egw::egress {

// Destinations up to this number of CIDRs are compared one by one: that is no slower than a look-up
// in a set of intervals, and each set costs the kernel time whenever any set of its table is named.
inline constexpr std::size_t kFewPrefixes = 4;
// From so many ranges on, hash sets are asked, one for each length of prefix, where there are few
// lengths: each look-up is 45 ns, one in a tree of 10,000 ranges 500. For shorter lists it is not
// worth the sets.
inline constexpr std::size_t kManyRanges = 256;
inline constexpr std::size_t kFewLengths = 4;

inline constexpr const char* kUntakenChain = "untaken";
[[nodiscard]] std::string eip_chain(std::int32_t id);
[[nodiscard]] net::KeyType key_type(Family family); // of an address
[[nodiscard]] net::Set interval_set(Family family, const std::vector<Range>& ranges);

struct ClassChain {
  net::Chain chain;
  std::map<std::string, net::Set> sets; // of destinations, named by content
};
[[nodiscard]] ClassChain class_chain(const PodClass& pod_class, Family family,
                                     const IntervalSet& cluster);

// The sets and maps of destinations that a chain names; each once.
[[nodiscard]] std::set<std::string> destination_sets(const net::Chain& chain);

} // namespace egw::egress
