// SPDX-License-Identifier: Apache-2.0
#include "egress/cluster_info.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "api/validate.hpp"
#include "egress/cidr_lists.hpp"
#include "egress/cluster.hpp"
#include "egress/cluster_pods.hpp"
#include "egress/lookup.hpp"

namespace egw::egress {

namespace {

bool is_host(const Prefix& p) {
  return p.length == p.address.bits();
}

class Detector {
 public:
  Detector(const api::EgressClusterInfo& info, const ClusterSources& sources, WallTime now)
      : info_(info), before_(info.status), sources_(sources), now_(now) {
    status_.id_blocks = before_.id_blocks;
    status_.conditions = before_.conditions;
    const bool was = before_.node_ip.contains(kAllNodes) || before_.pod_cidr.contains(kAllNodes);
    merge_ = sources.nodes == nullptr
                 ? was
                 : sources.nodes->size() > (was ? kNamedAgain : kMostNodesNamed);
    if (sources.unreadable == nullptr) return;
    for (const ObjectKey& key : *sources.unreadable) {
      if (const auto origin = origin_of(key)) unreadable_.insert(*origin);
    }
  }

  api::EgressClusterInfoStatus detect() {
    nodes();
    pods();
    services();
    api_server();
    extra();
    watching();
    detected();
    return std::move(status_);
  }

 private:
  const api::EgressClusterInfo& info_;
  const api::EgressClusterInfoStatus& before_;
  const ClusterSources& sources_;
  WallTime now_;
  api::EgressClusterInfoStatus status_;
  bool merge_ = false;               // nodes are not named one by one
  std::set<std::string> unreadable_; // origins of objects that could not be decoded

  void set(const char* type, const char* status, std::string reason, std::string message) {
    api::set_condition(
        status_.conditions,
        {type, status, std::move(reason), std::move(message), info_.meta.generation, {}}, now_);
  }
  void unset(const char* type) {
    std::erase_if(status_.conditions, [type](const auto& c) { return c.type == type; });
  }

  void nodes() {
    if (!info_.spec.node_ip) return;
    if (sources_.nodes == nullptr) {
      status_.node_ip = before_.node_ip;
      return;
    }
    std::vector<Range> all;
    for (const auto& [name, node] : *sources_.nodes) {
      for (const Address& a : node.internal_ips) {
        if (merge_) {
          all.push_back(Range::of(a));
        } else {
          add(status_.node_ip[name], Prefix::host(a), true);
        }
      }
    }
    for (const std::string& name : unreadable_) {
      const auto* source = lookup(before_.node_ip, name);
      if (source != nullptr && !sources_.nodes->contains(name)) status_.node_ip[name] = *source;
    }
    if (!all.empty()) status_.node_ip[kAllNodes] = merged(std::move(all), true);
  }

  void pods() {
    if (info_.spec.pod_cidr_mode == api::PodCidrMode::Off) return unset(kPodCidr);
    PodRanges found = pod_ranges(info_, sources_, merge_, unreadable_);
    status_.pod_cidr = std::move(found.by_origin);
    status_.pod_cidr_mode = std::move(found.mode);
    set(kPodCidr, found.right ? "True" : "False", std::move(found.reason),
        std::move(found.message));
  }

  void services() {
    if (!info_.spec.cluster_ip) return unset(kServiceCidr);
    const ServiceRanges found = service_ranges(sources_);
    for (const Prefix& p : found.ranges) add(status_.cluster_ip, p, false);
    // Nothing that was known goes because it can't be looked up.
    if (!found.readable) add(status_.cluster_ip, before_.cluster_ip, false);
    std::ranges::sort(status_.cluster_ip.ipv4);
    std::ranges::sort(status_.cluster_ip.ipv6);
    judge_services(found);
  }

  void judge_services(const ServiceRanges& found) {
    const std::string no_others =
        "there is no ServiceCIDR (Kubernetes 1.33 and newer have them), and no Pod of "
        "kube-apiserver or kube-controller-manager in kube-system with --service-cluster-ip-range";
    if (found.ask && sources_.told == nullptr) { // soon
      if (api::find_condition(status_.conditions, kServiceCidr) != nullptr) return;
      return set(kServiceCidr, "Unknown", "Asking", no_others + ": the API server is asked");
    }
    if (found.from == ServiceRanges::From::Nothing) {
      const bool kept = status_.cluster_ip != api::CidrSource{};
      return set(
          kServiceCidr, "False", "NotFound",
          fmt::format("{}{}{}{}; or add the service ranges to spec.extraCidr and set "
                      "spec.autoDetect.clusterIP to false",
                      no_others, found.problems.empty() ? "" : "; ", first_of(found.problems, "; "),
                      kept ? "; what was found before stays" : ""));
    }
    if (!found.problems.empty()) {
      return set(kServiceCidr, "False", "Incomplete", first_of(found.problems, "; "));
    }
    switch (found.from) {
      case ServiceRanges::From::Objects:
        return set(kServiceCidr, "True", "ServiceCIDR", "from the ServiceCIDRs");
      case ServiceRanges::From::Flags:
        return set(kServiceCidr, "True", "Flags",
                   "from --service-cluster-ip-range of the control plane's Pods");
      default:
        return set(kServiceCidr, "True", "Told",
                   "the API server named them when it refused a Service; of several ranges of one "
                   "family it names one");
    }
  }

  void api_server() {
    if (sources_.api_server == nullptr) {
      status_.api_server = before_.api_server;
      return;
    }
    for (const auto& [name, slice] : *sources_.api_server) {
      for (const Address& a : slice.addresses) add(status_.api_server, Prefix::host(a), true);
    }
    std::ranges::sort(status_.api_server.ipv4);
    std::ranges::sort(status_.api_server.ipv6);
  }

  void extra() {
    for (const std::string& text : info_.spec.extra_cidr) {
      // What can't be parsed is complained about by validate().
      if (const auto prefix = Prefix::parse(text)) {
        add(status_.extra_cidr, *prefix, is_host(*prefix));
      }
    }
  }

  // What the API server refuses, for people: rights that are missing, as a rule.
  void watching() {
    std::string all;
    if (sources_.denied != nullptr) {
      for (const auto& [kind, why] : *sources_.denied) {
        all += fmt::format("{}{}: {}", all.empty() ? "" : "; ", to_string(kind), why);
      }
    }
    if (all.empty()) return set(kWatching, "True", "Watching", "");
    set(kWatching, "False", "Refused",
        "what depends on these kinds is left as it is; apply the controller's roles "
        "(manifests/base/rbac.yaml) and CRDs (manifests/crds): " +
            all);
  }

  void detected() {
    std::vector<std::string> wrong;
    for (const Error& e : api::validate(info_)) wrong.push_back(e.message);
    if (sources_.unreadable != nullptr) {
      for (const ObjectKey& key : *sources_.unreadable) {
        const bool concerns =
            key.kind == Kind::EndpointSlice || key.kind == Kind::ServiceCidr || origin_of(key);
        if (!concerns) continue;
        wrong.push_back(fmt::format(
            "{} {} could not be read, what was known of it stays: see the controller's log",
            to_string(key.kind), api::NamespacedName{key.namespace_, key.name}.to_string()));
      }
    }
    if (!wrong.empty()) return set(kDetected, "False", "Invalid", first_of(wrong, "; "));
    std::vector<std::string> others;
    for (const char* type : {kPodCidr, kServiceCidr}) {
      const auto* c = api::find_condition(status_.conditions, type);
      if (c != nullptr && c->status == "False") others.emplace_back(type);
    }
    if (others.empty()) return set(kDetected, "True", "Detected", "");
    set(kDetected, "False", kOthersSay,
        fmt::format("see {} {}", others.size() == 1 ? "condition" : "conditions",
                    first_of(others, " and ")));
  }
};

} // namespace

api::EgressClusterInfo default_cluster_info() {
  api::EgressClusterInfo info;
  info.meta.name = kClusterInfoName;
  return info;
}

api::EgressClusterInfoStatus detect(const api::EgressClusterInfo& info,
                                    const ClusterSources& sources, WallTime now) {
  return Detector(info, sources, now).detect();
}

IntervalSet cluster_addresses(const api::EgressClusterInfoStatus& status,
                              const ClusterSources& sources) {
  std::vector<Range> ranges;
  for (const auto& [name, source] : status.node_ip) collect(ranges, source);
  for (const auto& [origin, source] : status.pod_cidr) collect(ranges, source);
  collect(ranges, status.cluster_ip);
  collect(ranges, status.api_server);
  if (sources.nodes != nullptr) {
    for (const auto& [name, node] : *sources.nodes) {
      for (const Address& a : node.internal_ips) ranges.push_back(Range::of(a));
    }
  }
  for (const Prefix& p : all_pod_ranges(sources)) ranges.push_back(Range::of(p));
  for (const Prefix& p : service_ranges(sources).ranges) ranges.push_back(Range::of(p));
  return IntervalSet(std::move(ranges));
}

} // namespace egw::egress
