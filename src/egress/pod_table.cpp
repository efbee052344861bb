// SPDX-License-Identifier: Apache-2.0
#include "egress/pod_table.hpp"

#include <algorithm>
#include <charconv>

namespace egw::egress {

namespace {

std::size_t mix(std::size_t seed, std::string_view text) {
  constexpr std::size_t kGolden = 0x9e3779b97f4a7c15; // spreads what differs in few bits
  return (seed ^ std::hash<std::string_view>{}(text)) * kGolden;
}

std::uint64_t number(const std::string& version) {
  std::uint64_t value = 0;
  const char* const end = version.data() + version.size();
  const auto [stop, error] = std::from_chars(version.data(), end, value);
  return error == std::errc() && stop == end ? value : 0;
}

bool older(std::uint64_t a, std::uint64_t b) {
  return a != 0 && b != 0 && a < b;
}

} // namespace

std::size_t LabelsHash::operator()(const api::Labels& labels) const noexcept {
  std::size_t seed = 0;
  for (const auto& [key, value] : labels.items()) seed = mix(mix(seed, key), value);
  return seed;
}

api::Endpoint to_endpoint(const EndpointRecord& record) {
  api::Endpoint endpoint{*record.namespace_, std::string(*record.pod), *record.node, {}, {}};
  for (const Address& ip : record.ips.all()) {
    (ip.family == Family::V4 ? endpoint.ipv4 : endpoint.ipv6).push_back(ip.to_string());
  }
  return endpoint;
}

std::size_t PodTable::bucket(const Key& key) const {
  const std::size_t hash = mix(mix(0, key.first), key.second);
  return (hash >> 32) & (buckets_.size() - 1); // mix() spreads upwards
}

void PodTable::enter(PodId id) {
  const auto chain = [this](PodId pod) {
    records_[pod].next = std::exchange(buckets_[bucket(key(pod))], pod);
  };
  if (size_ >= buckets_.size()) {
    constexpr std::size_t kFirst = 16;
    buckets_.assign(std::max(kFirst, 2 * buckets_.size()), kNone);
    for_each(chain);
  }
  chain(id);
  ++size_;
}

void PodTable::leave(PodId id) {
  PodId* link = &buckets_[bucket(key(id))];
  while (*link != id) link = &records_[*link].next;
  *link = records_[id].next;
  --size_;
}

PodRecord PodTable::record(const api::Pod& pod) {
  return {{names_.texts.get(pod.meta.namespace_), names_.texts.get(pod.node_name),
           names_.pods.get(pod.meta.name), PodIps(pod.ips)},
          names_.labels.get(pod.meta.labels),
          std::hash<std::string>{}(pod.meta.uid),
          number(pod.meta.resource_version),
          pod.host_network,
          pod.ended()};
}

std::optional<PodId> PodTable::find(std::string_view ns, std::string_view name) const {
  const Key wanted{ns, name};
  PodId id = buckets_.empty() ? kNone : buckets_[bucket(wanted)];
  while (id != kNone && key(id) != wanted) id = records_[id].next;
  return id == kNone ? std::nullopt : std::optional(id);
}

std::optional<PodId> PodTable::put(const api::Pod& pod) {
  PodRecord fresh = record(pod);
  if (const auto known = find(pod.meta.namespace_, pod.meta.name)) {
    PodRecord& there = records_[*known].pod;
    if (older(fresh.version, there.version)) return std::nullopt;
    there.version = fresh.version;
    if (there == fresh) return std::nullopt;
    there = std::move(fresh);
    return known;
  }
  if (free_.empty()) {
    free_.push_back(static_cast<PodId>(records_.size()));
    records_.emplace_back();
  }
  const PodId id = free_.back();
  free_.pop_back();
  auto& list = by_namespace_[pod.meta.namespace_];
  records_[id] = {std::move(fresh), static_cast<std::uint32_t>(list.size()), kNone};
  enter(id);
  list.push_back(id);
  return id;
}

std::optional<PodId> PodTable::erase(const std::string& ns, const std::string& name,
                                     const std::string& resource_version, const std::string& uid) {
  const auto id = find(ns, name);
  if (!id) return std::nullopt;
  Slot& slot = records_[*id];
  const std::uint64_t version = number(resource_version);
  if (older(version, slot.pod.version)) return std::nullopt;
  // A deletion of an earlier pod of this name says nothing about the one that is there now.
  if (!uid.empty() && std::hash<std::string>{}(uid) != slot.pod.uid &&
      !older(slot.pod.version, version)) {
    return std::nullopt;
  }
  leave(*id);
  const auto list = by_namespace_.find(ns);
  const PodId last = list->second.back();
  list->second[slot.position] = last;
  records_[last].position = slot.position;
  list->second.pop_back();
  if (list->second.empty()) by_namespace_.erase(list);
  slot.position = kNone;
  leaving_.push_back(*id);
  return id;
}

void PodTable::release() {
  for (const PodId id : leaving_) records_[id].pod = {};
  free_.insert(free_.end(), leaving_.begin(), leaving_.end());
  leaving_.clear();
}

std::span<const PodId> PodTable::in(const std::string& ns) const {
  const auto list = by_namespace_.find(ns);
  if (list == by_namespace_.end()) return {};
  return list->second;
}

} // namespace egw::egress
