// SPDX-License-Identifier: Apache-2.0
#include "egress/node_planner.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "egress/classifier.hpp"
#include "egress/cluster.hpp"
#include "egress/lookup.hpp"
#include "egress/node_places.hpp"
#include "egress/node_pods.hpp"
#include "egress/node_ranges.hpp"
#include "egress/node_underlay.hpp"
#include "egress/ruleset.hpp"
#include "egress/statements.hpp"

namespace egw::egress {

namespace {

// Pods by a hash in one block: thousands, looked up and changed one by one. By their names, as
// these stand in the world.
class Flat {
 public:
  using Key = std::size_t;
  void add(Key key, const api::NamespacedName* pod) {
    const std::pair item(key, pod);
    items_.insert(std::ranges::upper_bound(items_, item), item);
  }
  void append(Key key, const api::NamespacedName* pod) { items_.emplace_back(key, pod); }
  void sort() { std::ranges::sort(items_); }
  void remove(Key key, const api::NamespacedName* pod) {
    const std::pair item(key, pod);
    const auto at = std::ranges::lower_bound(items_, item);
    if (at != items_.end() && *at == item) items_.erase(at);
  }
  template <class F>
  void for_each(Key key, const F& f) const {
    auto at =
        std::ranges::lower_bound(items_, key, {}, [](const auto& item) { return item.first; });
    for (; at != items_.end() && at->first == key; ++at) f(*at->second);
  }

 private:
  std::vector<std::pair<Key, const api::NamespacedName*>> items_;
};

constexpr std::hash<Address> kHash;
std::size_t uid_hash(const std::string& uid) {
  return std::hash<std::string>{}(uid);
}

using ClassUsers = std::map<std::pair<Family, std::uint32_t>, std::size_t>;

} // namespace

// What a plan was made of, by what may change.
struct NodePlanner::Memory {
  Memory(const AgentWorld& of, const net::Host& host_then, const NodeOptions& options,
         const NodePlan& plan)
      : world(of), host(host_then), places(places_of(of, host_then, options)) {
    for (const auto& [key, policy] : world.policies) {
      if (policy.enforced) index.add(&policy, policy);
    }
    for (const auto& [key, pod] : world.pods) {
      if (!has_own_addresses(pod)) continue;
      for (const Address& ip : pod.ips) by_address.append(kHash(ip), &key);
      for (const auto& label : pod.labels->items()) by_label.append(hash_of(label), &key);
      if (pod.ips.empty()) without_address.insert(key);
    }
    if (options.unknown_pods != UnknownPods::Allow) {
      ranges = ranges_of_pods(world);
      for (const auto& [key, pod] : world.pods) blind = blind || outside_ranges(pod);
    }
    by_address.sort();
    by_label.sort();
    for (const auto& [key, slice] : world.slices) {
      if (!slice.policy_uid.empty()) sliced.push_back(uid_hash(slice.policy_uid));
      for (const RemotePods::Pod& pod : slice.pods) sliced.push_back(kHash(pod.ip));
    }
    std::ranges::sort(sliced);
    sliced.shrink_to_fit();
    const RulesetInput& in = plan.classifier.data->input;
    for (const auto& [family, both] : plan.classifier.data->pods) {
      for (const net::Elements& some : both) {
        for (const auto& [key, id] : some) {
          ++class_users[{family, nft::number_of(std::get<net::Bytes>(id))}];
        }
      }
    }
    for (const auto& [id, pod_class] : in.classes) {
      for (const std::int32_t eip : eips_of(*pod_class)) ++eip_users[eip];
      natural = natural && natural_id(pod_class->name.substr(2)) == id;
    }
    users = set_users(plan.state.tables);
  }

  static Places places_of(const AgentWorld& world, const net::Host& host,
                          const NodeOptions& options) {
    const NodeAddresses told(world.cluster.status);
    const Underlay underlay = find_underlay(world, told, host, options);
    return {world, underlay.parent, node_addresses(world, told, host, options)};
  }

  // It has an address of a family in which no range of pods is known, which is told of.
  [[nodiscard]] bool outside_ranges(const LocalPod& pod) const {
    return has_own_addresses(pod) &&
           std::ranges::any_of(pod.ips, [&](const Address& ip) { return ranges.empty(ip.family); });
  }

  const AgentWorld& world; // NOLINT(*-avoid-const-or-ref-data-members)
  net::Host host;
  Places places;
  PolicyIndex<const CompiledPolicy> index;
  Flat by_address, by_label; // by hashes
  // Of addresses in endpoint slices, and of uids of their policies: hashes in order. One that only
  // looks as if it was there is planned from the beginning.
  std::vector<std::size_t> sliced;
  [[nodiscard]] bool in_slices(std::size_t hash) const {
    return std::ranges::binary_search(sliced, hash);
  }
  ClassUsers class_users; // addresses of a family in a class
  std::map<std::int32_t, std::size_t> eip_users;
  SetUsers users;
  bool natural = true; // no two classes wanted the same number
  std::set<api::NamespacedName> without_address;
  IntervalSet ranges; // of this node's pods; empty where nobody asks
  bool blind = false; // a pod is outside_ranges()
};

namespace {

// One partial plan. Whoever finds that it is not that simple returns false, and the memory is of no
// more use.
template <class Memory>
class Update {
 public:
  Update(Memory& memory, const NodePlan& last, const NodeOptions& options)
      : m_(memory), o_(options), plan_(last) {
    data_ = std::make_shared<Classifier::Data>(*last.classifier.data);
  }

  bool run(const WorldChanges& changes) {
    if (!take_pods(changes) || !take_policies(changes)) return false;
    for (const Address& address : dirty_) {
      // Whose it is may depend on the slices.
      if (m_.in_slices(kHash(address)) || !look_at(address)) return false;
    }
    if (!settle_eips()) return false;
    starting();
    update_ruleset(plan_.state.tables, m_.users, data_->input, changes_, o_);
    data_->take_pods(plan_.state.tables);
    plan_.classifier.data = std::move(data_);
    return true;
  }
  NodePlan take() { return std::move(plan_); }

 private:
  RulesetInput& in() { return data_->input; }
  [[nodiscard]] bool looks_for_unknown() const { return o_.unknown_pods != UnknownPods::Allow; }

  // Pods that a policy will select, as soon as they have an address.
  void starting() {
    const auto starts = [&](const api::NamespacedName& name) {
      return !policies_of(*m_.world.pods.find(name), m_.world, m_.index).empty();
    };
    const auto count = std::ranges::count_if(m_.without_address, starts);
    plan_.pods_starting = static_cast<std::size_t>(count);
    if (o_.unknown_pods != UnknownPods::Auto) return;
    const bool closed = count > 0 || m_.world.stay_closed;
    if (std::exchange(plan_.closed, closed) == closed) return;
    changes_.unknown = closed ? m_.ranges : IntervalSet{};
  }

  bool take_pods(const WorldChanges& changes) {
    for (const auto& node : changes.old_pods) {
      const LocalPod& pod = node.mapped();
      const api::NamespacedName& name = node.key();
      m_.without_address.erase(name);
      if (looks_for_unknown() && m_.outside_ranges(pod)) return false;
      for (const Address& ip : pod.ips) {
        m_.by_address.remove(kHash(ip), &name);
        dirty_.insert(ip);
      }
      for (const auto& label : pod.labels->items()) m_.by_label.remove(hash_of(label), &name);
    }
    for (const auto& changed : changes.pods) {
      const auto at = m_.world.pods.find(changed);
      if (at == m_.world.pods.end() || !has_own_addresses(at->second)) continue;
      const auto& [name, pod] = *at;
      if (pod.ips.empty()) m_.without_address.insert(name);
      if (looks_for_unknown() && m_.outside_ranges(pod)) return false;
      for (const Address& ip : pod.ips) {
        m_.by_address.add(kHash(ip), &name);
        dirty_.insert(ip);
      }
      for (const auto& label : pod.labels->items()) m_.by_label.add(hash_of(label), &name);
    }
    return true;
  }

  bool take_policies(const WorldChanges& changes) {
    bool simple = true;
    for (const auto& node : changes.old_policies) {
      if (node.mapped().enforced) m_.index.remove(&node.mapped(), node.mapped());
      simple = add_candidates(node.mapped()) && simple;
    }
    for (const auto& key : changes.policies) {
      const auto at = m_.world.policies.find(key);
      if (at == m_.world.policies.end()) continue;
      if (at->second.enforced) m_.index.add(&at->second, at->second);
      simple = add_candidates(at->second) && simple;
    }
    return simple;
  }

  // Pods that the policy may select: those with the first label that it asks for.
  bool add_candidates(const CompiledPolicy& policy) {
    if (m_.in_slices(uid_hash(policy.uid))) return false; // it may have remote pods
    const bool asks =
        !policy.pod_subnets && policy.pod_selector && !policy.pod_selector->match_labels.empty();
    if (!asks) return false;
    m_.by_label.for_each(hash_of(policy.pod_selector->match_labels.items().front()),
                         [&](const api::NamespacedName& name) {
                           const PodIps& ips = m_.world.pods.at(name).ips;
                           dirty_.insert(ips.begin(), ips.end());
                         });
    return true;
  }

  // The class of an address, as select_pods() would find it.
  bool look_at(const Address& address) {
    // The youngest, and of two the one whose name is the last.
    const LocalPods::value_type* owner = nullptr;
    m_.by_address.for_each(kHash(address), [&](const api::NamespacedName& name) {
      const auto rank = [](const auto& pod) { return std::tie(pod.second.created, pod.first); };
      const auto& pod = *m_.world.pods.find(name);
      if (std::ranges::find(pod.second.ips, address) == pod.second.ips.end()) return;
      if (owner == nullptr || rank(*owner) < rank(pod)) owner = &pod;
    });
    const Policies policies =
        owner == nullptr ? Policies{} : policies_of(*owner, m_.world, m_.index);
    if (looks_for_unknown()) changes_.known[address] = owner != nullptr && policies.empty();
    const std::optional<std::uint32_t> old = data_->class_of(address);
    if (policies.empty()) {
      if (!old) return true;
      changes_.pods[address] = std::nullopt;
      leave(address.family, *old);
      return true;
    }
    auto [of, fresh] = classes_.try_emplace(policies);
    if (fresh) of->second = class_of(policies, m_.world, m_.places);
    const std::uint32_t id = natural_id(of->second.digest);
    if (!join(address.family, id, of->second)) return false;
    if (old) leave(address.family, *old);
    if (old != id) changes_.pods[address] = id;
    return true;
  }

  bool join(Family family, std::uint32_t id, const ClassOfPolicies& of) {
    const auto there = in().classes.find(id);
    if (there == in().classes.end()) {
      auto known = std::make_shared<const PodClass>(pod_class(of));
      for (const std::int32_t eip : eips_of(*known)) {
        if (m_.eip_users[eip]++ == 0) eips_.insert(eip);
      }
      in().classes.emplace(id, std::move(known));
    } else if (there->second->name != "c_" + of.digest) {
      return false; // two want one number
    }
    if (gone_.contains(id) && gone_.at(id) != "c_" + of.digest) return false;
    if (m_.class_users[{family, id}]++ == 0) toggle(family, id);
    return true;
  }

  void leave(Family family, std::uint32_t id) {
    const auto users = m_.class_users.find({family, id});
    if (--users->second > 0) return;
    m_.class_users.erase(users);
    toggle(family, id);
    const Family other = family == Family::V4 ? Family::V6 : Family::V4;
    if (m_.class_users.contains({other, id})) return;
    for (const std::int32_t eip : eips_of(*in().classes.at(id))) {
      if (--m_.eip_users.at(eip) > 0) continue;
      m_.eip_users.erase(eip);
      eips_.insert(eip);
    }
    gone_[id] = in().classes.at(id)->name;
    in().classes.erase(id);
  }

  // What comes and goes again in one turn is as it was.
  void toggle(Family family, std::uint32_t id) {
    auto& ids = changes_.classes[family];
    if (!ids.insert(id).second) ids.erase(id);
  }

  // EIPs that came into use or went out of it. Which nodes are spoken to must be as before: marks,
  // routes, rules and neighbours follow from that.
  bool settle_eips() {
    for (const std::int32_t id : eips_) {
      const Places::Place& place = m_.places.all().at(id);
      if (place.node == m_.world.node) continue; // known in any case
      const bool used = m_.eip_users.contains(id);
      if (used == in().eips.contains(id)) continue;
      EipPlace where;
      if (!place.node.empty()) {
        const auto index = plan_.marks.index.find(place.node);
        if (index == plan_.marks.index.end()) return false;
        where = {EipPlace::Where::Tunnel, index->second, {}, {}};
      }
      if (used) {
        in().eips.emplace(id, where);
      } else {
        in().eips.erase(id);
        if (!place.node.empty() && !still_used(where.gateway)) return false;
      }
      changes_.eips.insert(id);
    }
    return true;
  }
  bool still_used(std::uint32_t gateway) {
    return std::ranges::any_of(in().eips, [&](const auto& item) {
      return item.second.where == EipPlace::Where::Tunnel && item.second.gateway == gateway;
    });
  }

  Memory& m_;
  const NodeOptions& o_;
  NodePlan plan_;
  std::shared_ptr<Classifier::Data> data_;
  std::set<Address> dirty_;
  std::map<Policies, ClassOfPolicies> classes_;
  std::set<std::int32_t> eips_;
  std::map<std::uint32_t, std::string> gone_; // classes -> names
  RulesetChanges changes_;
};

} // namespace

NodePlanner::NodePlanner() = default;
NodePlanner::~NodePlanner() = default;

std::shared_ptr<const NodePlan> NodePlanner::plan(const AgentWorld& world, const net::Host& host,
                                                  const Marks& previous, const NodeOptions& options,
                                                  const WorldChanges& changes,
                                                  const net::State& kernel) {
  // Where nodes are merged, the routes follow the pods.
  const bool simple = memory_ && !changes.everything && memory_->natural && !memory_->blind &&
                      host == memory_->host && previous == last_->marks &&
                      last_->problems.empty() && !world.cluster.status.pod_cidr.contains(kAllNodes);
  // Of no use any more if this fails halfway.
  auto memory = std::move(memory_);
  partial_ = false;
  if (simple) {
    Update update(*memory, *last_, options);
    partial_ = update.run(changes);
    if (partial_) {
      last_ = std::make_shared<const NodePlan>(update.take());
      memory_ = std::move(memory);
      return last_;
    }
  }
  memory.reset();
  NodePlan made = plan_node(world, host, previous, options);
  for (auto& [family, table] : made.state.tables) {
    if (const auto* is = lookup(kernel.tables, family)) keep_sizes(*is, table);
  }
  last_ = std::make_shared<const NodePlan>(std::move(made));
  memory_ = std::make_unique<Memory>(world, host, options, *last_);
  return last_;
}

} // namespace egw::egress
