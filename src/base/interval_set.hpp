// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/ip.hpp"

namespace egw {

// A set of addresses of both families, kept as disjoint, non-adjacent ranges in order: a /64 costs
// one entry. Operations are logarithmic or linear in the number of ranges, never in the number of
// addresses.
class IntervalSet {
 public:
  IntervalSet() = default;
  // The union of ranges in any order: one sort, where adding them one by one would move the rest
  // each time.
  explicit IntervalSet(std::vector<Range> ranges);

  // A range that ends before it begins or mixes families throws std::invalid_argument: a bug.
  void add(const Range& r);
  void add(const Prefix& p) { add(Range::of(p)); }
  void add(const Address& a) { add(Range::of(a)); }
  void remove(const Range& r);
  void remove(const Prefix& p) { remove(Range::of(p)); }
  void remove(const Address& a) { remove(Range::of(a)); }

  [[nodiscard]] bool contains(const Address& a) const;
  [[nodiscard]] bool overlaps(const Range& r) const;
  [[nodiscard]] std::optional<Range> first_overlap(const IntervalSet& other) const;
  [[nodiscard]] bool empty() const { return ranges_.empty(); }
  [[nodiscard]] bool empty(Family f) const;
  [[nodiscard]] std::uint64_t size(Family f) const; // addresses; saturates at 2^64-1
  [[nodiscard]] std::optional<Address> lowest(Family f) const;
  // The lowest address of the family of `from`, at or after it, that is in the set.
  [[nodiscard]] std::optional<Address> at_or_after(const Address& from) const;
  [[nodiscard]] const std::vector<Range>& ranges() const { return ranges_; }
  [[nodiscard]] std::vector<Range> ranges(Family f) const;

  bool operator==(const IntervalSet&) const = default;

 private:
  std::vector<Range> ranges_;
};

// The fewest CIDRs that cover the range exactly, in order.
[[nodiscard]] std::vector<Prefix> to_prefixes(const Range& r);

} // namespace egw
