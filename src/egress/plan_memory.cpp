// SPDX-License-Identifier: Apache-2.0
#include "egress/plan_memory.hpp"

#include <iterator>
#include <string_view>

#include "egress/classifier.hpp"
#include "egress/cluster.hpp"
#include "egress/node_ranges.hpp"
#include "egress/node_underlay.hpp"
#include "egress/peer.hpp"
#include "egress/sources.hpp"
#include "egress/statements.hpp"

namespace egw::egress {

namespace {

IntervalSet refused_of(const AgentWorld& world, const net::Host& host, const NodeOptions& options) {
  return node_addresses(world, NodeAddresses(world.cluster.status), host, options);
}

Places places_of(const AgentWorld& world, const net::Host& host, const NodeOptions& options,
                 const IntervalSet& refused) {
  const Underlay underlay =
      find_underlay(world, NodeAddresses(world.cluster.status), host, options);
  return {world, underlay.parent, refused};
}

using Told = std::vector<std::pair<Address, std::string_view>>; // pods with their nodes, in order

Told told(const RemotePods* slice) {
  Told all;
  if (slice == nullptr) return all;
  all.reserve(slice->pods.size());
  for (const RemotePods::Pod& pod : slice->pods) all.emplace_back(pod.ip, *pod.node);
  std::ranges::sort(all);
  return all;
}

std::vector<std::size_t> hashes(const Told& pods) { // in order, each once
  std::vector<std::size_t> all;
  all.reserve(pods.size());
  for (const auto& [ip, node] : pods) all.push_back(hash_of(ip));
  std::ranges::sort(all);
  const auto [from, to] = std::ranges::unique(all);
  all.erase(from, to);
  return all;
}

template <class T>
void exchange(HashIndex<T>& index, const T* old, const std::vector<std::size_t>& before,
              const T* now, const std::vector<std::size_t>& after) {
  for (const std::size_t hash : before) {
    if (std::ranges::binary_search(after, hash)) {
      index.replace(hash, old, now);
    } else {
      index.remove(hash, old);
    }
  }
  for (const std::size_t hash : after) {
    if (!std::ranges::binary_search(before, hash)) index.add(hash, now);
  }
}

} // namespace

PlanMemory::PlanMemory(const AgentWorld& of, const net::Host& host_then, const NodeOptions& options,
                       const NodePlan& plan)
    : world(of),
      host(host_then),
      refused(refused_of(of, host_then, options)),
      places(places_of(of, host_then, options, refused)) {
  for (const auto& [key, policy] : world.policies) {
    if (!policy.enforced) continue;
    index.add(&policy, policy);
    policies_by_eip.append(hash_of_eip(policy.eip_id), &policy);
  }
  policies_by_eip.sort();
  index_pods(options);
  index_slices();
  count_classes(plan);
  count_sources(plan);
  users = set_users(plan.state.tables);
}

void PlanMemory::index_pods(const NodeOptions& options) {
  for (const auto& [key, pod] : world.pods) {
    if (!has_own_addresses(pod)) continue;
    for (const Address& ip : pod.ips) pods_by_address.append(hash_of(ip), &key);
    for (const auto& label : pod.labels->items()) pods_by_label.append(hash_of(label), &key);
    if (pod.ips.empty()) without_address.insert(key);
  }
  pods_by_address.sort();
  pods_by_label.sort();
  if (options.unknown_pods == UnknownPods::Allow) return;
  ranges = ranges_of_pods(world);
  for (const auto& [key, pod] : world.pods) blind = blind || outside_ranges(pod);
}

void PlanMemory::index_slices() {
  sliced = !world.slices.empty();
  if (!sliced) return;
  for (const auto& [key, slice] : world.slices) {
    slices_by_policy.append(hash_of_uid(slice.policy_uid), &key);
    for (const RemotePods::Pod& pod : slice.pods) slices_by_address.append(hash_of(pod.ip), &key);
  }
  slices_by_policy.sort();
  slices_by_address.sort();
  for (const auto& [key, policy] : world.policies) {
    if (policy.enforced) policies_by_uid.append(hash_of_uid(policy.uid), &policy);
  }
  policies_by_uid.sort();
}

// A slice has a hundred pods, of which one changes: what stays is left where it is.
void PlanMemory::replace_slice(const api::NamespacedName* old_key, const RemotePods* old,
                               const Slice* now, std::set<Address>& changed) {
  const RemotePods* is = now == nullptr ? nullptr : &now->second;
  const api::NamespacedName* key = now == nullptr ? nullptr : &now->first;
  const auto uids = [](const RemotePods* slice) {
    std::vector<std::size_t> one;
    if (slice != nullptr) one.push_back(hash_of_uid(slice->policy_uid));
    return one;
  };
  exchange(slices_by_policy, old_key, uids(old), key, uids(is));
  const Told before = told(old), after = told(is);
  exchange(slices_by_address, old_key, hashes(before), key, hashes(after));
  Told differ;
  if (old != nullptr && is != nullptr && old->policy_uid == is->policy_uid) {
    std::ranges::set_symmetric_difference(before, after, std::back_inserter(differ));
  } else {
    std::ranges::set_union(before, after, std::back_inserter(differ));
  }
  for (const auto& [ip, node] : differ) changed.insert(ip);
}

void PlanMemory::count_classes(const NodePlan& plan) {
  std::vector<std::pair<Family, std::uint32_t>> all;
  for (const auto& [family, both] : plan.classifier.data->pods) {
    for (const net::Elements& some : both) {
      for (const auto& [key, id] : some) {
        all.emplace_back(family, nft::number_of(std::get<net::Bytes>(id)));
      }
    }
  }
  std::ranges::sort(all);
  for (auto at = all.begin(); at != all.end();) {
    const auto next = std::find_if(at, all.end(), [&](const auto& one) { return one != *at; });
    class_users.try_emplace(*at, static_cast<std::uint32_t>(next - at));
    at = next;
  }
  for (const auto& [id, pod_class] : plan.classifier.data->input.classes) {
    for (const std::int32_t eip : eips_of(*pod_class)) ++eip_users[eip];
    natural = natural && natural_id(pod_class->name.substr(2)) == id;
  }
}

void PlanMemory::count_sources(const NodePlan& plan) {
  std::set<Mac> macs;
  for (const auto& [name, node] : world.nodes) {
    const Peer peer(node);
    natural = natural && (!peer.mac || macs.insert(*peer.mac).second);
  }
  for (const Family family : {Family::V4, Family::V6}) {
    for (const auto& [key, none] : sources_of(plan.state.tables, family)) ++sources[mac_in(key)];
  }
}

bool PlanMemory::outside_ranges(const LocalPod& pod) const {
  return has_own_addresses(pod) &&
         std::ranges::any_of(pod.ips, [&](const Address& ip) { return ranges.empty(ip.family); });
}

bool PlanMemory::is_held(const CompiledPolicy& policy) const {
  const auto* place = policy.enforced ? places.find(policy) : nullptr;
  return place != nullptr && place->node == world.node;
}

} // namespace egw::egress
