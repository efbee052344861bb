// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/flat_map.hpp"
#include "base/interval_set.hpp"
#include "egress/node_places.hpp"
#include "egress/node_plan.hpp"
#include "egress/node_pods.hpp"
#include "egress/policy_index.hpp"
#include "egress/ruleset.hpp"

namespace egw::egress {

// Things by a hash, in one block: thousands, looked up and changed one by one. They stand
// elsewhere, and whoever looks one up finds out whether it is what was meant.
template <class T>
class HashIndex {
 public:
  using Key = std::size_t;
  using Item = std::pair<Key, const T*>;
  void add(Key key, const T* thing) { items_.insert(place({key, thing}), {key, thing}); }
  void remove(Key key, const T* thing) {
    if (const auto at = find({key, thing}); at != items_.end()) items_.erase(at);
  }
  [[nodiscard]] bool contains(Key key, const T* thing) const {
    return std::ranges::binary_search(items_, Item(key, thing));
  }
  // Costs little, whereas the others move all that is behind their place.
  void replace(Key key, const T* old, const T* thing) {
    const auto at = find({key, old});
    if (at == items_.end()) return;
    const auto to = place({key, thing});
    at->second = thing;
    if (to > at) {
      std::rotate(at, at + 1, to);
    } else {
      std::rotate(to, at, at + 1);
    }
  }
  // Many at once: append() each, then sort(). What was appended twice is there once.
  void append(Key key, const T* thing) { items_.emplace_back(key, thing); }
  void sort() {
    std::ranges::sort(items_);
    const auto [from, to] = std::ranges::unique(items_);
    items_.erase(from, to);
    items_.shrink_to_fit();
  }
  template <class F>
  void for_each(Key key, const F& f) const {
    const auto [from, to] = std::ranges::equal_range(items_, key, {}, &Item::first);
    for (auto at = from; at != to; ++at) f(*at->second);
  }

 private:
  auto place(const Item& item) { return std::ranges::lower_bound(items_, item); }
  auto find(const Item& item) {
    const auto at = place(item);
    return at != items_.end() && *at == item ? at : items_.end();
  }
  std::vector<Item> items_; // in order
};

[[nodiscard]] inline std::size_t hash_of(const Address& address) {
  return std::hash<Address>{}(address);
}
[[nodiscard]] inline std::size_t hash_of_uid(const std::string& uid) {
  return std::hash<std::string>{}(uid);
}

[[nodiscard]] inline std::size_t hash_of_eip(std::int32_t id) {
  return static_cast<std::size_t>(id);
}

// What a plan was made of, by what may change; kept up to date with the world by update_plan().
struct PlanMemory {
  // `plan` is what plan_node() made of the rest.
  PlanMemory(const AgentWorld& of, const net::Host& host_then, const NodeOptions& options,
             const NodePlan& plan);

  // It has an address of a family in which no range of pods is known, which is told of.
  [[nodiscard]] bool outside_ranges(const LocalPod& pod) const;
  // Whose EIP is here: remote pods in its slices may come.
  [[nodiscard]] bool is_held(const CompiledPolicy& policy) const;

  // A slice became another one, came or went (nullptr). `changed`: its pods that differ, all where
  // it is of another policy now.
  using Slice = std::map<api::NamespacedName, RemotePods>::value_type;
  void replace_slice(const api::NamespacedName* old_key, const RemotePods* old, const Slice* now,
                     std::set<Address>& changed);

  const AgentWorld& world; // NOLINT(*-avoid-const-or-ref-data-members)
  net::Host host;
  IntervalSet refused; // what no EIP may be
  Places places;
  PolicyIndex<const CompiledPolicy> index;
  HashIndex<api::NamespacedName> pods_by_address, pods_by_label;      // names of this node's pods
  HashIndex<api::NamespacedName> slices_by_address, slices_by_policy; // names of slices
  bool sliced = false;                                                // there are slices
  HashIndex<CompiledPolicy> policies_by_uid; // enforced ones, where there are slices
  HashIndex<CompiledPolicy> policies_by_eip; // enforced ones, by id
  // Sources that may come by the tunnel, by the MAC of their node: as many as there are.
  std::map<Mac, std::size_t> sources;
  FlatMap<std::pair<Family, std::uint32_t>, std::uint32_t> class_users; // addresses in a class
  std::map<std::int32_t, std::size_t> eip_users;
  SetUsers users;
  bool natural = true; // no two classes wanted the same number, no two nodes have one MAC
  std::set<api::NamespacedName> without_address;
  IntervalSet ranges; // of this node's pods; empty where nobody asks
  bool blind = false; // a pod is outside_ranges()

 private:
  void index_pods(const NodeOptions& options);
  void index_slices();
  void count_classes(const NodePlan& plan);
  void count_sources(const NodePlan& plan);
};

} // namespace egw::egress
