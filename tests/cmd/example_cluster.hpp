// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>

#include "cmd/status_report.hpp"

// A small cluster in which all is well, to be broken by the tests.
namespace egw::cmd {

inline WallTime example_now() {
  return parse_rfc3339("2026-01-02T03:04:05Z");
}

inline api::Condition condition(const char* type, const char* status, const char* reason = "",
                                const char* message = "") {
  return {.type = type, .status = status, .reason = reason, .message = message};
}

inline api::EgressNode example_node(const std::string& name) {
  api::EgressNode n;
  n.meta.name = name;
  n.status.tunnel_ipv4 = "172.31.0.7";
  n.status.parent.name = "eth0";
  n.status.agent.version = "0.1.0";
  n.status.phase = api::NodePhase::Ready;
  n.status.conditions = {condition("Ready", "True"), condition("DatapathReady", "True")};
  return n;
}

inline api::EgressPolicy example_policy(const std::string& name) {
  api::EgressPolicy p;
  p.kind = api::PolicyKind::EgressPolicy;
  p.meta.name = name;
  p.meta.namespace_ = "default";
  p.meta.uid = "uid-" + name;
  p.spec.gateway = "eg1";
  p.status.eip_ipv4 = "10.6.1.55";
  p.status.eip_ipv6 = "fd00::55";
  p.status.eip_id = 7;
  p.status.node = "n1";
  p.status.conditions = {condition("Accepted", "True"), condition("Allocated", "True"),
                         condition("Ready", "True", "Ready")};
  return p;
}

inline api::EgressEndpointSlice example_slice(const std::string& policy, int pods) {
  api::EgressEndpointSlice s;
  s.meta.name = policy + "-1";
  s.meta.namespace_ = "default";
  s.meta.labels.set(api::kLabelPolicyUid, "uid-" + policy);
  for (int i = 0; i < pods; ++i) {
    s.endpoints.push_back({"default", "pod-" + std::to_string(i), "n1", {"10.244.1.7"}, {}});
  }
  return s;
}

inline ClusterLists example_cluster() {
  ClusterLists c;
  api::EgressGateway g;
  g.meta.name = "eg1";
  g.status.node_list = {{"n1", "Ready", {{7, "10.6.1.55", "fd00::55", {}}}}, {"n2", "Ready", {}}};
  g.status.ip_usage = {15, 14, 3, 2};
  g.status.conditions = {condition("Accepted", "True"), condition("Ready", "True")};
  c.gateways = {g};
  c.nodes = {example_node("n2"), example_node("n1"), example_node("n3")};
  c.policies = {example_policy("web"), example_policy("app")};
  c.slices = {example_slice("app", 2), example_slice("web", 1)};
  api::EgressClusterInfo info;
  info.meta.name = "default";
  info.status.conditions = {condition("Detected", "True")};
  c.infos = {info};
  api::Lease lease;
  lease.meta.name = "egw-controller";
  lease.holder = "controller-1";
  lease.duration_seconds = 15;
  lease.renewed = example_now() - std::chrono::seconds(2);
  c.leases = {lease};
  return c;
}

} // namespace egw::cmd
