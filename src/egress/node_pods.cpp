// SPDX-License-Identifier: Apache-2.0
#include "egress/node_pods.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ranges>

#include "base/digest.hpp"
#include "egress/class_data.hpp"

namespace egw::egress {

namespace {

bool earlier(const CompiledPolicy* a, const CompiledPolicy* b) {
  return before(*a, *b);
}

// Nobody holds its EIP, or it has none: what the gateway says of that. Not so when statuses that
// are written side by side do not agree yet.
bool without_gateway(const CompiledPolicy& policy, const Places::Place* place) {
  return place != nullptr ? place->node.empty() : policy.eip_id == 0;
}

PolicyRule rule_of(const CompiledPolicy& policy, const AgentWorld& world, const Places& places) {
  const Places::Place* place = places.find(policy);
  PolicyRule rule{
      .everything_outside = policy.everything_outside,
      .destinations = policy.destinations,
      .excluded = policy.everything_outside && policy.excluded ? *policy.excluded : IntervalSet{}};
  const auto gateway = world.gateways.find(policy.gateway);
  const auto fate = [&](const std::string& told, const std::optional<Address>& of_node) {
    if (gateway == world.gateways.end()) return Fate::Drop;
    const api::EgressGatewaySpec& spec = gateway->second.spec;
    if (without_gateway(policy, place)) {
      return spec.when_no_gateway == api::WhenNoGateway::Bypass ? Fate::Untouched : Fate::Drop;
    }
    if (place == nullptr) return Fate::Drop;
    if (policy.use_node_ip ? of_node.has_value() : !told.empty()) return Fate::Eip;
    return spec.unserved_family == api::UnservedFamily::Allow ? Fate::Untouched : Fate::Drop;
  };
  rule.v4 = fate(policy.eip_ipv4, place != nullptr ? place->ipv4 : std::nullopt);
  rule.v6 = fate(policy.eip_ipv6, place != nullptr ? place->ipv6 : std::nullopt);
  if (rule.v4 == Fate::Eip || rule.v6 == Fate::Eip) rule.eip_id = policy.eip_id;
  return rule;
}

char letter(Fate fate) {
  switch (fate) {
    case Fate::Eip:
      return 'e';
    case Fate::Untouched:
      return 'u';
    case Fate::Drop:
      break;
  }
  return '-';
}

// All that a class chain is made of.
std::string content_of(const PolicyRule& rule) {
  std::string text = fmt::format("{} {} {}{}:", rule.everything_outside ? "not" : "in", rule.eip_id,
                                 letter(rule.v4), letter(rule.v6));
  for (const Range& r : (rule.everything_outside ? rule.excluded : rule.destinations).ranges()) {
    text += r.to_string() + ",";
  }
  return text + "\n";
}

// Of thousands of addresses it keeps what it needs meanwhile in blocks: what a node each would
// leave behind, between what stays, is memory that nobody gets again.
class Builder {
 public:
  Builder(const AgentWorld& world, const Places& places) : world_(world), places_(places) {}

  KnownPods build() {
    local_pods();
    remote_pods();
    number();
    return std::move(table_);
  }

 private:
  struct Group {
    ClassOfPolicies of;
    std::uint32_t id = 0;
  };
  struct Known {
    Address ip;
    Group* group = nullptr; // nullptr: in none
  };
  struct Told { // by a slice
    Address ip;
    const std::string* node;
    const CompiledPolicy* policy;
  };

  void local_pods() {
    PolicyIndex<const CompiledPolicy> index;
    for (const auto& [key, policy] : world_.policies) {
      if (policy.enforced) index.add(&policy, policy);
    }
    // An address that is used again before the old pod is gone belongs to the younger pod, and of
    // two of one age to the one whose name is the last.
    std::vector<const LocalPods::value_type*> pods;
    for (const auto& pod : world_.pods) {
      if (has_own_addresses(pod.second)) pods.push_back(&pod);
    }
    std::ranges::stable_sort(pods, {}, [](const auto* pod) { return pod->second.created; });
    for (const auto* pod : std::views::reverse(pods)) {
      const Policies policies = policies_of(*pod, world_, index);
      if (pod->second.ips.empty() && !policies.empty()) ++table_.starting;
      for (const Address& ip : pod->second.ips) known_.push_back({ip, group_of(policies)});
    }
    std::ranges::stable_sort(known_, {}, &Known::ip);
    const auto [first, last] = std::ranges::unique(known_, {}, &Known::ip);
    known_.erase(first, last);
    for (const Known& pod : known_) {
      if (pod.group == nullptr) table_.unselected.push_back(pod.ip);
    }
  }

  void remote_pods() {
    std::vector<const CompiledPolicy*> held; // by uid; of several the first
    for (const auto& [key, policy] : world_.policies) {
      const auto* place = policy.enforced ? places_.find(policy) : nullptr;
      if (place != nullptr && place->node == world_.node) held.push_back(&policy);
    }
    const auto uid = [](const auto* policy) -> const std::string& { return policy->uid; };
    std::ranges::stable_sort(held, {}, uid);
    std::vector<Told> told;
    for (const auto& [key, slice] : world_.slices) {
      const auto policy = std::ranges::lower_bound(held, slice.policy_uid, {}, uid);
      if (policy == held.end() || (*policy)->uid != slice.policy_uid) continue;
      for (const RemotePods::Pod& pod : slice.pods) {
        // One of this node is judged by what the API server says of the pod itself.
        const bool here =
            *pod.node == world_.node || std::ranges::binary_search(known_, pod.ip, {}, &Known::ip);
        if (!here) told.push_back({pod.ip, &*pod.node, *policy});
      }
    }
    std::ranges::stable_sort(told, {}, &Told::ip);
    const std::size_t local = known_.size();
    for (auto at = told.begin(); at != told.end();) {
      const auto next =
          std::find_if(at, told.end(), [&](const Told& other) { return other.ip != at->ip; });
      table_.remote.emplace_back(at->ip, at->node);
      known_.push_back({at->ip, group_of(policies_of_one(at, next))});
      at = next;
    }
    std::ranges::inplace_merge(known_, known_.begin() + static_cast<std::ptrdiff_t>(local), {},
                               &Known::ip);
  }

  template <class Iterator>
  Policies policies_of_one(Iterator first, Iterator last) {
    Policies policies;
    for (auto at = first; at != last; ++at) {
      if (*at->node == *first->node) {
        policies.push_back(at->policy);
        continue;
      }
      table_.disputed = true;
      table_.warnings.push_back(fmt::format(
          "pod address {} stands for two nodes, {} and {}: taken for the former until the endpoint "
          "slices agree",
          at->ip.to_string(), *first->node, *at->node));
    }
    put_in_order(policies);
    return policies;
  }

  Group* group_of(const Policies& policies) {
    if (policies.empty()) return nullptr;
    const auto [group, fresh] = groups_.try_emplace(policies);
    if (fresh) group->second.of = class_of(policies, world_, places_);
    return &group->second;
  }

  // Ids from digests, in the order of digests, so that they do not depend on who came first: the
  // first 32 bits, or the next free number.
  void number() {
    std::vector<Group*> used; // an address that is used again may have left one without a pod
    for (const Known& pod : known_) {
      if (pod.group != nullptr) used.push_back(pod.group);
    }
    std::ranges::sort(used);
    const auto [first, last] = std::ranges::unique(used);
    used.erase(first, last);
    std::ranges::sort(used, {}, [](const Group* g) -> const std::string& { return g->of.digest; });
    const Group* before = nullptr;
    for (Group* group : used) {
      if (before != nullptr && before->of.digest == group->of.digest) {
        group->id = before->id;
        continue;
      }
      before = group;
      group->id = natural_id(group->of.digest);
      while (table_.classes.contains(group->id)) group->id = class_id(group->id + 1);
      auto known = std::make_shared<const PodClass>(pod_class(group->of));
      for (const std::int32_t eip : eips_of(*known)) ++table_.eips[eip];
      table_.classes.emplace(group->id, std::move(known));
    }
    table_.pods.reserve(known_.size());
    for (const Known& pod : known_) {
      if (pod.group != nullptr) table_.pods.emplace_back(pod.ip, pod.group->id);
    }
  }

  const AgentWorld& world_;
  const Places& places_;
  KnownPods table_;
  std::vector<Known> known_;         // in order of addresses, each once
  std::map<Policies, Group> groups_; // nodes of a map stay where they are
};

} // namespace

void put_in_order(Policies& policies) {
  std::ranges::sort(policies, earlier);
  const auto [first, last] = std::ranges::unique(policies);
  policies.erase(first, last);
}

RemotePods remote_pods(const api::EgressEndpointSlice& slice, NamePool& names) {
  RemotePods found;
  found.policy_uid = slice.meta.labels.find(api::kLabelPolicyUid).value_or("");
  std::size_t count = 0;
  for (const api::Endpoint& e : slice.endpoints) count += e.ipv4.size() + e.ipv6.size();
  found.pods.reserve(count);
  for (const api::Endpoint& e : slice.endpoints) {
    const auto node = names.get(e.node);
    for (const auto* texts : {&e.ipv4, &e.ipv6}) {
      for (const std::string& text : *texts) {
        if (const auto ip = Address::parse(text)) found.pods.push_back({*ip, node});
      }
    }
  }
  return found;
}

LocalPod local_pod(const api::Pod& pod, LabelsPool& labels) {
  return {labels.get(pod.meta.labels), pod.meta.created, PodIps(pod.ips), pod.host_network,
          pod.ended()};
}

PodView view(const LocalPods::value_type& pod) {
  const auto& [name, p] = pod;
  return {name.namespace_, *p.labels, p.ips.all(), p.host_network, p.ended};
}

Policies policies_of(const LocalPods::value_type& pod, const AgentWorld& world,
                     const PolicyIndex<const CompiledPolicy>& index) {
  const auto ns = world.namespaces.find(pod.first.namespace_);
  const api::Labels* labels = ns == world.namespaces.end() ? nullptr : &ns->second.meta.labels;
  Policies found;
  const PodView seen = view(pod);
  index.for_each_candidate(seen, [&](const CompiledPolicy* policy) {
    if (will_select(*policy, seen, labels)) found.push_back(policy);
  });
  put_in_order(found); // one may be found by two labels of one hash
  return found;
}

ClassOfPolicies class_of(const Policies& policies, const AgentWorld& world, const Places& places) {
  ClassOfPolicies of;
  std::string content;
  for (const CompiledPolicy* policy : policies) {
    of.rules.push_back(rule_of(*policy, world, places));
    content += content_of(of.rules.back());
  }
  of.digest = short_digest(content);
  return of;
}

PodClass pod_class(const ClassOfPolicies& of) {
  return {"c_" + of.digest, of.rules};
}

std::uint32_t natural_id(const std::string& digest) {
  std::uint32_t id = 0;
  std::from_chars(digest.data(), digest.data() + 8, id, 16);
  return class_id(id);
}

std::set<std::int32_t> eips_of(const PodClass& pod_class) {
  std::set<std::int32_t> ids;
  for (const PolicyRule& rule : pod_class.policies) {
    if (rule.eip_id != 0) ids.insert(rule.eip_id);
  }
  return ids;
}

KnownPods select_pods(const AgentWorld& world, const Places& places) {
  return Builder(world, places).build();
}

} // namespace egw::egress
