// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "egress/node_plan.hpp"

// Small clusters as values.
namespace egw::egress::testing {

inline Address ip(const std::string& text) {
  return Address::parse(text).value();
}
inline Mac mac(const std::string& text) {
  return Mac::parse(text).value();
}
inline Prefix cidr(const std::string& text) {
  return Prefix::parse(text).value();
}

// Node n (1..99): underlay 10.6.0.n and fd06::n on eth0, tunnel 172.31.0.n and fd11::n.
inline api::EgressNode egress_node(int n) {
  const std::string i = std::to_string(n);
  api::EgressNode node;
  node.meta.name = "node" + i;
  node.status.tunnel_ipv4 = "172.31.0." + i;
  node.status.tunnel_ipv6 = "fd11::" + i;
  node.status.tunnel_mac = "66:00:00:00:00:" + std::string(n < 10 ? "0" : "") + i;
  node.status.parent = {"eth0", "10.6.0." + i, "fd06::" + i};
  return node;
}

inline net::Host host(int n) {
  const std::string i = std::to_string(n);
  net::Host h;
  h.links["lo"] = {1, "lo", {}, 65536, true};
  h.links["eth0"] = {2, "eth0", mac("02:00:00:00:00:01"), 1500, true};
  h.links["eth1"] = {3, "eth1", mac("02:00:00:00:00:02"), 1500, true};
  h.addresses["lo"] = {{ip("127.0.0.1"), 8}};
  h.addresses["eth0"] = {{ip("10.6.0." + i), 16}, {ip("fd06::" + i), 64}};
  h.addresses["eth1"] = {{ip("10.7.0." + i), 24}};
  h.default_link = {{Family::V4, "eth0"}, {Family::V6, "eth0"}};
  return h;
}

inline api::Pod pod(const std::string& ns, const std::string& name, api::Labels labels,
                    const std::vector<std::string>& ips) {
  api::Pod p;
  p.meta.name = name;
  p.meta.namespace_ = ns;
  p.meta.labels = std::move(labels);
  p.phase = api::PodPhase::Running;
  for (const std::string& text : ips) p.ips.push_back(ip(text));
  return p;
}
inline void add(AgentWorld& w, const api::Pod& p) {
  w.pods[{p.meta.namespace_, p.meta.name}] = local_pod(p, *w.labels);
}
// The other way round: a pod that is known as such a one.
inline api::Pod pod_of(const LocalPods::value_type& known) {
  const auto& [name, local] = known;
  api::Pod p;
  p.meta.namespace_ = name.namespace_;
  p.meta.name = name.name;
  p.meta.labels = *local.labels;
  p.meta.created = local.created;
  p.host_network = local.host_network;
  p.phase = local.ended ? api::PodPhase::Succeeded : api::PodPhase::Running;
  p.ips.assign(local.ips.begin(), local.ips.end());
  return p;
}

// An accepted policy that selects app=NAME in `ns` and has both families of EIP `id`.
inline api::EgressPolicy policy(const std::string& ns, const std::string& name,
                                const std::string& gateway, std::int32_t id) {
  api::EgressPolicy p;
  p.kind = api::PolicyKind::EgressPolicy;
  p.meta.name = name;
  p.meta.namespace_ = ns;
  p.meta.uid = "uid-" + ns + "-" + name;
  p.spec.gateway = gateway;
  p.spec.pod_selector = api::LabelSelector{{{"app", name}}, {}};
  p.status.eip_id = id;
  p.status.eip_ipv4 = "10.6.1." + std::to_string(id);
  p.status.eip_ipv6 = "fd06:1::" + std::to_string(id);
  p.status.conditions = {
      {.type = kEnforced, .status = "True", .reason = "Accepted", .message = ""}};
  return p;
}
inline void add(AgentWorld& w, const api::EgressPolicy& p) {
  w.policies[p.key()] = compile(p);
}

inline api::EipEntry entry(std::int32_t id) {
  return {id, "10.6.1." + std::to_string(id), "fd06:1::" + std::to_string(id), {}};
}
// Puts an EIP on a node of a gateway; an empty node: unplaced.
inline void place(AgentWorld& w, const std::string& gateway, const std::string& node,
                  const api::EipEntry& e) {
  auto& g = w.gateways[gateway];
  g.meta.name = gateway;
  if (node.empty()) {
    g.status.unplaced.push_back(e);
    return;
  }
  for (auto& there : g.status.node_list) {
    if (there.name == node) {
      there.eips.push_back(e);
      return;
    }
  }
  g.status.node_list.push_back({node, "Ready", {e}});
}

inline api::EgressEndpointSlice slice(const api::EgressPolicy& p,
                                      std::vector<api::Endpoint> endpoints) {
  api::EgressEndpointSlice s;
  s.meta.name = p.meta.name + "-1";
  s.meta.namespace_ = p.meta.namespace_;
  s.meta.labels = {{api::kLabelPolicyUid, p.meta.uid}, {api::kLabelGateway, p.spec.gateway}};
  s.endpoints = std::move(endpoints);
  return s;
}
inline void add(AgentWorld& w, const api::EgressEndpointSlice& s) {
  w.slices[{s.meta.namespace_, s.meta.name}] = remote_pods(s, *w.names);
}

// The other way round: a slice that says so.
inline api::EgressEndpointSlice slice_of(const api::NamespacedName& key, const RemotePods& pods) {
  api::EgressEndpointSlice s;
  s.meta.name = key.name;
  s.meta.namespace_ = key.namespace_;
  s.meta.labels = {{api::kLabelPolicyUid, pods.policy_uid}};
  for (const auto& pod : pods.pods) {
    api::Endpoint e{key.namespace_, "pod", *pod.node, {}, {}};
    (pod.ip.family == Family::V4 ? e.ipv4 : e.ipv6).push_back(pod.ip.to_string());
    s.endpoints.push_back(std::move(e));
  }
  return s;
}

// `nodes` nodes, seen from node1; namespace "default"; pods 10.244.0.0/16 and fd44::/48.
inline AgentWorld world(int nodes) {
  AgentWorld w;
  w.node = "node1";
  for (int n = 1; n <= nodes; ++n) {
    w.nodes["node" + std::to_string(n)] = egress_node(n);
    const std::string i = std::to_string(n);
    w.cluster.status.node_ip["node" + i] = {{"10.6.0." + i}, {"fd06::" + i}};
    w.cluster.status.pod_cidr["node" + i] = {{"10.244." + i + ".0/24"},
                                             {"fd44:0:0:" + i + "::/64"}};
  }
  w.cluster.status.cluster_ip = {{"10.96.0.0/12"}, {"fd96::/108"}};
  w.namespaces["default"].meta.name = "default";
  return w;
}

} // namespace egw::egress::testing
