// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>

#include <algorithm>
#include <string>
#include <vector>

#include "api/ranges.hpp"
#include "api/validate.hpp"
#include "base/base64.hpp"
#include "base/interval_set.hpp"
#include "base/ip.hpp"
#include "fuzz/fuzz.hpp"

// Lines of text as addresses, prefixes, ranges, MACs and pools; what is read is written and read
// again.
using namespace egw;
using egw::test::require;

namespace {

template <class T>
void check_error(const Result<T>& result) {
  if (result) return;
  const std::string& message = result.error().message;
  const auto plain = [](char c) { return c >= 0x20 && c < 0x7f; };
  require(std::all_of(message.begin(), message.end(), plain), "a message is plain ASCII");
  require(message.size() < 700, "a message is short whatever was written");
}

// glibc's reader is another's: both take the same but for what is refused on purpose.
void compare_with_libc(const std::string& text, const Result<Address>& ours) {
  const bool v6 = text.find(':') != std::string::npos;
  Address theirs = Address::zero(v6 ? Family::V6 : Family::V4);
  const bool taken = text.find('\0') == std::string::npos &&
                     ::inet_pton(v6 ? AF_INET6 : AF_INET, text.c_str(), theirs.bytes.data()) == 1;
  if (ours) require(taken && theirs == *ours, "an address is what inet_pton reads");
  const bool mapped =
      v6 && taken &&
      Prefix{Address::v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}), 96}.contains(theirs);
  if (taken && !mapped) require(ours.ok(), "what inet_pton reads is an address");
}

void address(const std::string& text) {
  const auto a = Address::parse(text);
  check_error(a);
  compare_with_libc(text, a);
  if (!a) return;
  const auto again = Address::parse(a->to_string());
  require(again && *again == *a, "an address comes back from its text");
  if (const auto next = a->next()) require(next->prev() == *a, "the one before the next");
  require(Prefix::host(*a).contains(*a), "a host prefix contains its address");
}

void prefix(const std::string& text) {
  const auto p = Prefix::parse(text), strict = Prefix::parse_strict(text);
  check_error(p);
  check_error(strict);
  if (strict) require(p && *p == *strict, "what is taken strictly is taken");
  if (!p) return;
  const auto again = Prefix::parse_strict(p->to_string());
  require(again && *again == *p, "a prefix comes back from its text");
  require(p->contains(p->first()) && p->contains(p->last()), "a prefix holds its ends");
  require(to_prefixes(Range::of(*p)) == std::vector{*p}, "a prefix is covered by itself");
  if (const auto after = p->last().next()) require(!p->contains(*after), "and ends there");
}

std::vector<Range> ranges(const std::vector<std::string>& lines) {
  std::vector<Range> all;
  for (const std::string& line : lines) {
    const auto r = Range::parse(line);
    check_error(r);
    if (!r) continue;
    require(r->first <= r->last && r->first.family == r->last.family, "a range is in order");
    const auto again = Range::parse(r->to_string());
    require(again && *again == *r, "a range comes back from its text");
    IntervalSet covered;
    for (const Prefix& p : to_prefixes(*r)) covered.add(p);
    require(covered.ranges() == std::vector{*r}, "CIDRs cover a range exactly");
    require(covered.size(r->family()) == r->size(), "and are as many addresses");
    all.push_back(*r);
  }
  return all;
}

void interval_set(const std::vector<Range>& all) {
  IntervalSet one_by_one;
  for (const Range& r : all) one_by_one.add(r);
  const IntervalSet at_once(all);
  require(one_by_one == at_once, "ranges are a set in any order");
  const auto& parts = at_once.ranges();
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const auto gap = parts[i - 1].last.next();
    const bool same = parts[i - 1].family() == parts[i].family();
    require(same ? gap && *gap < parts[i].first : parts[i - 1].last < parts[i].first,
            "the parts of a set are in order, with gaps between");
  }
  if (all.empty()) return;
  require(at_once.contains(all.front().first) && at_once.overlaps(all.front()), "what was added");
  one_by_one.remove(all.front());
  require(!one_by_one.overlaps(all.front()), "what was taken out");
  one_by_one.add(all.front());
  require(one_by_one == at_once, "and put back");
}

void pools(const std::vector<std::string>& lines) {
  api::EgressGatewaySpec spec;
  for (const std::string& line : lines)
    (line.find(':') == std::string::npos ? spec.ipv4_pool : spec.ipv6_pool).push_back(line);
  (void)api::pool_warnings(spec);
  const auto pools = api::parse_pools(spec);
  if (!pools) return;
  if (pools->default_v4) require(pools->addresses.contains(*pools->default_v4), "of the pool");
  if (pools->default_v6) require(pools->addresses.contains(*pools->default_v6), "of the pool");
}

void mac(const std::string& text) {
  const auto m = Mac::parse(text);
  check_error(m);
  if (!m) return;
  const auto again = Mac::parse(m->to_string());
  require(again && *again == *m, "a MAC comes back from its text");
}

void base64(std::string_view text) {
  const auto back = base64_decode(base64_encode(text));
  require(back && *back == text, "bytes come back from base64");
  const auto bytes = base64_decode(text);
  if (!bytes) return;
  const auto again = base64_decode(base64_encode(*bytes));
  require(again && *again == *bytes, "what base64 was read as comes back");
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = test::text_of(data, size);
  std::vector<std::string> lines{""};
  for (const char c : text) {
    if (c == '\n') {
      lines.emplace_back();
    } else {
      lines.back() += c;
    }
  }
  for (const std::string& line : lines) {
    address(line);
    prefix(line);
    mac(line);
  }
  interval_set(ranges(lines));
  pools(lines);
  base64(text);
  for (const std::string& word : api::split_words(text)) require(!word.empty(), "a word");
  (void)api::service_ranges_of(lines);
  return 0;
}
