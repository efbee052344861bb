// SPDX-License-Identifier: Apache-2.0
#include "base/interval_set.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <bitset>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "base/parsed.hpp"

namespace egw {

namespace {

constexpr std::size_t window_size = 48;
using Naive = std::bitset<window_size>;

// A few addresses numbered from 0. The windows lie at both ends of both families, where stepping
// past the end is the danger; the first window is split over the end of IPv4 and the start of IPv6.
struct Window {
  const char* name;
  Address start;
  std::size_t split; // numbers from here on begin at `second`
  Address second;

  [[nodiscard]] Address at(std::size_t i) const {
    return (i < split ? start.plus(i) : second.plus(i - split)).value();
  }
};

std::vector<Window> windows() {
  return {
      {"across the families", addr("255.255.255.232"), 24, addr("::")},
      {"start of IPv4", addr("0.0.0.0"), window_size, {}},
      {"a carry in IPv4", addr("10.0.0.240"), window_size, {}},
      {"a carry in IPv6", addr("::ffff:ffff:ffff:fff0"), window_size, {}},
      {"end of IPv6", addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffd0"), window_size, {}},
  };
}

// Numbers first..last within one family.
struct Span {
  std::size_t first;
  std::size_t last;
};

Span random_span(std::mt19937& random, const Window& w) {
  std::size_t a = random() % window_size;
  std::size_t b = std::min(window_size - 1, a + random() % 6);
  if (a < w.split && b >= w.split) b = w.split - 1;
  return {a, b};
}

void check_invariant(const IntervalSet& set) {
  const auto& ranges = set.ranges();
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    REQUIRE(ranges[i].first.family == ranges[i].last.family);
    REQUIRE(ranges[i].first <= ranges[i].last);
    if (i == 0) continue;
    REQUIRE(ranges[i - 1].last < ranges[i].first);
    REQUIRE(ranges[i - 1].last.next() != ranges[i].first);
  }
}

void check_same(const IntervalSet& set, const Naive& naive, const Window& w) {
  check_invariant(set);
  REQUIRE(set.empty() == naive.none());
  std::uint64_t count[2] = {0, 0};
  for (std::size_t i = window_size; i-- > 0;) {
    const Address a = w.at(i);
    REQUIRE(set.contains(a) == naive[i]);
    if (naive[i]) ++count[a.family == Family::V4 ? 0 : 1];
    std::size_t next = i;
    while (next < window_size && !naive[next]) ++next;
    const bool found = next < window_size && w.at(next).family == a.family;
    REQUIRE(set.at_or_after(a) == (found ? std::optional(w.at(next)) : std::nullopt));
  }
  REQUIRE(set.size(Family::V4) == count[0]);
  REQUIRE(set.size(Family::V6) == count[1]);
  for (const Family f : {Family::V4, Family::V6}) {
    REQUIRE(set.empty(f) == (count[f == Family::V4 ? 0 : 1] == 0));
    std::optional<Address> lowest;
    for (std::size_t i = window_size; i-- > 0;) {
      if (naive[i] && w.at(i).family == f) lowest = w.at(i);
    }
    REQUIRE(set.lowest(f) == lowest);
    for (const Range& r : set.ranges(f)) REQUIRE(r.family() == f);
  }
  REQUIRE(set.ranges(Family::V4).size() + set.ranges(Family::V6).size() == set.ranges().size());
}

} // namespace

TEST_CASE("random changes keep the set equal to a set of single addresses") {
  std::mt19937 random(20260102);
  for (const Window& w : windows()) {
    CAPTURE(w.name);
    IntervalSet set;
    Naive naive;
    for (int step = 0; step < 400; ++step) {
      CAPTURE(step);
      const Span s = random_span(random, w);
      const Range r{w.at(s.first), w.at(s.last)};
      bool overlaps = false;
      for (std::size_t i = s.first; i <= s.last; ++i) overlaps = overlaps || naive[i];
      REQUIRE(set.overlaps(r) == overlaps);
      const bool add = random() % 2 == 0;
      if (add) {
        set.add(r);
      } else {
        set.remove(r);
      }
      for (std::size_t i = s.first; i <= s.last; ++i) naive[i] = add;
      check_same(set, naive, w);
    }
  }
}

TEST_CASE("one form for one content: the way to it leaves no trace") {
  std::mt19937 random(7);
  for (const Window& w : windows()) {
    CAPTURE(w.name);
    for (int round = 0; round < 40; ++round) {
      std::vector<Range> ranges;
      IntervalSet forward;
      for (int i = 0; i < 8; ++i) {
        const Span s = random_span(random, w);
        ranges.push_back({w.at(s.first), w.at(s.last)});
        forward.add(ranges.back());
      }
      CHECK(IntervalSet(ranges) == forward);
      std::reverse(ranges.begin(), ranges.end());
      IntervalSet backward;
      for (const Range& r : ranges) backward.add(r);
      CHECK(backward == forward);
      for (const Range& r : ranges) backward.remove(r);
      CHECK(backward.empty());
    }
  }
}

TEST_CASE("the first overlap of two sets") {
  std::mt19937 random(11);
  for (const Window& w : windows()) {
    CAPTURE(w.name);
    for (int round = 0; round < 60; ++round) {
      IntervalSet a;
      IntervalSet b;
      Naive both[2];
      for (int i = 0; i < 3; ++i) {
        const Span s = random_span(random, w);
        const Span t = random_span(random, w);
        a.add({w.at(s.first), w.at(s.last)});
        b.add({w.at(t.first), w.at(t.last)});
        for (std::size_t n = s.first; n <= s.last; ++n) both[0][n] = true;
        for (std::size_t n = t.first; n <= t.last; ++n) both[1][n] = true;
      }
      const Naive common = both[0] & both[1];
      std::optional<Range> expected;
      for (std::size_t n = 0; n < window_size && (!expected || common[n]); ++n) {
        if (!common[n]) continue;
        if (expected && expected->family() != w.at(n).family) break;
        expected = Range{expected ? expected->first : w.at(n), w.at(n)};
      }
      CHECK(a.first_overlap(b) == expected);
      CHECK(b.first_overlap(a) == expected);
    }
  }
}

TEST_CASE("the last IPv4 and the first IPv6 address never become one range") {
  IntervalSet set;
  set.add(cidr("0.0.0.0/0"));
  set.add(cidr("::/0"));
  CHECK(set.ranges().size() == 2);
  CHECK(set.size(Family::V4) == 0x100000000);
  CHECK(set.size(Family::V6) == std::numeric_limits<std::uint64_t>::max());
  set.remove(addr("255.255.255.255"));
  set.remove(addr("::"));
  CHECK(set.ranges(Family::V4) == std::vector{range("0.0.0.0-255.255.255.254")});
  CHECK(set.lowest(Family::V6) == addr("::1"));
}

TEST_CASE("a large CIDR costs one entry, and sizes saturate") {
  IntervalSet set;
  set.add(cidr("fd00::/64"));
  CHECK(set.ranges().size() == 1);
  CHECK(set.size(Family::V6) == std::numeric_limits<std::uint64_t>::max());
  set.remove(addr("fd00::1"));
  set.remove(addr("fd00::2"));
  CHECK(set.ranges().size() == 2);
  CHECK(set.size(Family::V6) == std::numeric_limits<std::uint64_t>::max() - 1);
  CHECK(set.at_or_after(addr("fd00::1")) == addr("fd00::3"));
  set.add(cidr("fd01::/64"));
  CHECK(set.size(Family::V6) == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("ranges that are none are refused") {
  IntervalSet set;
  const Range reversed{addr("10.0.0.9"), addr("10.0.0.1")};
  const Range mixed{addr("10.0.0.9"), addr("::1")};
  CHECK_THROWS_AS(set.add(reversed), std::invalid_argument);
  CHECK_THROWS_AS(set.remove(mixed), std::invalid_argument);
  CHECK_THROWS_AS(IntervalSet(std::vector{mixed}), std::invalid_argument);
  CHECK_THROWS_AS((void)to_prefixes(reversed), std::invalid_argument);
  CHECK(set.empty());
}

TEST_CASE("CIDRs of a range") {
  const auto text = [](std::string_view r) {
    std::string out;
    for (const Prefix& p : to_prefixes(range(r))) out += p.to_string() + " ";
    return out;
  };
  CHECK(text("10.0.0.1-10.0.0.9") == "10.0.0.1/32 10.0.0.2/31 10.0.0.4/30 10.0.0.8/31 ");
  CHECK(text("0.0.0.0/0") == "0.0.0.0/0 ");
  CHECK(text("::/0") == "::/0 ");
  CHECK(text("255.255.255.255") == "255.255.255.255/32 ");
  CHECK(text("fd00::-fd00::1:ffff:ffff") == "fd00::/95 ");
  CHECK(to_prefixes(range("::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe")).size() == 254);
}

TEST_CASE("CIDRs of every small range cover it exactly and are the fewest") {
  constexpr std::size_t size = 32;
  for (const Address& base : {addr("10.0.0.0"), addr("255.255.255.224"),
                              addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffe0")}) {
    for (std::size_t first = 0; first < size; ++first) {
      // fewest[n]: CIDRs needed for the addresses first..first+n-1, by trying all last blocks.
      std::vector<std::size_t> fewest{0};
      for (std::size_t last = first; last < size; ++last) {
        std::size_t best = size;
        for (std::size_t block = 1; block <= last + 1 - first; block *= 2) {
          const std::size_t start = last + 1 - block;
          if (start % block == 0) best = std::min(best, fewest[start - first] + 1);
        }
        fewest.push_back(best);
        const Range r{base.plus(first).value(), base.plus(last).value()};
        const auto prefixes = to_prefixes(r);
        std::optional<Address> next = r.first;
        for (const Prefix& p : prefixes) {
          REQUIRE(p.first() == next);
          REQUIRE(Prefix::parse_strict(p.to_string()).value() == p);
          next = p.last().next();
        }
        REQUIRE(prefixes.back().last() == r.last);
        REQUIRE(prefixes.size() == best);
      }
    }
  }
}

} // namespace egw
