// SPDX-License-Identifier: Apache-2.0
#include "egress/cluster_info.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "api/validate.hpp"

namespace egw::egress {

namespace {

void add(api::CidrSource& source, const Prefix& prefix, bool bare) {
  auto& list = prefix.family() == Family::V4 ? source.ipv4 : source.ipv6;
  list.push_back(bare ? prefix.address.to_string() : prefix.to_string());
}

bool is_host(const Prefix& p) {
  return p.length == p.address.bits();
}

void sort_unique(std::vector<std::string>& texts) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
}

void detect_extra(const api::EgressClusterInfo& info, api::EgressClusterInfoStatus& status) {
  for (const std::string& text : info.spec.extra_cidr) {
    // What can't be parsed is complained about by validate().
    if (const auto prefix = Prefix::parse(text)) add(status.extra_cidr, *prefix, is_host(*prefix));
  }
}

void detect_pods(const api::EgressClusterInfo& info, const ClusterSources& sources,
                 api::EgressClusterInfoStatus& status, std::vector<std::string>& wrong) {
  const auto mode = info.spec.pod_cidr_mode;
  if (mode != api::PodCidrMode::Auto && mode != api::PodCidrMode::K8s) return;
  status.pod_cidr_mode = "k8s";
  if (sources.nodes == nullptr) {
    status.pod_cidr = info.status.pod_cidr;
    return;
  }
  for (const auto& [name, node] : *sources.nodes) {
    for (const Prefix& prefix : node.pod_cidrs) add(status.pod_cidr[name], prefix, false);
  }
  if (status.pod_cidr.empty() && !sources.nodes->empty()) {
    wrong.emplace_back(
        "no Node has podCIDRs: put the pod network's CIDRs into spec.extraCidr, or "
        "traffic between pods counts as leaving the cluster");
  }
}

void detect_nodes(const api::EgressClusterInfo& info, const ClusterSources& sources,
                  api::EgressClusterInfoStatus& status) {
  if (!info.spec.node_ip) return;
  if (sources.nodes == nullptr) {
    status.node_ip = info.status.node_ip;
    return;
  }
  for (const auto& [name, node] : *sources.nodes) {
    for (const Address& a : node.internal_ips) add(status.node_ip[name], Prefix::host(a), true);
  }
}

void detect_api_server(const api::EgressClusterInfo& info, const ClusterSources& sources,
                       api::EgressClusterInfoStatus& status) {
  if (sources.api_server == nullptr) {
    status.api_server = info.status.api_server;
    return;
  }
  for (const auto& [name, slice] : *sources.api_server) {
    for (const Address& a : slice.addresses) add(status.api_server, Prefix::host(a), true);
  }
  sort_unique(status.api_server.ipv4);
  sort_unique(status.api_server.ipv6);
}

// Rights that are missing, for people.
api::Condition watching(const api::EgressClusterInfo& info, const ClusterSources& sources) {
  std::string all;
  if (sources.denied != nullptr) {
    for (const auto& [kind, why] : *sources.denied) {
      all += fmt::format("{}{}: {}", all.empty() ? "" : "; ", to_string(kind), why);
    }
  }
  if (all.empty()) {
    return api::make_condition(kWatching, true, "Watching", "", info.meta.generation);
  }
  return api::make_condition(kWatching, false, "Forbidden",
                             "what depends on these kinds is left as it is; apply the controller's "
                             "roles (manifests/base/rbac.yaml) and CRDs (manifests/crds): " +
                                 all,
                             info.meta.generation);
}

} // namespace

api::EgressClusterInfo default_cluster_info() {
  api::EgressClusterInfo info;
  info.meta.name = kClusterInfoName;
  return info;
}

api::EgressClusterInfoStatus detect(const api::EgressClusterInfo& info,
                                    const ClusterSources& sources, WallTime now) {
  api::EgressClusterInfoStatus status;
  status.id_blocks = info.status.id_blocks;
  status.conditions = info.status.conditions;
  std::vector<std::string> wrong;
  for (const Error& e : api::validate(info)) wrong.push_back(e.message);
  for (const Error& e : api::not_implemented(info)) wrong.push_back(e.message);

  detect_nodes(info, sources, status);
  detect_pods(info, sources, status, wrong);
  detect_api_server(info, sources, status);
  detect_extra(info, status);
  api::set_condition(status.conditions, watching(info, sources), now);

  const bool detected = wrong.empty();
  std::string all;
  for (const std::string& w : wrong) all += (all.empty() ? "" : "; ") + w;
  api::set_condition(status.conditions,
                     api::make_condition(kDetected, detected, detected ? "Detected" : "Incomplete",
                                         std::move(all), info.meta.generation),
                     now);
  if (auto missing = api::service_cidr_condition(info)) {
    missing->observed_generation = info.meta.generation;
    api::set_condition(status.conditions, *std::move(missing), now);
  } else {
    std::erase_if(status.conditions, [](const auto& c) { return c.type == "ServiceCIDR"; });
  }
  return status;
}

IntervalSet cluster_addresses(const api::EgressClusterInfoStatus& status,
                              const std::map<std::string, api::Node>& nodes) {
  IntervalSet set;
  const auto take = [&](const api::CidrSource& source) {
    for (const auto* list : {&source.ipv4, &source.ipv6}) {
      for (const std::string& text : *list) {
        if (const auto prefix = Prefix::parse(text)) set.add(*prefix);
      }
    }
  };
  for (const auto& [name, node] : nodes) {
    for (const Address& a : node.internal_ips) set.add(a);
    for (const Prefix& p : node.pod_cidrs) set.add(p);
  }
  take(status.cluster_ip);
  take(status.api_server);
  return set;
}

} // namespace egw::egress
