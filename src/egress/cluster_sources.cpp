// SPDX-License-Identifier: Apache-2.0
#include "egress/cluster_sources.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "egress/lookup.hpp"

namespace egw::egress {

namespace {

// Who may make a ConfigMap of that name elsewhere is not who runs the network.
bool in_charge(const api::RangeObject& config, std::initializer_list<std::string_view> namespaces) {
  return std::ranges::find(namespaces, config.meta.namespace_) != namespaces.end();
}

// Takes texts that are ranges, and complains about the others in the name of `where`.
void take(std::vector<Prefix>& to, std::vector<std::string>& problems,
          const std::vector<std::string>& texts, const std::string& where) {
  for (const std::string& text : texts) {
    const auto prefix = Prefix::parse(text);
    if (!prefix) {
      problems.push_back(fmt::format("{}: {:?} is not a CIDR", where, text));
    } else if (prefix->length < kShortestRange) {
      problems.push_back(fmt::format("{}: {} is no range of a cluster: it is shorter than /{}",
                                     where, text, kShortestRange));
    } else {
      to.push_back(*prefix);
    }
  }
}

void take(FoundRanges& found, const std::string& origin, const std::vector<std::string>& texts,
          const std::string& where) {
  std::vector<Prefix> ranges;
  take(ranges, found.problems, texts, where);
  if (ranges.empty()) return;
  auto& known = found.by_origin[origin];
  known.insert(known.end(), ranges.begin(), ranges.end());
}

std::string name_of(const api::RangeObject& object) {
  const Kind kind = kind_of(object.kind);
  const bool config = kind == Kind::CiliumConfig || kind == Kind::FlannelConfig;
  return fmt::format("{} {}", config ? "ConfigMap" : to_string(kind),
                     api::NamespacedName{object.meta.namespace_, object.meta.name}.to_string());
}

// Calls f(object) for each of the kind. Returns whether the kind can be read.
template <class F>
bool each(const ClusterSources& sources, Kind kind, const F& f) {
  if (sources.ranges == nullptr || !sources.can_read.contains(kind)) return false;
  for (auto at = sources.ranges->lower_bound({kind, "", ""});
       at != sources.ranges->end() && at->first.kind == kind; ++at) {
    f(at->second);
  }
  return true;
}

void config_ranges(FoundRanges& found, const ClusterSources& sources, Kind kind, const char* origin,
                   std::initializer_list<std::string_view> namespaces) {
  const bool readable = each(sources, kind, [&](const api::RangeObject& config) {
    if (!in_charge(config, namespaces)) return;
    const std::string where = name_of(config);
    if (!config.problem.empty()) found.problems.push_back(where + ": " + config.problem);
    take(found, origin + config.meta.namespace_, config.cidrs, where);
  });
  found.readable = found.readable && readable;
}

} // namespace

ClusterSources sources_of(const World& world) {
  ClusterSources sources;
  if (world.knows(Kind::Node)) sources.nodes = &world.nodes;
  if (world.knows(Kind::EndpointSlice)) sources.api_server = &world.api_server;
  if (world.knows(Kind::Pod)) sources.service_flags = &world.service_flags;
  sources.denied = &world.denied();
  sources.ranges = &world.ranges;
  for (const api::RangeKind kind : api::kRangeKinds) {
    if (world.knows(kind_of(kind))) sources.can_read.insert(kind_of(kind));
  }
  sources.unreadable = &world.unreadable();
  return sources;
}

FoundRanges node_ranges(const ClusterSources& sources) {
  FoundRanges found;
  found.readable = sources.nodes != nullptr;
  if (!found.readable) return found;
  for (const auto& [name, node] : *sources.nodes) {
    if (!node.pod_cidrs.empty()) found.by_origin[name] = node.pod_cidrs;
  }
  return found;
}

FoundRanges calico_ranges(const ClusterSources& sources) {
  FoundRanges found;
  found.readable = each(sources, Kind::IpPool, [&](const api::RangeObject& pool) {
    const bool used = sources.used_pools != nullptr && sources.used_pools->contains(pool.meta.name);
    if (pool.disabled && !used) return;
    take(found, kCalicoOrigin + pool.meta.name, pool.cidrs, name_of(pool) + ": spec.cidr");
  });
  return found;
}

FoundRanges cilium_ranges(const ClusterSources& sources) {
  FoundRanges found;
  const bool readable = each(sources, Kind::CiliumNode, [&](const api::RangeObject& node) {
    take(found, node.meta.name, node.cidrs, name_of(node) + ": spec.ipam");
  });
  found.readable = readable && sources.nodes != nullptr;
  if (sources.nodes != nullptr) {
    for (const auto& [name, node] : *sources.nodes) {
      take(found, name, node.cilium_cidrs, fmt::format("Node {}: annotations of Cilium", name));
    }
  }
  for (auto& [origin, ranges] : found.by_origin) { // many nodes tell it in both ways
    std::sort(ranges.begin(), ranges.end());
    ranges.erase(std::unique(ranges.begin(), ranges.end()), ranges.end());
  }
  if (found.empty()) {
    config_ranges(found, sources, Kind::CiliumConfig, kCiliumOrigin,
                  {api::kSystemNamespace, "cilium"});
  }
  return found;
}

FoundRanges flannel_ranges(const ClusterSources& sources) {
  FoundRanges found;
  config_ranges(found, sources, Kind::FlannelConfig, kFlannelOrigin,
                {"kube-flannel", api::kSystemNamespace});
  return found;
}

ServiceRanges service_ranges(const ClusterSources& sources) {
  ServiceRanges found;
  const auto settle = [&found](ServiceRanges::From from) {
    if (found.ranges.empty()) return false;
    found.from = from;
    std::sort(found.ranges.begin(), found.ranges.end());
    found.ranges.erase(std::unique(found.ranges.begin(), found.ranges.end()), found.ranges.end());
    return true;
  };
  found.readable = each(sources, Kind::ServiceCidr, [&](const api::RangeObject& object) {
    take(found.ranges, found.problems, object.cidrs, name_of(object) + ": spec.cidrs");
  });
  if (settle(ServiceRanges::From::Objects)) return found;
  if (sources.service_flags != nullptr) {
    for (const auto& [name, texts] : *sources.service_flags) {
      take(found.ranges, found.problems, texts,
           fmt::format("Pod {}/{}: --service-cluster-ip-range", api::kSystemNamespace, name));
    }
  }
  if (settle(ServiceRanges::From::Flags)) return found;
  found.ask = true;
  found.readable = found.readable && sources.service_flags != nullptr && sources.told != nullptr &&
                   sources.told->problem.empty();
  if (sources.told != nullptr) {
    found.ranges = sources.told->ranges;
    if (!sources.told->problem.empty()) found.problems.push_back(sources.told->problem);
  }
  settle(ServiceRanges::From::Told);
  return found;
}

} // namespace egw::egress
