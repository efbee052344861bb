// SPDX-License-Identifier: Apache-2.0
#include "egress/policy_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/validate.hpp"
#include "egress/lookup.hpp"
#include "egress/policy.hpp"

namespace egw::egress {

std::optional<std::string> namespace_default(const api::Namespace* ns) {
  if (ns == nullptr) return std::nullopt;
  for (const api::Labels* where : {&ns->meta.labels, &ns->meta.annotations}) {
    const auto name = where->find(api::kLabelNamespaceDefault);
    if (name && !name->empty()) return std::string(*name);
  }
  return std::nullopt;
}

std::string no_default_gateway() {
  return fmt::format(
      "spec.egressGatewayName is empty and there is no default: set spec.clusterDefault of a "
      "gateway to true, or label the namespace with {}=NAME",
      api::kLabelNamespaceDefault);
}

std::optional<Refusal> refuse_reference(const api::EgressPolicy& policy,
                                        const api::EgressGateway* gateway, const api::Namespace* ns,
                                        const std::string& ns_name) {
  const std::string& name = policy.spec.gateway;
  if (gateway == nullptr || gateway->meta.deleting) {
    return Refusal{
        "GatewayNotFound",
        fmt::format("EgressGateway {} does not exist: create it, or make a new policy that "
                    "names another one",
                    name)};
  }
  if (policy.kind == api::PolicyKind::EgressClusterPolicy) return std::nullopt;
  api::Namespace unknown;
  unknown.meta.name = ns_name;
  if (in_scope(gateway->spec, ns != nullptr ? *ns : unknown)) return std::nullopt;
  return Refusal{"NotInScope",
                 fmt::format("spec.scope of EgressGateway {} does not admit namespace {}: add it "
                             "there, or make a new policy that names another gateway",
                             name, ns_name)};
}

namespace {

std::optional<Refusal> refuse(const PolicyInput& in, const std::string& name) {
  const auto gateway = in.gateways->find(name);
  api::EgressPolicy policy = *in.policy;
  policy.spec.gateway = name; // a default, where it names none
  if (auto why =
          refuse_reference(policy, gateway == in.gateways->end() ? nullptr : &gateway->second,
                           in.ns, policy.meta.namespace_)) {
    return why;
  }
  // Whoever got an EIP before keeps it; a gateway that is refused gives out no new ones.
  const auto refused = in.refused_gateways->find(name);
  if (refused != in.refused_gateways->end() && in.policy->status.eip_id == 0) {
    return Refusal{"GatewayRefused",
                   fmt::format("EgressGateway {}: {}", name, refused->second.message)};
  }
  return std::nullopt;
}

} // namespace

bool in_scope(const api::EgressGatewaySpec& gateway, const api::Namespace& ns) {
  if (!gateway.scope_namespaces && !gateway.scope_namespace_selector) return true;
  if (gateway.scope_namespaces && std::ranges::find(*gateway.scope_namespaces, ns.meta.name) !=
                                      gateway.scope_namespaces->end()) {
    return true;
  }
  return gateway.scope_namespace_selector &&
         gateway.scope_namespace_selector->matches(ns.meta.labels);
}

Verdict judge(const PolicyInput& in) {
  Verdict v;
  const api::EgressPolicy& policy = *in.policy;
  v.gateway = policy.spec.gateway;
  const auto refused = [&](Refusal why) {
    v.refusal = std::move(why);
    return v;
  };
  if (policy.meta.deleting) return refused({"Deleting", "the policy is being deleted"});
  if (const auto wrong = api::validate(policy); !wrong.empty()) {
    return refused({"Invalid", wrong.front().message});
  }
  if (v.gateway.empty()) {
    if (const auto name = namespace_default(in.ns)) {
      v.gateway = *name;
    } else if (in.cluster_default != nullptr) {
      v.gateway = in.cluster_default->meta.name;
    } else {
      return refused({"NoDefaultGateway", no_default_gateway()});
    }
    v.fill = true;
  }
  if (auto why = refuse(in, v.gateway)) {
    v.fill = false;
    return refused(*std::move(why));
  }
  v.accepted = true;
  return v;
}

Placed find_entry(const api::EgressGatewayStatus& status, std::int32_t id) {
  for (const auto& node : status.node_list) {
    for (const auto& entry : node.eips) {
      if (entry.id == id) return {&entry, node.name};
    }
  }
  for (const auto& entry : status.unplaced) {
    if (entry.id == id) return {&entry, ""};
  }
  return {};
}

namespace {

// What becomes of the traffic of a policy that no gateway node serves.
std::string unserved(const api::EgressGatewaySpec* gateway, const std::string& why) {
  if (gateway != nullptr && gateway->when_no_gateway == api::WhenNoGateway::Bypass) {
    return "traffic that the policy selects leaves by the pods' own nodes (spec.whenNoGateway of "
           "its gateway is Bypass): " +
           why;
  }
  return "traffic that the policy selects is dropped: " + why;
}

std::string names(const std::vector<const CompiledPolicy*>& policies) {
  constexpr std::size_t kMost = 3;
  std::string text;
  for (std::size_t i = 0; i < std::min(kMost, policies.size()); ++i) {
    text += fmt::format("{}{} (priority {})", text.empty() ? "" : ", ",
                        policies[i]->key.to_string(), policies[i]->priority);
  }
  if (policies.size() > kMost) text += fmt::format(" and {} more", policies.size() - kMost);
  return text;
}

// An EIP lacks a family of which the gateway has a pool: the pool had no address left for it.
std::optional<Family> missing_family(const StatusInput& in) {
  if (in.gateway == nullptr || in.policy->spec.use_node_ip) return std::nullopt;
  if (in.allocation->ipv4.empty() && !in.gateway->ipv4_pool.empty()) return Family::V4;
  if (in.allocation->ipv6.empty() && !in.gateway->ipv6_pool.empty()) return Family::V6;
  return std::nullopt;
}

} // namespace

api::PolicyStatus plan_policy_status(const StatusInput& in) {
  const api::EgressPolicy& policy = *in.policy;
  const Verdict& verdict = *in.verdict;
  api::PolicyStatus status;
  status.conditions = policy.status.conditions;
  const auto set = [&](const char* type, bool value, std::string reason, std::string message) {
    api::set_condition(status.conditions,
                       api::make_condition(type, value, std::move(reason), std::move(message),
                                           policy.meta.generation),
                       in.now);
  };
  std::erase_if(status.conditions, [](const auto& c) { return c.type == kOverlapped; });
  if (!in.ahead.empty()) {
    const auto* told = api::find_condition(policy.status.conditions, kOverlapped);
    if (told != nullptr) status.conditions.push_back(*told);
    set(kOverlapped, true, "OthersFirst",
        fmt::format("of pods and destinations that several name, these decide first: {}",
                    names(in.ahead)));
  }
  const Refusal accepted{"Accepted", ""};
  const Refusal& why = verdict.accepted ? accepted : verdict.refusal;
  set(kAccepted, verdict.accepted, why.reason, why.message);

  const bool enforced = verdict.accepted || is_true(policy.status.conditions, kEnforced);
  if (enforced) {
    set(kEnforced, true, "Accepted", "was accepted: what it selects is diverted or dropped");
  }
  if (!verdict.accepted) {
    if (enforced) {
      set(kAllocated, false, why.reason, why.message);
      set(kReady, false, why.reason, unserved(in.gateway, why.message));
    } else {
      std::erase_if(status.conditions, [](const auto& c) { return c.type == kAllocated; });
      set(kReady, false, why.reason, "the policy is ignored: " + why.message);
    }
    return status;
  }
  if (in.allocation == nullptr || in.allocation->id == 0) {
    const Refusal none = in.allocation != nullptr ? in.allocation->refusal : Refusal{"Pending", ""};
    set(kAllocated, false, none.reason, none.message);
    set(kReady, false, none.reason, unserved(in.gateway, none.message));
    return status;
  }
  status.eip_id = in.allocation->id;
  status.eip_ipv4 = in.allocation->ipv4;
  status.eip_ipv6 = in.allocation->ipv6;
  status.node = in.node;
  if (const auto family = missing_family(in)) {
    const int digit = static_cast<int>(*family);
    set(kAllocated, true, "OneFamily",
        fmt::format("the EIP has no IPv{0} address, none was free: add addresses to "
                    "spec.ippools.ipv{0} of gateway {1}",
                    digit, verdict.gateway));
  } else {
    set(kAllocated, true, "Allocated", "");
  }
  if (in.node.empty()) {
    set(kReady, false, "NoReadyNode",
        unserved(in.gateway,
                 fmt::format("gateway {} has no node ready for its EIP", verdict.gateway)));
  } else {
    set(kReady, true, "Ready", "");
  }
  return status;
}

bool same_but_overlap(const api::PolicyStatus& a, const api::PolicyStatus& b) {
  const auto without = [](api::PolicyStatus status) {
    std::erase_if(status.conditions, [](const auto& c) { return c.type == kOverlapped; });
    return status;
  };
  return without(a) == without(b);
}

} // namespace egw::egress
