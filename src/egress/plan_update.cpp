// SPDX-License-Identifier: Apache-2.0
#include "egress/plan_update.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "egress/classifier.hpp"
#include "egress/lookup.hpp"
#include "egress/peer.hpp"
#include "egress/ruleset.hpp"
#include "egress/sources.hpp"
#include "egress/statements.hpp"

namespace egw::egress {

namespace {

constexpr std::size_t kMany = 2000; // addresses to be judged again

// Whoever finds that it is not that simple returns false.
class Update {
 public:
  Update(PlanMemory& memory, NodePlan& plan, const NodeOptions& options)
      : m_(memory), o_(options), plan_(plan) {
    data_ = std::make_shared<Classifier::Data>(*plan.classifier.data);
  }

  bool run(const WorldChanges& changes) {
    // Policies are not known by uid where there was no slice.
    if (!m_.sliced && !changes.slices.empty()) return false;
    take_slices(changes);
    if (!take_pods(changes) || !take_policies(changes) || !take_gateways(changes)) return false;
    if (dirty_.size() > kMany) return false; // which is faster then
    for (const Address& address : dirty_) {
      if (!look_at(address)) return false;
    }
    if (!settle_eips()) return false;
    starting();
    const auto without_sources = [&](Family family) {
      return sources_of(plan_.state.tables, family).empty();
    };
    const bool none4 = without_sources(Family::V4), none6 = without_sources(Family::V6);
    update_ruleset(plan_.state.tables, m_.users, data_->input, changes_, o_);
    // Rules depend on whether there are any.
    if (none4 != without_sources(Family::V4) || none6 != without_sources(Family::V6)) return false;
    data_->take_pods(plan_.state.tables);
    plan_.classifier.data = std::move(data_);
    return true;
  }

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
        m_.pods_by_address.remove(hash_of(ip), &name);
        dirty_.insert(ip);
      }
      for (const auto& label : pod.labels->items()) m_.pods_by_label.remove(hash_of(label), &name);
    }
    for (const auto& changed : changes.pods) {
      const auto at = m_.world.pods.find(changed);
      if (at == m_.world.pods.end() || !has_own_addresses(at->second)) continue;
      const auto& [name, pod] = *at;
      if (pod.ips.empty()) m_.without_address.insert(name);
      if (looks_for_unknown() && m_.outside_ranges(pod)) return false;
      for (const Address& ip : pod.ips) {
        m_.pods_by_address.add(hash_of(ip), &name);
        dirty_.insert(ip);
      }
      for (const auto& label : pod.labels->items()) m_.pods_by_label.add(hash_of(label), &name);
    }
    return true;
  }

  void take_slices(const WorldChanges& changes) {
    std::set<api::NamespacedName> done;
    for (const auto& node : changes.old_slices) {
      // What came after the last plan, and was another one or gone again before this, is not known.
      const std::size_t policy = hash_of_uid(node.mapped().policy_uid);
      if (!m_.slices_by_policy.contains(policy, &node.key())) continue;
      done.insert(node.key());
      const auto now = m_.world.slices.find(node.key());
      m_.replace_slice(&node.key(), &node.mapped(), now == m_.world.slices.end() ? nullptr : &*now,
                       dirty_);
    }
    for (const auto& changed : changes.slices) {
      const auto now = m_.world.slices.find(changed);
      if (now != m_.world.slices.end() && !done.contains(changed)) {
        m_.replace_slice(nullptr, nullptr, &*now, dirty_);
      }
    }
  }

  bool take_policies(const WorldChanges& changes) {
    bool simple = true;
    for (const auto& node : changes.old_policies) {
      const CompiledPolicy& policy = node.mapped();
      if (policy.enforced) {
        m_.index.remove(&policy, policy);
        m_.policies_by_uid.remove(hash_of_uid(policy.uid), &policy);
        m_.policies_by_eip.remove(hash_of_eip(policy.eip_id), &policy);
      }
      simple = add_candidates(policy) && simple;
    }
    for (const auto& key : changes.policies) {
      const auto at = m_.world.policies.find(key);
      if (at == m_.world.policies.end()) continue;
      const CompiledPolicy& policy = at->second;
      if (policy.enforced) {
        m_.index.add(&policy, policy);
        if (m_.sliced) m_.policies_by_uid.add(hash_of_uid(policy.uid), &policy);
        m_.policies_by_eip.add(hash_of_eip(policy.eip_id), &policy);
      }
      simple = add_candidates(policy) && simple;
    }
    return simple;
  }

  // EIPs that other nodes hold, before and after.
  bool take_gateways(const WorldChanges& changes) {
    bool simple = true;
    std::vector<Address> come;
    for (const auto& [name, old] : changes.old_gateways) {
      const auto places =
          m_.places.update(name, old.status, m_.world.gateways.at(name).status, m_.refused);
      if (!places) return false;
      for (const auto& [id, before, after] : *places) {
        if (before) simple = simple && before->node != m_.world.node;
        if (after) simple = simple && after->node != m_.world.node;
        for (const auto& address : addresses_of(before)) changes_.all_eips[address] = false;
        for (const auto& address : addresses_of(after)) come.push_back(address);
        if (m_.eip_users.contains(id)) eips_.insert(id);
        if (before && after && served_alike(*before, *after)) continue; // classes are as they were
        m_.policies_by_eip.for_each(hash_of_eip(id), [&](const CompiledPolicy& policy) {
          simple = add_candidates(policy) && simple;
        });
      }
    }
    for (const Address& address : come) changes_.all_eips[address] = true;
    return simple;
  }
  static bool served_alike(const Places::Place& a, const Places::Place& b) {
    return a.node.empty() == b.node.empty() && a.told_ipv4 == b.told_ipv4 &&
           a.told_ipv6 == b.told_ipv6;
  }
  static std::vector<Address> addresses_of(const std::optional<Places::Place>& place) {
    std::vector<Address> found;
    if (place && place->ipv4) found.push_back(*place->ipv4);
    if (place && place->ipv6) found.push_back(*place->ipv6);
    return found;
  }

  // Pods that the policy may select: those in its slices, and those here with the first label that
  // it asks for.
  bool add_candidates(const CompiledPolicy& policy) {
    m_.slices_by_policy.for_each(hash_of_uid(policy.uid), [&](const api::NamespacedName& slice) {
      for (const RemotePods::Pod& pod : m_.world.slices.at(slice).pods) dirty_.insert(pod.ip);
    });
    const bool asks =
        !policy.pod_subnets && policy.pod_selector && !policy.pod_selector->match_labels.empty();
    if (!asks) return false;
    m_.pods_by_label.for_each(hash_of(policy.pod_selector->match_labels.items().front()),
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
    m_.pods_by_address.for_each(hash_of(address), [&](const api::NamespacedName& name) {
      const auto rank = [](const auto& pod) { return std::tie(pod.second.created, pod.first); };
      const auto& pod = *m_.world.pods.find(name);
      if (std::ranges::find(pod.second.ips, address) == pod.second.ips.end()) return;
      if (owner == nullptr || rank(*owner) < rank(pod)) owner = &pod;
    });
    Policies policies = owner == nullptr ? Policies{} : policies_of(*owner, m_.world, m_.index);
    if (looks_for_unknown()) changes_.known[address] = owner != nullptr && policies.empty();
    std::string node; // of a remote pod
    if (owner == nullptr && !find_remote(address, policies, node)) return false;
    const auto& tables = data_->pods.at(address.family);
    const auto class_in = [&](const net::Elements& pods) {
      return Classifier::Data::class_in(pods, address);
    };
    const auto here = class_in(tables[0]), far = class_in(tables[1]);
    std::optional<std::uint32_t> id;
    if (!policies.empty()) {
      auto [of, fresh] = classes_.try_emplace(policies);
      if (fresh) of->second = class_of(policies, m_.world, m_.places);
      id = natural_id(of->second.digest);
      if (!join(address.family, *id, of->second)) return false;
    }
    for (const auto& old : {here, far}) {
      if (old) leave(address.family, *old);
    }
    const bool is_far = !node.empty();
    const auto note = [&](auto& changes, const auto& was, const auto& is) {
      if (was != is) changes[address] = is;
    };
    note(changes_.pods, here, is_far ? std::nullopt : id);
    note(changes_.remote_pods, far, is_far ? id : std::nullopt);
    return (!far && !is_far) || take_source(address, far.has_value(), node);
  }

  // What slices say of an address that no pod of this node has. The node stays empty where it is
  // not a pod that may come by the tunnel.
  bool find_remote(const Address& address, Policies& policies, std::string& node) {
    std::vector<const api::NamespacedName*> slices; // in their order, as plan_node() reads them
    m_.slices_by_address.for_each(
        hash_of(address), [&](const api::NamespacedName& slice) { slices.push_back(&slice); });
    std::ranges::sort(slices, [](const auto* a, const auto* b) { return *a < *b; });
    for (const auto* key : slices) {
      const RemotePods& slice = m_.world.slices.at(*key);
      const CompiledPolicy* policy = held(slice.policy_uid);
      if (policy == nullptr) continue;
      for (const RemotePods::Pod& pod : slice.pods) {
        if (pod.ip != address || *pod.node == m_.world.node) continue;
        if (!node.empty() && node != *pod.node) return false; // it stands for two
        if (pod.node->empty()) return false;
        node = *pod.node;
        policies.push_back(policy);
      }
    }
    put_in_order(policies);
    return true;
  }
  // Of this uid and with an EIP here; of several the first.
  const CompiledPolicy* held(const std::string& uid) {
    const CompiledPolicy* found = nullptr;
    m_.policies_by_uid.for_each(hash_of_uid(uid), [&](const CompiledPolicy& policy) {
      if (policy.uid != uid || !m_.is_held(policy)) return;
      if (found == nullptr || policy.key < found->key) found = &policy;
    });
    return found;
  }

  // Whether a remote pod may come by the tunnel, from which node, and the way back. Which nodes
  // there are must be as before: what leads to them follows from that.
  bool take_source(const Address& address, bool was, const std::string& node) {
    const auto old =
        source_of(sources_of(plan_.state.tables, address.family), nft::bytes_of(address));
    const auto name = m_.world.nodes.find(node);
    const Peer peer = name == m_.world.nodes.end() ? Peer() : Peer(name->second);
    const bool is = !node.empty();
    if (was != old.has_value() || is != peer.mac.has_value()) return false;
    if (old && mac_in(*old) == peer.mac) return true;
    if (old && --m_.sources.at(mac_in(*old)) == 0) return false;
    if (is && m_.sources[*peer.mac]++ == 0) return false;
    changes_.sources[address] = peer.mac;
    const net::RouteKey route = return_route(address, o_);
    if (const auto& next_hop = peer.next_hop(address.family); plan_.state.tunnel && next_hop) {
      plan_.state.routes.insert_or_assign(route,
                                          {net::RouteType::Unicast, o_.ownership.device, next_hop});
    } else {
      plan_.state.routes.erase(route);
    }
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
    if (m_.class_users.try_emplace({family, id}, 0).first->second++ == 0) toggle(family, id);
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

  // EIPs that came into use or went out of it, or have another holder. Which nodes are spoken to
  // must be as before: marks, routes, rules and neighbours follow from that.
  bool settle_eips() {
    std::set<std::uint32_t> left;
    for (const std::int32_t id : eips_) {
      const auto place = m_.places.all().find(id);
      const bool there = place != m_.places.all().end();
      if (there && place->second.node == m_.world.node) continue; // known in any case
      if (const auto old = in().eips.find(id); old != in().eips.end()) {
        if (old->second.where == EipPlace::Where::Tunnel) left.insert(old->second.gateway);
        in().eips.erase(old);
      }
      changes_.eips.insert(id);
      if (!m_.eip_users.contains(id)) continue;
      if (!there) return false;
      EipPlace where;
      if (const std::string& node = place->second.node; !node.empty()) {
        const auto index = plan_.marks.index.find(node);
        if (index == plan_.marks.index.end()) return false;
        where = {EipPlace::Where::Tunnel, index->second, {}, {}};
      }
      in().eips.emplace(id, where);
    }
    return std::ranges::all_of(left, [&](std::uint32_t gateway) { return still_used(gateway); });
  }
  bool still_used(std::uint32_t gateway) {
    return std::ranges::any_of(in().eips, [&](const auto& item) {
      return item.second.where == EipPlace::Where::Tunnel && item.second.gateway == gateway;
    });
  }

  PlanMemory& m_;
  const NodeOptions& o_;
  NodePlan& plan_;
  std::shared_ptr<Classifier::Data> data_;
  std::set<Address> dirty_;
  std::map<Policies, ClassOfPolicies> classes_;
  std::set<std::int32_t> eips_;
  std::map<std::uint32_t, std::string> gone_; // classes -> names
  RulesetChanges changes_;
};

} // namespace

bool update_plan(PlanMemory& memory, NodePlan& plan, const NodeOptions& options,
                 const WorldChanges& changes) {
  return Update(memory, plan, options).run(changes);
}

} // namespace egw::egress
