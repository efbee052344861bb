// SPDX-License-Identifier: Apache-2.0
#include "egress/cidr_lists.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/interval_set.hpp"

namespace egw::egress {

namespace {

constexpr std::size_t kMostTold = 5;

std::string text_of(const Prefix& p, bool bare) {
  return bare && p.length == p.address.bits() ? p.address.to_string() : p.to_string();
}

template <class F>
void each(const api::CidrSource& source, const F& f) {
  for (const auto* list : {&source.ipv4, &source.ipv6}) {
    for (const std::string& text : *list) {
      if (const auto prefix = Prefix::parse(text)) f(*prefix);
    }
  }
}

std::vector<std::string>& list_of(api::CidrSource& source, Family family) {
  return family == Family::V4 ? source.ipv4 : source.ipv6;
}

} // namespace

std::string first_of(const std::vector<std::string>& texts, const char* separator) {
  std::string all;
  for (std::size_t i = 0; i < std::min(texts.size(), kMostTold); ++i) {
    all += (i == 0 ? "" : separator) + texts[i];
  }
  if (texts.size() > kMostTold) all += fmt::format(" and {} more", texts.size() - kMostTold);
  return all;
}

void add(api::CidrSource& source, const Prefix& prefix, bool bare) {
  auto& list = list_of(source, prefix.family());
  std::string text = text_of(prefix, bare);
  if (std::ranges::find(list, text) == list.end()) list.push_back(std::move(text));
}

void add(api::CidrSource& source, const api::CidrSource& other, bool bare) {
  each(other, [&](const Prefix& p) { add(source, p, bare); });
}

void collect(std::vector<Range>& ranges, const api::CidrSource& source) {
  each(source, [&](const Prefix& p) { ranges.push_back(Range::of(p)); });
}

api::CidrSource merged(std::vector<Range> ranges, bool bare) {
  api::CidrSource source;
  const IntervalSet set(std::move(ranges));
  for (const Range& range : set.ranges()) {
    auto& list = list_of(source, range.family());
    for (const Prefix& p : to_prefixes(range)) list.push_back(text_of(p, bare));
  }
  return source;
}

} // namespace egw::egress
