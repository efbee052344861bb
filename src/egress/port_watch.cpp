// SPDX-License-Identifier: Apache-2.0
#include "egress/port_watch.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <map>
#include <tuple>
#include <utility>

namespace egw::egress {

namespace {

constexpr std::size_t kBuckets = 1U << 16U;

} // namespace

CrowdFinder::CrowdFinder(const NodeOptions& options, std::size_t at_least)
    : tunnelled_(std::bit_floor(options.ct_mask)),
      id_mask_(options.ct_mask & ~tunnelled_),
      at_least_(at_least),
      buckets_(kBuckets) {}

// Nothing: no port of this node's EIPs is in use. The reply tells whom the packets go to, behind
// any other translation.
std::optional<CrowdFinder::Key> CrowdFinder::key_of(const net::Connection& c) const {
  const auto id = static_cast<std::int32_t>((c.mark & id_mask_) >> std::countr_zero(id_mask_));
  if (id == 0 || (c.mark & tunnelled_) != 0) return std::nullopt;
  return Key{id, c.protocol, c.reply.source, c.reply.source_port};
}

std::uint32_t& CrowdFinder::bucket(const Key& key) {
  const auto& [id, protocol, destination, port] = key;
  std::size_t hash = std::hash<Address>{}(destination);
  for (const auto part : {static_cast<std::size_t>(id), std::size_t{protocol}, std::size_t{port}}) {
    constexpr std::size_t golden = 0x9e3779b97f4a7c15;
    hash = (hash ^ part) * golden;
  }
  return buckets_[(hash >> 32U) % kBuckets];
}

void CrowdFinder::begin() {
  counts_.clear();
  if (!counted_) std::ranges::fill(buckets_, 0);
}

void CrowdFinder::first(const net::Connection& connection) {
  if (const auto key = key_of(connection)) ++bucket(*key);
}

bool CrowdFinder::any() {
  counted_ = true;
  return std::ranges::any_of(buckets_, [&](std::uint32_t n) { return n >= at_least_; });
}

void CrowdFinder::second(const net::Connection& connection) {
  const auto key = key_of(connection);
  if (key && bucket(*key) >= at_least_) ++counts_[*key];
}

std::vector<Crowd> CrowdFinder::crowds() const {
  std::vector<Crowd> crowds;
  for (const auto& [key, count] : counts_) {
    const auto& [id, protocol, destination, port] = key;
    if (count >= at_least_) crowds.push_back({id, protocol, destination, port, count});
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
  if (grown_ && next_count_ <= now) {
    grown_ = false;
    waiting_ = true;
    return Want::Connections;
  }
  if (*next_ > now) return Want::Nothing;
  next_ = now + timing_.ask;
  waiting_ = true;
  return Want::Failures;
}

void PortWatch::failures(std::optional<std::uint64_t> count) {
  waiting_ = false;
  if (!next_ || !count) return;
  grown_ = grown_ || (last_ && *count > *last_);
  last_ = count;
}

void PortWatch::crowds(std::optional<std::vector<Crowd>> found, Time now) {
  waiting_ = false;
  if (!next_) return;
  const bool some = found && !found->empty();
  next_count_ = now + (some ? timing_.pause_min : pause_);
  pause_ = some ? timing_.pause_min : std::min(2 * pause_, timing_.pause_max);
  if (!some) return;
  crowded_ = *std::move(found);
  seen_ = now;
}

std::optional<Time> PortWatch::deadline() const {
  if (waiting_ || !next_) return std::nullopt;
  Time first = *next_;
  if (!crowded_.empty()) first = std::min(first, seen_ + timing_.calm);
  if (grown_) first = std::min(first, next_count_);
  return first;
}

} // namespace egw::egress
