// SPDX-License-Identifier: Apache-2.0
#include "base/interval_set.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

namespace egw {

namespace {

void check(const Range& r) {
  if (r.first.family != r.last.family || r.last < r.first) {
    throw std::invalid_argument("range " + r.to_string() +
                                " ends before it begins or mixes families");
  }
}

// Addresses are ordered by family first, so these need not look at the family.
bool ends_before(const Range& r, const Address& a) {
  return r.last < a;
}
bool begins_after(const Address& a, const Range& r) {
  return a < r.first;
}

} // namespace

IntervalSet::IntervalSet(std::vector<Range> ranges) {
  std::for_each(ranges.begin(), ranges.end(), check);
  std::sort(ranges.begin(), ranges.end());
  // In order of their first addresses: each one extends the last range or goes after it.
  for (const auto& r : ranges) add(r);
}

void IntervalSet::add(const Range& r) {
  check(r);
  // All ranges that overlap or touch `r`: with it they become one.
  const Address low = r.first.prev().value_or(r.first);
  const Address high = r.last.next().value_or(r.last);
  const auto begin = std::lower_bound(ranges_.begin(), ranges_.end(), low, ends_before);
  const auto end = std::upper_bound(begin, ranges_.end(), high, begins_after);
  if (begin == end) {
    ranges_.insert(begin, r);
    return;
  }
  *begin = {std::min(begin->first, r.first), std::max(std::prev(end)->last, r.last)};
  ranges_.erase(std::next(begin), end);
}

void IntervalSet::remove(const Range& r) {
  check(r);
  const auto begin = std::lower_bound(ranges_.begin(), ranges_.end(), r.first, ends_before);
  const auto end = std::upper_bound(begin, ranges_.end(), r.last, begins_after);
  if (begin == end) return;
  // Of all that overlap `r`, at most a piece before it and a piece after it stay. What lies before
  // or after another address has a neighbour there.
  std::vector<Range> rest;
  if (begin->first < r.first) rest.push_back({begin->first, r.first.prev().value()});
  if (const Address last = std::prev(end)->last; r.last < last) {
    rest.push_back({r.last.next().value(), last});
  }
  const auto replaced = std::min(end - begin, static_cast<std::ptrdiff_t>(rest.size()));
  std::copy_n(rest.begin(), replaced, begin);
  const auto after = begin + replaced;
  if (after != end) {
    ranges_.erase(after, end);
  } else {
    ranges_.insert(after, rest.begin() + replaced, rest.end());
  }
}

bool IntervalSet::contains(const Address& a) const {
  return overlaps(Range::of(a));
}

bool IntervalSet::overlaps(const Range& r) const {
  const auto it = std::lower_bound(ranges_.begin(), ranges_.end(), r.first, ends_before);
  return it != ranges_.end() && it->first <= r.last;
}

std::optional<Range> IntervalSet::first_overlap(const IntervalSet& other) const {
  auto a = ranges_.begin();
  auto b = other.ranges_.begin();
  while (a != ranges_.end() && b != other.ranges_.end()) {
    const Address& first = std::max(a->first, b->first);
    const Address& last = std::min(a->last, b->last);
    if (first <= last) return Range{first, last};
    (a->last < b->last ? a : b)++;
  }
  return std::nullopt;
}

bool IntervalSet::empty(Family f) const {
  return !lowest(f);
}

std::uint64_t IntervalSet::size(Family f) const {
  std::uint64_t sum = 0;
  for (const auto& r : ranges_) {
    if (r.family() != f) continue;
    const std::uint64_t n = r.size();
    if (n > std::numeric_limits<std::uint64_t>::max() - sum) {
      return std::numeric_limits<std::uint64_t>::max();
    }
    sum += n;
  }
  return sum;
}

std::optional<Address> IntervalSet::lowest(Family f) const {
  return at_or_after(Address::zero(f));
}

std::optional<Address> IntervalSet::at_or_after(const Address& from) const {
  const auto it = std::lower_bound(ranges_.begin(), ranges_.end(), from, ends_before);
  if (it == ranges_.end() || it->family() != from.family) return std::nullopt;
  return std::max(it->first, from);
}

std::vector<Range> IntervalSet::ranges(Family f) const {
  const auto begin =
      std::lower_bound(ranges_.begin(), ranges_.end(), Address::zero(f), ends_before);
  const auto end = std::upper_bound(begin, ranges_.end(), Address::max(f), begins_after);
  return {begin, end};
}

std::vector<Prefix> to_prefixes(const Range& r) {
  check(r);
  std::vector<Prefix> out;
  std::optional<Address> next = r.first;
  while (next && *next <= r.last) {
    Prefix p = Prefix::host(*next);
    while (p.length > 0) {
      const auto shorter = static_cast<std::uint8_t>(p.length - 1);
      const auto bit = static_cast<std::uint8_t>(0x80U >> (shorter % 8U));
      const bool aligned = (p.address.bytes[shorter / 8U] & bit) == 0;
      if (!aligned || Prefix{p.address, shorter}.last() > r.last) break;
      p.length = shorter;
    }
    out.push_back(p);
    next = p.last().next();
  }
  return out;
}

} // namespace egw
