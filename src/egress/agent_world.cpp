// SPDX-License-Identifier: Apache-2.0
#include "egress/agent_world.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace egw::egress::agent {

namespace {

constexpr std::array kKinds = {
    "EgressGateway",       "EgressNode",   "Namespace",           "Pod",
    "EgressGatewayPolicy", "EgressPolicy", "EgressClusterPolicy", "EgressClusterInfo default"};

api::ObjectMeta head(const api::ObjectMeta& meta) {
  api::ObjectMeta m;
  m.name = meta.name;
  m.namespace_ = meta.namespace_;
  return m;
}

api::EgressNode reduced(const api::EgressNode& node) {
  api::EgressNode n;
  n.meta = head(node.meta);
  if (const auto parent = node.meta.annotations.find(api::kAnnotationTunnelParent)) {
    n.meta.annotations.set(api::kAnnotationTunnelParent, *parent);
  }
  n.status.tunnel_ipv4 = node.status.tunnel_ipv4;
  n.status.tunnel_ipv6 = node.status.tunnel_ipv6;
  n.status.tunnel_mac = node.status.tunnel_mac;
  n.status.parent = node.status.parent;
  return n;
}
api::Namespace reduced(const api::Namespace& ns) {
  api::Namespace n;
  n.meta = head(ns.meta);
  n.meta.labels = ns.meta.labels;
  return n;
}
api::EgressGateway reduced(api::EgressGateway gateway) {
  api::EgressGateway g;
  g.meta = head(gateway.meta);
  g.meta.uid = gateway.meta.uid;
  g.spec.when_no_gateway = gateway.spec.when_no_gateway;
  g.spec.unserved_family = gateway.spec.unserved_family;
  g.status.term = gateway.status.term;
  for (auto& node : gateway.status.node_list) {
    for (auto& entry : node.eips) entry.policies.clear();
    g.status.node_list.push_back({std::move(node.name), "", std::move(node.eips)});
  }
  for (auto& entry : gateway.status.unplaced) entry.policies.clear();
  g.status.unplaced = std::move(gateway.status.unplaced);
  return g;
}
api::EgressClusterInfo reduced(api::EgressClusterInfo info) {
  info.meta = {};
  info.spec = {};
  info.status.id_blocks.clear();
  info.status.conditions.clear();
  return info;
}

// Resource versions are compared as numbers where both are (in Kubernetes they are etcd revisions).
bool older(const std::string& a, const std::string& b) {
  std::uint64_t x = 0, y = 0;
  const auto number = [](const std::string& text, std::uint64_t& value) {
    return std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc();
  };
  return number(a, x) && number(b, y) && x < y;
}

template <class Map, class Key, class T>
bool assign(Map& map, Key key, T value) {
  auto [there, fresh] = map.try_emplace(std::move(key), value);
  if (fresh) return true;
  if (there->second == value) return false;
  there->second = std::move(value);
  return true;
}

// Erases what `stays` does not name, among the keys for which `concerned` holds.
template <class Map, class Concerned>
bool retain(Map& map, const std::set<typename Map::key_type>& stays, const Concerned& concerned) {
  return std::erase_if(map, [&](const auto& item) {
           return concerned(item.first) && !stays.contains(item.first);
         }) > 0;
}
template <class Map, class Concerned>
std::vector<typename Map::key_type> missing_keys(const Map& map,
                                                 const std::set<typename Map::key_type>& stays,
                                                 const Concerned& concerned) {
  std::vector<typename Map::key_type> keys;
  for (const auto& [key, value] : map) {
    if (concerned(key) && !stays.contains(key)) keys.push_back(key);
  }
  return keys;
}

// Many changes at once are planned from the beginning.
template <class Key>
void note(WorldChanges& changes, std::set<Key>& changed, const Key& key) {
  constexpr std::size_t kMany = 2000;
  if (changes.everything) return;
  changed.insert(key);
  if (changed.size() >= kMany) {
    changes = {};
    changes.everything = true;
  }
}

// What is replaced or goes is kept, so that its place in memory is no other's until the next plan.
template <class Map>
bool remove(Map& map, std::set<typename Map::key_type>& changed,
            std::vector<typename Map::node_type>& old, const typename Map::key_type& key,
            WorldChanges& changes) {
  auto node = map.extract(key);
  if (node.empty()) return false;
  note(changes, changed, key);
  if (!changes.everything) old.push_back(std::move(node));
  return true;
}
template <class Map>
bool replace(Map& map, std::set<typename Map::key_type>& changed,
             std::vector<typename Map::node_type>& old, const typename Map::key_type& key,
             typename Map::mapped_type value, WorldChanges& changes) {
  const auto there = map.find(key);
  if (there != map.end() && there->second == value) return false;
  if (!remove(map, changed, old, key, changes)) note(changes, changed, key);
  map.emplace(key, std::move(value));
  return true;
}
constexpr auto kAll = [](const auto&) { return true; };

SliceScope scope_of(const RemotePods& slice) {
  return {*slice.gateway, slice.cluster};
}

api::NamespacedName name_of(const api::ObjectMeta& meta) {
  return {meta.namespace_, meta.name};
}

template <class T>
std::set<std::string> names(const Listed<T>& e) {
  std::set<std::string> all;
  for (const T& item : e.items) all.insert(item.meta.name);
  for (const auto& key : e.unreadable) all.insert(key.name);
  return all;
}

} // namespace

// A term lower than the one seen is a write of a leader that has been deposed.
bool Store::put(api::EgressGateway gateway) {
  const auto there = world_.gateways.find(gateway.meta.name);
  if (there != world_.gateways.end() && there->second.meta.uid == gateway.meta.uid &&
      gateway.status.term < there->second.status.term) {
    return false;
  }
  std::string name = gateway.meta.name;
  api::EgressGateway small = reduced(std::move(gateway));
  if (there == world_.gateways.end() || there->second.meta != small.meta ||
      there->second.spec != small.spec) {
    return other(assign(world_.gateways, std::move(name), std::move(small)));
  }
  if (there->second.status == small.status) return false;
  auto old = std::exchange(there->second, std::move(small));
  // The first of several is the one that the last plan was made of.
  if (!changes_.everything) changes_.old_gateways.try_emplace(std::move(name), std::move(old));
  return true;
}
bool Store::take(Listed<api::EgressGateway>& e) {
  lists_.insert("EgressGateway");
  bool changed = other(retain(world_.gateways, names(e), kAll));
  for (auto& item : e.items) changed |= put(std::move(item));
  return changed;
}
bool Store::take(Changed<api::EgressGateway>& e) {
  return put(std::move(e.object));
}
bool Store::take(Gone<api::EgressGateway>& e) {
  return other(world_.gateways.erase(e.key.name) > 0);
}

bool Store::put(api::EgressNode node) {
  std::string name = node.meta.name;
  api::EgressNode small = reduced(node);
  if (name == world_.node) {
    // Answers to our own patches and the watch arrive in any order.
    const bool late = own_ && own_->meta.uid == node.meta.uid &&
                      older(node.meta.resource_version, own_->meta.resource_version);
    if (late) return false;
    own_ = std::move(node);
    small.status.parent = {}; // we know better, and our own report must not make us plan again
  }
  return other(assign(world_.nodes, std::move(name), std::move(small)));
}
bool Store::take(Listed<api::EgressNode>& e) {
  lists_.insert("EgressNode");
  const auto stays = names(e);
  if (!stays.contains(world_.node)) own_.reset();
  bool changed = other(retain(world_.nodes, stays, kAll));
  for (auto& item : e.items) changed |= put(std::move(item));
  return changed;
}
bool Store::take(Changed<api::EgressNode>& e) {
  return put(std::move(e.object));
}
bool Store::take(Gone<api::EgressNode>& e) {
  if (e.key.name == world_.node) own_.reset();
  return other(world_.nodes.erase(e.key.name) > 0);
}

bool Store::take(Listed<api::Namespace>& e) {
  lists_.insert("Namespace");
  bool changed = retain(world_.namespaces, names(e), kAll);
  for (const auto& item : e.items) {
    changed |= assign(world_.namespaces, item.meta.name, reduced(item));
  }
  return other(changed);
}
bool Store::take(Changed<api::Namespace>& e) {
  return other(assign(world_.namespaces, e.object.meta.name, reduced(e.object)));
}
bool Store::take(Gone<api::Namespace>& e) {
  return other(world_.namespaces.erase(e.key.name) > 0);
}

bool Store::put(const api::Pod& pod) {
  return replace(world_.pods, changes_.pods, changes_.old_pods, name_of(pod.meta),
                 local_pod(pod, *world_.labels), changes_);
}
bool Store::forget(const api::NamespacedName& pod) {
  return remove(world_.pods, changes_.pods, changes_.old_pods, pod, changes_);
}
bool Store::take(Listed<api::Pod>& e) {
  lists_.insert("Pod");
  std::set<api::NamespacedName> stays(e.unreadable.begin(), e.unreadable.end());
  for (const auto& item : e.items) stays.insert(name_of(item.meta));
  bool changed = false;
  for (const auto& key : missing_keys(world_.pods, stays, kAll)) changed |= forget(key);
  for (const auto& item : e.items) changed |= put(item);
  return changed;
}
bool Store::take(Changed<api::Pod>& e) {
  return put(e.object);
}
bool Store::take(Gone<api::Pod>& e) {
  return forget(e.key);
}

// Without it, or with nothing found yet, all traffic inside the cluster would be captured: what it
// said before holds until the controller has made it again, and at the start it is waited for.
bool Store::put(api::EgressClusterInfo info) {
  if (info.meta.name != "default") return false;
  info = reduced(std::move(info));
  if (info.status == api::EgressClusterInfoStatus{}) return false;
  lists_.insert("EgressClusterInfo default");
  if (info == world_.cluster) return false;
  world_.cluster = std::move(info);
  return other(true);
}
bool Store::take(Listed<api::EgressClusterInfo>& e) {
  bool changed = false;
  for (auto& item : e.items) changed |= put(std::move(item));
  return changed;
}
bool Store::take(Changed<api::EgressClusterInfo>& e) {
  return put(std::move(e.object));
}

bool Store::put(const api::EgressPolicy& policy) {
  CompiledPolicy compiled = compile(policy);
  // One that was never accepted does not count, and is no change.
  if (!compiled.enforced) return forget(compiled.key);
  const api::PolicyKey key = compiled.key;
  return replace(world_.policies, changes_.policies, changes_.old_policies, key,
                 std::move(compiled), changes_);
}
bool Store::forget(const api::PolicyKey& policy) {
  return remove(world_.policies, changes_.policies, changes_.old_policies, policy, changes_);
}
bool Store::take(PoliciesListed& e) {
  lists_.insert(api::to_string(e.kind));
  std::set<api::PolicyKey> stays;
  for (const auto& item : e.items) stays.insert(item.key());
  for (const auto& key : e.unreadable) stays.insert({e.kind, key.namespace_, key.name});
  const auto of_kind = [&](const auto& key) { return key.kind == e.kind; };
  bool changed = false;
  for (const auto& key : missing_keys(world_.policies, stays, of_kind)) changed |= forget(key);
  for (const auto& item : e.items) changed |= put(item);
  return changed;
}
bool Store::take(Changed<api::EgressPolicy>& e) {
  return put(e.object);
}
bool Store::take(PolicyGone& e) {
  return forget(e.key);
}

bool Store::put(const SliceScope& scope, const api::EgressEndpointSlice& slice) {
  RemotePods pods = remote_pods(slice, *world_.names);
  pods.gateway = (*world_.names).get(scope.gateway);
  pods.cluster = scope.cluster;
  return replace(world_.slices, changes_.slices, changes_.old_slices, name_of(slice.meta),
                 std::move(pods), changes_);
}
bool Store::forget_slice(const api::NamespacedName& slice) {
  return remove(world_.slices, changes_.slices, changes_.old_slices, slice, changes_);
}
bool Store::take(SlicesListed& e) {
  if (!gateways_here().contains(e.scope.gateway)) return false; // a watch that is about to end
  slice_lists_.insert(e.scope);
  std::set<api::NamespacedName> stays(e.unreadable.begin(), e.unreadable.end());
  for (const auto& item : e.items) stays.insert(name_of(item.meta));
  const auto of_scope = [&](const auto& key) { return scope_of(world_.slices.at(key)) == e.scope; };
  bool changed = false;
  for (const auto& key : missing_keys(world_.slices, stays, of_scope)) changed |= forget_slice(key);
  for (const auto& item : e.items) changed |= put(e.scope, item);
  return changed;
}
bool Store::take(SliceChanged& e) {
  if (!gateways_here().contains(e.scope.gateway)) return false;
  return put(e.scope, e.object);
}
bool Store::take(SliceGone& e) {
  // It may have moved to another gateway, whose watch was faster.
  const auto slice = world_.slices.find(e.key);
  if (slice == world_.slices.end() || scope_of(slice->second) != e.scope) return false;
  return forget_slice(e.key);
}

std::set<std::string> Store::gateways_here() const {
  std::set<std::string> found;
  for (const auto& [name, gateway] : world_.gateways) {
    for (const auto& node : gateway.status.node_list) {
      if (node.name == world_.node) found.insert(name);
    }
  }
  return found;
}

bool Store::keep_slices_of(const std::set<std::string>& gateways) {
  std::erase_if(slice_lists_, [&](const auto& scope) { return !gateways.contains(scope.gateway); });
  const auto gone = std::erase_if(
      world_.slices, [&](const auto& item) { return !gateways.contains(*item.second.gateway); });
  return other(gone > 0);
}

std::vector<std::string> Store::missing(const std::set<std::string>& gateways) const {
  std::vector<std::string> found;
  for (const char* kind : kKinds) {
    if (!lists_.contains(kind)) found.emplace_back(kind);
  }
  for (const std::string& gateway : gateways) {
    if (!slice_lists_.contains({gateway, false}) || !slice_lists_.contains({gateway, true})) {
      found.push_back("endpoint slices of EgressGateway " + gateway);
    }
  }
  return found;
}

} // namespace egw::egress::agent
