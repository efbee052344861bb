// SPDX-License-Identifier: Apache-2.0
#include "egress/policy_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/validate.hpp"
#include "egress/policy.hpp"

namespace egw::egress {

namespace {

const std::string* namespace_default(const api::Namespace* ns) {
  if (ns == nullptr) return nullptr;
  for (const api::Labels* where : {&ns->meta.labels, &ns->meta.annotations}) {
    const std::string* name = where->find(api::kLabelNamespaceDefault);
    if (name != nullptr && !name->empty()) return name;
  }
  return nullptr;
}

std::optional<Refusal> refuse(const PolicyInput& in, const std::string& name) {
  const auto gateway = in.gateways->find(name);
  if (gateway == in.gateways->end() || gateway->second.meta.deleting) {
    return Refusal{
        "GatewayNotFound",
        fmt::format("EgressGateway {} does not exist: create it, or make a new policy that "
                    "names another one",
                    name)};
  }
  if (in.policy->kind != api::PolicyKind::EgressClusterPolicy) {
    api::Namespace unknown;
    unknown.meta.name = in.policy->meta.namespace_;
    if (!in_scope(gateway->second.spec, in.ns != nullptr ? *in.ns : unknown)) {
      return Refusal{
          "NotInScope",
          fmt::format("spec.scope of EgressGateway {} does not admit namespace {}: add it "
                      "there, or make a new policy that names another gateway",
                      name, in.policy->meta.namespace_)};
    }
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
  if (const auto missing = api::not_implemented(policy); !missing.empty()) {
    return refused({"NotImplemented", missing.front().message});
  }
  if (v.gateway.empty()) {
    if (const std::string* name = namespace_default(in.ns)) {
      v.gateway = *name;
    } else if (in.cluster_default != nullptr) {
      v.gateway = in.cluster_default->meta.name;
    } else {
      return refused(
          {"NoDefaultGateway",
           fmt::format("spec.egressGatewayName is empty and there is no default: set "
                       "spec.clusterDefault of a gateway to true, or label the namespace "
                       "with {}=NAME",
                       api::kLabelNamespaceDefault)});
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

api::PolicyStatus plan_policy_status(const api::EgressPolicy& policy, const Verdict& verdict,
                                     const Allocation* allocation, const std::string& node,
                                     WallTime now) {
  api::PolicyStatus status;
  status.conditions = policy.status.conditions;
  const auto set = [&](const char* type, bool value, std::string reason, std::string message) {
    api::set_condition(status.conditions,
                       api::make_condition(type, value, std::move(reason), std::move(message),
                                           policy.meta.generation),
                       now);
  };
  const Refusal accepted{"Accepted", ""};
  const Refusal& why = verdict.accepted ? accepted : verdict.refusal;
  set(kAccepted, verdict.accepted, why.reason, why.message);

  const api::Condition* before = api::find_condition(policy.status.conditions, kEnforced);
  const bool enforced = verdict.accepted || (before != nullptr && before->status == "True");
  if (enforced) {
    set(kEnforced, true, "Accepted", "was accepted: what it selects is diverted or dropped");
  }
  if (!verdict.accepted) {
    if (enforced) {
      set(kAllocated, false, why.reason, why.message);
      set(kReady, false, why.reason, "traffic that the policy selects is dropped: " + why.message);
    } else {
      std::erase_if(status.conditions, [](const auto& c) { return c.type == kAllocated; });
      set(kReady, false, why.reason, "the policy is ignored: " + why.message);
    }
    return status;
  }
  if (allocation == nullptr || allocation->id == 0) {
    const Refusal none = allocation != nullptr ? allocation->refusal : Refusal{"Pending", ""};
    set(kAllocated, false, none.reason, none.message);
    set(kReady, false, none.reason, "traffic that the policy selects is dropped: " + none.message);
    return status;
  }
  status.eip_id = allocation->id;
  status.eip_ipv4 = allocation->ipv4;
  status.eip_ipv6 = allocation->ipv6;
  status.node = node;
  set(kAllocated, true, "Allocated", "");
  if (node.empty()) {
    set(kReady, false, "NoReadyNode",
        fmt::format(
            "traffic that the policy selects is dropped: gateway {} has no node ready for its "
            "EIP",
            verdict.gateway));
  } else {
    set(kReady, true, "Ready", "");
  }
  return status;
}

} // namespace egw::egress
