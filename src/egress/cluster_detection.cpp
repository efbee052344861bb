// SPDX-License-Identifier: Apache-2.0
#include "egress/cluster_detection.hpp"

#include <fmt/format.h>

#include "egress/cluster.hpp"

namespace egw::egress {

bool ClusterDetection::pod_changed(const World& world, PodId pod) {
  bool concerns = outside_.changed(pod, world.pods);
  for (auto& [pool, witness] : disabled_pools_) {
    if (witness.changed(pod, world.pods)) concerns = true;
  }
  return concerns;
}

void ClusterDetection::look_at_pools(const World& world) {
  used_pools_.clear();
  std::map<std::string, PodWitness> still;
  for (auto at = world.ranges.lower_bound({Kind::IpPool, "", ""});
       at != world.ranges.end() && at->first.kind == Kind::IpPool; ++at) {
    const auto& [key, pool] = *at;
    if (!pool.disabled) continue;
    IntervalSet set;
    for (const std::string& text : pool.cidrs) {
      if (const auto prefix = Prefix::parse(text)) set.add(*prefix);
    }
    auto known = disabled_pools_.extract(key.name);
    if (known.empty()) {
      still.emplace(key.name, PodWitness(PodWitness::Where::Inside));
    } else {
      still.insert(std::move(known));
    }
    PodWitness& witness = still.at(key.name);
    witness.look_in(set, world.pods);
    if (witness.found()) used_pools_.insert(key.name);
  }
  disabled_pools_ = std::move(still);
}

ClusterSources ClusterDetection::sources(const World& world) {
  look_at_pools(world);
  ClusterSources sources = sources_of(world);
  sources.used_pools = &used_pools_;
  sources.told = probe_.told();
  return sources;
}

api::EgressClusterInfoStatus ClusterDetection::detect(const World& world,
                                                      const api::EgressClusterInfo& info,
                                                      WallTime now) {
  ClusterSources known = sources(world);
  api::EgressClusterInfo found = info;
  found.status = egress::detect(info, known, now);
  outside_.look_in(inside_cluster(found), world.pods);
  if (!outside_.found()) return std::move(found.status);
  const auto& [id, pod, address] = *outside_.found();
  known.pod_outside =
      fmt::format("Pod {} has the address {}", pod.to_string(), address.to_string());
  return egress::detect(info, known, now);
}

bool ClusterDetection::ask(const World& world, const api::EgressClusterInfo& info, Time now) {
  return probe_.ask(info.spec.cluster_ip && service_ranges(sources(world)).ask, now);
}

} // namespace egw::egress
