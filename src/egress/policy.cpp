// SPDX-License-Identifier: Apache-2.0
#include "egress/policy.hpp"

#include <algorithm>

#include "api/validate.hpp"

namespace egw::egress {

namespace {

std::int32_t default_priority(api::PolicyKind kind) {
  return kind == api::PolicyKind::EgressClusterPolicy ? kDefaultClusterPriority : kDefaultPriority;
}

IntervalSet to_set(const std::vector<Prefix>& prefixes) {
  IntervalSet set;
  for (const Prefix& p : prefixes) set.add(p);
  return set;
}

bool is_cluster_wide(const CompiledPolicy& policy) {
  return policy.key.kind == api::PolicyKind::EgressClusterPolicy;
}

bool in_namespace(const CompiledPolicy& policy, const PodView& pod, const api::Labels* ns) {
  if (!is_cluster_wide(policy)) return policy.key.namespace_ == pod.namespace_;
  if (!policy.namespace_selector || policy.namespace_selector->empty()) return true;
  return ns != nullptr && policy.namespace_selector->matches(*ns);
}

bool can_be_endpoint(const PodView& pod) {
  return !pod.host_network && !pod.ended;
}

// Whether `everything`, less what it excludes, holds a destination of `some`.
bool reaches(const CompiledPolicy& everything, const CompiledPolicy& some) {
  if (!everything.excluded) return !some.destinations.empty();
  IntervalSet rest = some.destinations;
  for (const Range& r : everything.excluded->ranges()) rest.remove(r);
  return !rest.empty();
}

} // namespace

CompiledPolicy compile(const api::EgressPolicy& policy) {
  CompiledPolicy c;
  c.key = policy.key();
  c.uid = policy.meta.uid;
  c.gateway = policy.spec.gateway;
  c.pod_selector = policy.spec.pod_selector;
  if (policy.spec.namespace_selector) c.namespace_selector = *policy.spec.namespace_selector;
  auto subnets = api::parse_prefixes(policy.spec.pod_subnet, "spec.appliedTo.podSubnet");
  if (subnets && !subnets->empty()) {
    c.pod_subnets = *std::move(subnets);
  }
  const auto destinations = api::parse_prefixes(policy.spec.dest_subnet, "spec.destSubnet");
  const auto excluded = api::parse_prefixes(policy.spec.excluded_subnet, "spec.excludedSubnet");
  if (destinations && !destinations->empty()) {
    c.everything_outside = false;
    c.destinations = to_set(*destinations);
  }
  if (excluded && !excluded->empty()) {
    c.excluded = to_set(*excluded);
    for (const Range& r : c.excluded->ranges()) c.destinations.remove(r);
  }
  const api::Condition* enforced = api::find_condition(policy.status.conditions, kEnforced);
  c.enforced = enforced != nullptr && enforced->status == "True";
  c.use_node_ip = policy.spec.use_node_ip;
  c.eip_id = policy.status.eip_id;
  c.eip_ipv4 = policy.status.eip_ipv4;
  c.eip_ipv6 = policy.status.eip_ipv6;
  c.priority = policy.spec.priority.value_or(default_priority(policy.kind));
  c.created = policy.meta.created;
  return c;
}

bool before(const CompiledPolicy& a, const CompiledPolicy& b) {
  const bool a_wide = is_cluster_wide(a), b_wide = is_cluster_wide(b);
  return std::tie(a.priority, a_wide, a.created, a.key) <
         std::tie(b.priority, b_wide, b.created, b.key);
}

PodView view(const api::Pod& pod) {
  return {pod.meta.namespace_, pod.meta.labels, pod.ips, pod.host_network, pod.ended()};
}

bool will_select(const CompiledPolicy& policy, const PodView& pod, const api::Labels* ns) {
  if (!can_be_endpoint(pod)) return false;
  const bool starting = pod.ips.empty();
  const bool unknown_namespace = starting && ns == nullptr && is_cluster_wide(policy);
  if (!unknown_namespace && !in_namespace(policy, pod, ns)) return false;
  if (policy.pod_subnets) {
    if (starting) return true;
    return std::ranges::any_of(pod.ips, [&](const Address& ip) {
      return std::ranges::any_of(*policy.pod_subnets,
                                 [&](const Prefix& p) { return p.contains(ip); });
    });
  }
  if (policy.pod_selector) return policy.pod_selector->matches(pod.labels);
  // A namespaceSelector alone selects all pods of those namespaces.
  return static_cast<bool>(policy.namespace_selector);
}

bool selects(const CompiledPolicy& policy, const PodView& pod, const api::Labels* ns) {
  return !pod.ips.empty() && will_select(policy, pod, ns);
}

bool share_destination(const CompiledPolicy& a, const CompiledPolicy& b) {
  if (a.everything_outside && b.everything_outside) return true;
  if (a.everything_outside) return reaches(a, b);
  if (b.everything_outside) return reaches(b, a);
  return a.destinations.first_overlap(b.destinations).has_value();
}

} // namespace egw::egress
