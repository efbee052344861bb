// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "egress/cluster.hpp"
#include "egress/cluster_info.hpp"

// What a controller knows of a cluster, by hand.
namespace egw::egress::test {

inline Prefix cidr(const std::string& text) {
  return Prefix::parse(text).value();
}
inline Address ip(const std::string& text) {
  return Address::parse(text).value();
}

inline api::RangeObject range_object(api::RangeKind kind, const std::string& name,
                                     std::vector<std::string> cidrs, const std::string& ns = "") {
  api::RangeObject object;
  object.kind = kind;
  object.meta.name = name;
  object.meta.namespace_ = ns;
  object.cidrs = std::move(cidrs);
  return object;
}

struct KnownCluster {
  std::map<std::string, api::Node> nodes;
  std::map<api::NamespacedName, api::EndpointSlice> api_server;
  std::map<Kind, std::string> denied;
  std::map<std::string, std::vector<std::string>> service_flags;
  std::map<ObjectKey, api::RangeObject> ranges;
  std::set<std::string> used_pools;
  std::set<ObjectKey> unreadable;
  ClusterSources sources;

  // One node, and an API server elsewhere; all kinds can be read.
  KnownCluster() {
    node("node1", {"10.6.1.1", "fd06::1"}, {"10.244.1.0/24", "fd44:1::/64"});
    api_server[{"default", "kubernetes"}].addresses = {ip("192.0.2.9")};
    sources.nodes = &nodes;
    sources.api_server = &api_server;
    sources.denied = &denied;
    sources.service_flags = &service_flags;
    sources.ranges = &ranges;
    for (const api::RangeKind kind : api::kRangeKinds) sources.can_read.insert(kind_of(kind));
    sources.used_pools = &used_pools;
    sources.unreadable = &unreadable;
  }
  KnownCluster(const KnownCluster&) = delete;
  KnownCluster& operator=(const KnownCluster&) = delete;

  void node(const std::string& name, const std::vector<std::string>& addresses,
            const std::vector<std::string>& pod_cidrs = {}) {
    api::Node& n = nodes[name];
    n.meta.name = name;
    n.internal_ips.clear();
    n.pod_cidrs.clear();
    for (const auto& text : addresses) n.internal_ips.push_back(ip(text));
    for (const auto& text : pod_cidrs) n.pod_cidrs.push_back(cidr(text));
  }
  api::RangeObject& put(api::RangeObject object) {
    const ObjectKey key = key_of(Object(object));
    return ranges[key] = std::move(object);
  }
  void control_plane(const std::string& pod, const std::vector<std::string>& cidrs) {
    service_flags[pod] = cidrs;
  }
};

} // namespace egw::egress::test
