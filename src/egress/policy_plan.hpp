// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/core.hpp"
#include "api/egress.hpp"
#include "egress/gateway_plan.hpp"
#include "egress/policy.hpp"

// Whether a policy is accepted, and what its status says. Pure.
namespace egw::egress {

struct PolicyInput {
  const api::EgressPolicy* policy = nullptr;
  const api::Namespace* ns = nullptr; // the policy's; nullptr: cluster-wide, or not known
  const std::map<std::string, api::EgressGateway>* gateways = nullptr;
  const api::EgressGateway* cluster_default = nullptr;
  const std::map<std::string, Refusal>* refused_gateways = nullptr;
};

struct Verdict {
  bool accepted = false;
  Refusal refusal;     // when not accepted
  std::string gateway; // spec.egressGatewayName, or the default that applies
  bool fill = false;   // the name is to be written into the spec first
  bool operator==(const Verdict&) const = default;
};
[[nodiscard]] Verdict judge(const PolicyInput& input);

// The gateway that policies of a namespace have by default: its label, else its annotation.
// Nothing: none, or the namespace is not known (nullptr).
[[nodiscard]] std::optional<std::string> namespace_default(const api::Namespace* ns);
[[nodiscard]] std::string no_default_gateway(); // the message when there is none at all
// Why a policy may not refer to the gateway; nullptr: it does not exist. `ns` is not asked for by
// cluster policies; nullptr: not known, only its name.
[[nodiscard]] std::optional<Refusal> refuse_reference(const api::EgressPolicy& policy,
                                                      const api::EgressGateway* gateway,
                                                      const api::Namespace* ns,
                                                      const std::string& ns_name);

// Whether a gateway's scope admits a namespace. Cluster policies are made by those who make
// gateways, and are always admitted.
[[nodiscard]] bool in_scope(const api::EgressGatewaySpec& gateway, const api::Namespace& ns);

struct StatusInput {
  const api::EgressPolicy* policy = nullptr;
  const Verdict* verdict = nullptr;
  const api::EgressGatewaySpec* gateway = nullptr; // nullptr: it does not exist
  const Allocation* allocation = nullptr;          // nullptr: the policy is not accepted
  std::string node;                                // who holds its EIP; empty: nobody
  // Policies that share pods and destinations with this one and come before it, in their order.
  std::vector<const CompiledPolicy*> ahead;
  WallTime now{};
};
[[nodiscard]] api::PolicyStatus plan_policy_status(const StatusInput& input);
// The same but for what is told of other policies.
[[nodiscard]] bool same_but_overlap(const api::PolicyStatus& a, const api::PolicyStatus& b);

template <class F>
void for_each_entry(const api::EgressGatewayStatus& status, const F& f) {
  for (const auto& node : status.node_list) {
    for (const auto& entry : node.eips) f(entry);
  }
  for (const auto& entry : status.unplaced) f(entry);
}

// Finds an entry in a gateway's status.
struct Placed {
  const api::EipEntry* entry = nullptr; // nullptr: there is none
  std::string node;                     // empty: unplaced
};
[[nodiscard]] Placed find_entry(const api::EgressGatewayStatus& status, std::int32_t id);

} // namespace egw::egress
