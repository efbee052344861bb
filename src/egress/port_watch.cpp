// SPDX-License-Identifier: Apache-2.0
#include "egress/port_watch.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <map>
#include <tuple>
#include <utility>

namespace egw::egress {

std::vector<Crowd> crowds_of(const std::vector<net::Connection>& connections,
                             const NodeOptions& options, std::size_t at_least) {
  const std::uint32_t tunnelled = std::bit_floor(options.ct_mask);
  const std::uint32_t id_mask = options.ct_mask & ~tunnelled;
  // The reply tells whom the packets go to, behind any other translation.
  std::map<std::tuple<std::int32_t, std::uint8_t, Address, std::uint16_t>, std::size_t> counts;
  for (const net::Connection& c : connections) {
    const auto id = static_cast<std::int32_t>((c.mark & id_mask) >> std::countr_zero(id_mask));
    if (id == 0 || (c.mark & tunnelled) != 0) continue;
    ++counts[{id, c.protocol, c.reply.source, c.reply.source_port}];
  }
  std::vector<Crowd> crowds;
  for (const auto& [key, count] : counts) {
    const auto& [id, protocol, destination, port] = key;
    if (count >= at_least) crowds.push_back({id, protocol, destination, port, count});
  }
  std::ranges::stable_sort(crowds, std::greater{}, &Crowd::connections);
  return crowds;
}

PortWatch::Want PortWatch::due(bool holds_eips, Time now) {
  if (!holds_eips) {
    const bool waiting = waiting_; // the answer says nothing any more, but it comes
    *this = PortWatch(timing_);
    waiting_ = waiting;
    return Want::Nothing;
  }
  if (!crowded_.empty() && now - seen_ >= timing_.calm) crowded_.clear();
  if (waiting_) return Want::Nothing;
  if (!next_) next_ = now;
  if (count_) {
    count_ = false;
    waiting_ = true;
    return Want::Connections;
  }
  if (*next_ > now) return Want::Nothing;
  next_ = now + timing_.ask;
  waiting_ = true;
  return Want::Failures;
}

void PortWatch::failures(std::optional<std::uint64_t> count, Time /*now*/) {
  waiting_ = false;
  if (!next_ || !count) return;
  count_ = last_ && *count > *last_;
  last_ = count;
}

void PortWatch::crowds(std::optional<std::vector<Crowd>> found, Time now) {
  waiting_ = false;
  if (!next_ || !found || found->empty()) return;
  crowded_ = *std::move(found);
  seen_ = now;
}

std::optional<Time> PortWatch::deadline() const {
  if (waiting_ || !next_) return std::nullopt;
  return crowded_.empty() ? *next_ : std::min(*next_, seen_ + timing_.calm);
}

} // namespace egw::egress
