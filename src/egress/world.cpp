// SPDX-License-Identifier: Apache-2.0
#include "egress/world.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <type_traits>
#include <utility>

namespace egw::egress {

namespace {

std::optional<std::uint64_t> version_number(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

template <class Map>
void set_member(Map& map, const typename Map::key_type& key,
                const typename Map::mapped_type::key_type& member, bool present) {
  if (present) {
    map[key].insert(member);
  } else if (const auto at = map.find(key); at != map.end()) {
    at->second.erase(member);
    if (at->second.empty()) map.erase(at);
  }
}

template <class Map>
const Map::mapped_type& members(const Map& map, const typename Map::key_type& key) {
  static const typename Map::mapped_type kNone;
  const auto at = map.find(key);
  return at == map.end() ? kNone : at->second;
}

// Calls `f(map, key)` with the map that holds objects of the kind, pods apart. `W` is World or
// const World.
template <class W, class F>
auto with_table(W& w, const ObjectKey& k, const F& f) {
  switch (k.kind) {
    case Kind::Namespace:
      return f(w.namespaces, k.name);
    case Kind::EndpointSlice:
      return f(w.api_server, api::NamespacedName{k.namespace_, k.name});
    case Kind::Gateway:
      return f(w.gateways, k.name);
    case Kind::GatewayPolicy:
    case Kind::Policy:
    case Kind::ClusterPolicy:
      return f(w.policies, api::PolicyKey{*policy_kind(k.kind), k.namespace_, k.name});
    case Kind::EgressNode:
      return f(w.egress_nodes, k.name);
    case Kind::Slice:
    case Kind::ClusterSlice:
      return f(w.slices, api::NamespacedName{k.namespace_, k.name});
    case Kind::ClusterInfo:
      return f(w.cluster_infos, k.name);
    case Kind::IpPool:
    case Kind::CiliumNode:
    case Kind::CiliumConfig:
    case Kind::FlannelConfig:
    case Kind::ServiceCidr:
      return f(w.ranges, k);
    case Kind::Node:
    case Kind::Pod:
      break;
  }
  return f(w.nodes, k.name);
}

// Nobody asks for these parts of Nodes, and a change of them is none for us.
void strip(Object& object) {
  auto* node = std::get_if<api::Node>(&object);
  if (node == nullptr) return;
  node->meta.annotations = {};
  node->meta.owners = {};
  node->meta.finalizers = {};
}

// The key of what a table holds under that name.
ObjectKey key_in(Kind kind, const std::string& name) {
  return {kind, "", name};
}
ObjectKey key_in(Kind kind, const api::NamespacedName& name) {
  if (kind != Kind::Slice && kind != Kind::ClusterSlice) return {kind, name.namespace_, name.name};
  return {name.namespace_.empty() ? Kind::ClusterSlice : Kind::Slice, name.namespace_, name.name};
}
ObjectKey key_in(Kind, const api::PolicyKey& name) {
  return key_of(name);
}
ObjectKey key_in(Kind, const ObjectKey& name) {
  return name;
}

bool matches(const api::EgressGateway& gateway, const api::Node& node) {
  const auto& selector = gateway.spec.node_selector;
  return !selector.empty() && selector.matches(node.meta.labels); // an empty one is refused
}

} // namespace

bool older_version(const std::string& a, const std::string& b) {
  const auto x = version_number(a), y = version_number(b);
  return x && y && *x < *y;
}

std::optional<api::PolicyKey> owner_of(const api::ObjectMeta& slice) {
  for (const auto& owner : slice.owners) {
    const auto kind = api::parse_policy_kind(owner.kind);
    if (kind && owner.controller) return api::PolicyKey{*kind, slice.namespace_, owner.name};
  }
  return std::nullopt;
}

std::optional<World::Change> World::put_pod(const ObjectKey& key, const api::Pod& pod) {
  const auto id = pods.put(pod);
  if (!id) return std::nullopt;
  return Change{.key = key, .pod = id, .service_flags = set_flags(key, pod.service_cidrs)};
}

// Returns whether that changes anything. The flags of a Pod never change, it is made anew.
bool World::set_flags(const ObjectKey& pod, const Rare<std::vector<std::string>>& flags) {
  if (!flags) return pod.namespace_ == api::kSystemNamespace && service_flags.erase(pod.name) > 0;
  auto& known = service_flags[pod.name];
  if (known == *flags) return false;
  known = *flags;
  return true;
}

std::optional<World::Change> World::put_slice(const ObjectKey& key,
                                              const api::EgressEndpointSlice& slice) {
  SliceRecord fresh = to_record(slice, names_);
  const auto [at, is_new] = slices.try_emplace({key.namespace_, key.name});
  SliceRecord& known = at->second;
  Change change{.key = key};
  if (!is_new) {
    if (older_version(fresh.meta.resource_version, known.meta.resource_version)) {
      return std::nullopt;
    }
    known.meta.resource_version = fresh.meta.resource_version;
    if (known == fresh) return std::nullopt;
    change.old_owner = owner_of(known.meta);
    index_slice(known.meta, false);
  }
  known = std::move(fresh);
  index_slice(known.meta, true);
  return change;
}

std::optional<World::Change> World::put(Object object) {
  const ObjectKey key = key_of(object);
  strip(object);
  unreadable_.erase(key);
  if (const auto* pod = std::get_if<api::Pod>(&object)) return put_pod(key, *pod);
  if (const auto* slice = std::get_if<api::EgressEndpointSlice>(&object)) {
    return put_slice(key, *slice);
  }
  Change change{.key = key};
  const bool taken = with_table(*this, key, [&](auto& map, const auto& name) {
    using T = std::decay_t<decltype(map)>::mapped_type;
    if constexpr (!std::is_same_v<T, SliceRecord>) {
      T& fresh = std::get<T>(object);
      const auto at = map.find(name);
      if (at == map.end()) {
        map.emplace(name, fresh);
        return true;
      }
      T& known = at->second;
      if (older_version(fresh.meta.resource_version, known.meta.resource_version)) return false;
      known.meta.resource_version = fresh.meta.resource_version;
      if (known == fresh) return false;
      change.before = std::exchange(known, fresh);
      return true;
    }
    return false;
  });
  if (!taken) return std::nullopt;
  if (change.before) index(*change.before, false);
  index(object, true);
  return change;
}

std::optional<World::Change> World::erase(const Deleted& deleted) {
  unreadable_.erase(deleted.key);
  Change change{.key = deleted.key};
  if (deleted.key.kind == Kind::Pod) {
    change.pod =
        pods.erase(deleted.key.namespace_, deleted.key.name, deleted.resource_version, deleted.uid);
    if (!change.pod) return std::nullopt;
    change.service_flags = set_flags(deleted.key, {});
    return change;
  }
  const bool gone = with_table(*this, deleted.key, [&](auto& map, const auto& name) {
    const auto at = map.find(name);
    if (at == map.end()) return false;
    const api::ObjectMeta& meta = at->second.meta;
    if (older_version(deleted.resource_version, meta.resource_version)) return false;
    // A deletion of an earlier object of this name says nothing about the one that is there now.
    if (!deleted.uid.empty() && deleted.uid != meta.uid &&
        !older_version(meta.resource_version, deleted.resource_version)) {
      return false;
    }
    using T = std::decay_t<decltype(map)>::mapped_type;
    if constexpr (std::is_same_v<T, SliceRecord>) {
      change.old_owner = owner_of(meta);
      index_slice(meta, false);
    } else {
      change.before = std::move(at->second);
    }
    map.erase(at);
    return true;
  });
  if (!gone) return std::nullopt;
  if (change.before) index(*change.before, false);
  return change;
}

std::vector<World::Change> World::replace(Replaced list) {
  auto& listed = listed_[list.kind];
  if (list.begins) {
    listed.clear();
    if (list.kind == Kind::Pod) listed_pods_.assign(pods.capacity(), false);
  }
  const auto note = [&](const ObjectKey& key) {
    if (key.kind != Kind::Pod) {
      listed.insert(key);
    } else if (const auto id = pods.find(key.namespace_, key.name)) {
      if (listed_pods_.size() <= *id) listed_pods_.resize(pods.capacity(), false);
      listed_pods_[*id] = true;
    }
  };
  std::vector<Change> changes;
  for (auto& object : list.objects) {
    const ObjectKey key = key_of(object);
    if (auto change = put(std::move(object))) changes.push_back(*std::move(change));
    note(key);
  }
  if (!list.ends) return changes;
  std::erase_if(unreadable_, [&](const ObjectKey& key) { return key.kind == list.kind; });
  for (const auto& name : list.unreadable) {
    note({list.kind, name.namespace_, name.name});
    unreadable_.insert({list.kind, name.namespace_, name.name});
  }
  std::ranges::move(drop_unlisted(list.kind, list.resource_version), std::back_inserter(changes));
  listed_.erase(list.kind);
  if (list.kind == Kind::Pod) std::vector<bool>().swap(listed_pods_);
  synced_.set(static_cast<std::size_t>(list.kind));
  rounds_.at(static_cast<std::size_t>(list.kind)) = list.round;
  return changes;
}

std::vector<World::Change> World::drop_unlisted(Kind kind, const std::string& resource_version) {
  std::vector<Deleted> gone;
  if (kind == Kind::Pod) {
    pods.for_each([&](PodId id) {
      if (id < listed_pods_.size() && listed_pods_[id]) return;
      const EndpointRecord& pod = pods.get(id)->endpoint;
      gone.push_back({{kind, *pod.namespace_, std::string(*pod.pod)}, "", resource_version});
    });
  } else {
    const auto& listed = listed_.at(kind);
    with_table(std::as_const(*this), {kind, "", ""}, [&](const auto& map, const auto&) {
      for (const auto& [name, object] : map) {
        const ObjectKey key = key_in(kind, name);
        // Three kinds of policies share a table, and so do two of slices.
        if (key.kind != kind || listed.contains(key)) continue;
        gone.push_back({key, object.meta.uid, resource_version});
      }
    });
  }
  std::vector<Change> changes;
  for (const Deleted& deleted : gone) {
    if (auto change = erase(deleted)) changes.push_back(*std::move(change));
  }
  return changes;
}

bool World::note_reopened(Kind kind, std::uint64_t round) {
  const auto i = static_cast<std::size_t>(kind);
  return synced_[i] && std::exchange(rounds_.at(i), std::max(rounds_.at(i), round)) < round;
}

const api::ObjectMeta* World::find(const ObjectKey& key) const {
  if (key.kind == Kind::Pod) return nullptr;
  return with_table(*this, key, [](const auto& map, const auto& name) -> const api::ObjectMeta* {
    const auto at = map.find(name);
    return at == map.end() ? nullptr : &at->second.meta;
  });
}

bool World::note_access(Kind kind, const std::optional<std::string>& denied) {
  if (!denied) return denied_.erase(kind) > 0;
  return std::exchange(denied_[kind], *denied) != *denied;
}

bool World::answered() const {
  auto answered = synced_;
  for (const auto& [kind, why] : denied_) answered.set(static_cast<std::size_t>(kind));
  return answered.all();
}

bool World::current() const {
  for (std::size_t i = 0; i < kKinds; ++i) {
    const auto kind = static_cast<Kind>(i);
    if (!knows(kind) && !denied_.contains(kind)) return false;
  }
  return true;
}

bool World::any_policy_unreadable() const {
  return std::any_of(unreadable_.begin(), unreadable_.end(),
                     [](const ObjectKey& key) { return policy_kind(key.kind).has_value(); });
}

std::set<std::string> World::unreadable_gateways() const {
  std::set<std::string> names;
  for (const ObjectKey& key : unreadable_) {
    if (key.kind == Kind::Gateway) names.insert(key.name);
  }
  return names;
}

void World::match(const std::string& gateway, const std::string& node, bool matches) {
  set_member(gateways_of_, node, gateway, matches);
  set_member(nodes_of_, gateway, node, matches);
}

void World::index_slice(const api::ObjectMeta& slice, bool present) {
  if (const auto owner = owner_of(slice)) {
    set_member(by_policy_, *owner, {slice.namespace_, slice.name}, present);
  }
}

void World::index(const Object& object, bool present) {
  if (const auto* policy = std::get_if<api::EgressPolicy>(&object)) {
    set_member(by_namespace_, policy->meta.namespace_, policy->key(), present);
    set_member(by_gateway_, policy->spec.gateway, policy->key(), present);
  } else if (const auto* gateway = std::get_if<api::EgressGateway>(&object)) {
    for (const auto& [name, node] : nodes) {
      if (matches(*gateway, node)) match(gateway->meta.name, name, present);
    }
  } else if (const auto* node = std::get_if<api::Node>(&object)) {
    for (const auto& [name, candidate] : gateways) {
      if (matches(candidate, *node)) match(name, node->meta.name, present);
    }
  }
}

const std::set<api::PolicyKey>& World::policies_in(const std::string& ns) const {
  return members(by_namespace_, ns);
}
const std::set<api::PolicyKey>& World::policies_of(const std::string& gateway) const {
  return members(by_gateway_, gateway);
}
const std::set<api::NamespacedName>& World::slices_of(const api::PolicyKey& policy) const {
  return members(by_policy_, policy);
}
const std::set<std::string>& World::gateways_of(const std::string& node) const {
  return members(gateways_of_, node);
}
const std::set<std::string>& World::nodes_of(const std::string& gateway) const {
  return members(nodes_of_, gateway);
}
const api::Labels* World::namespace_labels(const std::string& ns) const {
  const auto at = namespaces.find(ns);
  return at == namespaces.end() ? nullptr : &at->second.meta.labels;
}

} // namespace egw::egress
