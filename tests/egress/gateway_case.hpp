// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "egress/gateway_plan.hpp"
#include "egress/policy_plan.hpp"

namespace egw::egress::test {

inline const WallTime kNow = parse_rfc3339("2026-01-01T00:00:00Z");

// A gateway of three ready nodes, and its policies.
struct GatewayCase {
  api::EgressGateway gateway;
  std::vector<api::EgressPolicy> policies;
  GatewayInput in;
  std::size_t made = 0; // policies, also those that are gone

  GatewayCase() {
    gateway.meta.name = "eg1";
    gateway.spec.ipv4_pool = {"10.0.0.1-10.0.0.99"};
    gateway.spec.node_selector.match_labels = {{"a", "b"}};
    in.blocks = {1};
    in.term = 5;
    in.now = in.rest_clock = kNow;
    for (const char* name : {"node1", "node2", "node3"}) {
      in.nodes.push_back({name, api::NodePhase::Ready, false, 0});
    }
  }
  api::EgressPolicy& policy(const std::string& v4) {
    api::EgressPolicy p;
    p.kind = api::PolicyKind::EgressPolicy;
    p.meta.namespace_ = "default";
    p.meta.name = fmt::format("p{:04}", made++);
    p.spec.gateway = "eg1";
    p.spec.eip_ipv4 = v4;
    return policies.emplace_back(p);
  }
  api::EgressPolicy& policy_in_turn() {
    api::EgressPolicy& p = policy("");
    p.spec.allocator = api::AllocatorPolicy::RoundRobin;
    return p;
  }
  api::EgressPolicy& policy_of_node() {
    api::EgressPolicy& p = policy("");
    p.spec.use_node_ip = true;
    return p;
  }
  void phase(const std::string& node, api::NodePhase phase) {
    for (auto& n : in.nodes) {
      if (n.name == node) n.phase = phase;
    }
  }
  GatewayPlan plan() {
    in.gateway = &gateway;
    in.policies.clear();
    for (const auto& p : policies) in.policies.push_back(&p);
    return plan_gateway(in);
  }
  // Plans, and takes the plan over as the API server would.
  GatewayPlan settle() {
    GatewayPlan p = plan();
    gateway.status = p.status;
    for (auto& policy : policies) policy.status.eip_id = p.allocations[policy.key()].id;
    return p;
  }
  std::string node_of(std::size_t policy) {
    return find_entry(gateway.status, policies[policy].status.eip_id).node;
  }
};

} // namespace egw::egress::test
