// SPDX-License-Identifier: Apache-2.0
#include "egress/cluster_pods.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "egress/cidr_lists.hpp"
#include "egress/cluster.hpp"

namespace egw::egress {

namespace {

using Texts = std::vector<std::string>;
using Words = std::set<std::string_view>;

struct PodSource {
  const char* word; // in status.podCidrMode
  const char* name; // for people
  FoundRanges (*find)(const ClusterSources&);
  const char* origin; // how its origins begin; "": names of nodes
};
constexpr std::array<PodSource, 4> kPodSources = {{
    {"calico", "Calico's IPPools", calico_ranges, kCalicoOrigin},
    {"cilium", "Cilium's ranges", cilium_ranges, kCiliumOrigin},
    {"flannel", "Flannel's net-conf.json", flannel_ranges, kFlannelOrigin},
    {"k8s", "podCIDRs of the Nodes", node_ranges, ""},
}};

// In `auto` all of them: with some networks (Canal) pods do not use the pools that stand there, and
// a range too many keeps traffic that is inside the cluster whole, one too few breaks it.
bool asked_for(api::PodCidrMode mode, const PodSource& source) {
  switch (mode) {
    case api::PodCidrMode::Auto:
      return true;
    case api::PodCidrMode::Calico:
      return std::string_view(source.word) == "calico";
    case api::PodCidrMode::K8s:
      return std::string_view(source.word) == "k8s";
    case api::PodCidrMode::Off:
      break;
  }
  return false;
}

const char* word_of(api::PodCidrMode mode) {
  if (mode == api::PodCidrMode::Auto) return "auto";
  return mode == api::PodCidrMode::K8s ? "k8s" : "calico";
}

bool of_node(const std::string& origin) {
  return origin.find('/') == std::string::npos;
}

Words split(std::string_view mode) {
  Words words;
  for (std::size_t at = 0; at < mode.size();) {
    const std::size_t end = std::min(mode.find('+', at), mode.size());
    words.insert(mode.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

class Finder {
 public:
  Finder(const api::EgressClusterInfo& info, const ClusterSources& sources, bool merge,
         const std::set<std::string>& unreadable)
      : info_(info), sources_(sources), merge_(merge), unreadable_(unreadable) {}

  PodRanges find() {
    const Words was = split(info_.status.pod_cidr_mode);
    Texts words;
    for (const PodSource& source : kPodSources) {
      if (!asked_for(info_.spec.pod_cidr_mode, source)) continue;
      FoundRanges part = source.find(sources_);
      std::ranges::move(part.problems, std::back_inserter(problems_));
      const bool keeps = !part.readable && was.contains(source.word);
      if (!part.readable) unread_.insert(source.origin);
      if (keeps) kept_.emplace_back(source.name);
      if (part.empty()) {
        if (!keeps) absent_.emplace_back(source.name);
      } else {
        used_.emplace_back(source.name);
      }
      if (keeps || !part.empty()) words.emplace_back(source.word);
      take(part);
    }
    keep();
    if (!merged_.empty()) out_.by_origin[kAllNodes] = merged(std::move(merged_), false);
    const bool automatic = info_.spec.pod_cidr_mode == api::PodCidrMode::Auto;
    out_.mode = automatic ? first_of(words, "+") : word_of(info_.spec.pod_cidr_mode);
    judge();
    return std::move(out_);
  }

 private:
  const api::EgressClusterInfo& info_;
  const ClusterSources& sources_;
  bool merge_;
  const std::set<std::string>& unreadable_;
  PodRanges out_;
  std::vector<Range> merged_; // of all nodes
  Words unread_;              // beginnings of origins of what can't be read
  Texts used_, absent_, kept_, problems_;

  void take(const FoundRanges& part) {
    for (const auto& [origin, ranges] : part.by_origin) {
      for (const Prefix& prefix : ranges) {
        if (merge_ && of_node(origin)) {
          merged_.push_back(Range::of(prefix));
        } else {
          add(out_.by_origin[origin], prefix, false);
        }
      }
    }
  }

  // What stood there before and can't be looked up now.
  void keep() {
    for (const auto& [origin, source] : info_.status.pod_cidr) {
      if (!stays(origin)) continue;
      if (merge_ && of_node(origin)) {
        collect(merged_, source);
      } else {
        add(out_.by_origin[origin], source, false);
      }
    }
  }

  [[nodiscard]] bool stays(const std::string& origin) const {
    if (unreadable_.contains(origin)) return true;
    if (!of_node(origin)) {
      return std::ranges::any_of(unread_, [&](std::string_view beginning) {
        return !beginning.empty() && origin.starts_with(beginning);
      });
    }
    if (!unread_.contains("") && !unread_.contains(kCiliumOrigin)) return false;
    return sources_.nodes == nullptr || origin == kAllNodes || sources_.nodes->contains(origin);
  }

  void judge() {
    const std::string mode = word_of(info_.spec.pod_cidr_mode);
    if (!problems_.empty()) {
      out_.reason = "Incomplete";
      out_.message = first_of(problems_, "; ");
      return;
    }
    if (sources_.pod_outside) {
      out_.reason = "PodOutside";
      out_.message = fmt::format(
          "{}, which is in no range that was found: traffic to it counts as leaving the cluster; "
          "add its range to spec.extraCidr",
          *sources_.pod_outside);
      return;
    }
    const bool no_nodes = sources_.nodes != nullptr && sources_.nodes->empty();
    const bool automatic = info_.spec.pod_cidr_mode == api::PodCidrMode::Auto;
    if (out_.by_origin.empty() && automatic && !info_.spec.extra_cidr.empty()) {
      out_.right = true;
      out_.reason = "ExtraCidr";
      out_.message = "auto: nothing found; no pod has an address outside spec.extraCidr";
      return;
    }
    if (out_.by_origin.empty() && !no_nodes) {
      out_.reason = "NothingFound";
      out_.message = fmt::format(
          "{}: nothing found in {}: put the pod network's CIDRs into spec.extraCidr (with "
          "podCidrMode auto or empty), or traffic between pods counts as leaving the cluster",
          mode, first_of(absent_, ", "));
      return;
    }
    out_.right = true;
    out_.reason = "Found";
    out_.message =
        fmt::format("{}: {}", mode, used_.empty() ? "nothing yet" : first_of(used_, ", "));
    if (!absent_.empty()) out_.message += "; not there: " + first_of(absent_, ", ");
    if (!kept_.empty()) {
      out_.message += "; kept as before, since it can't be read: " + first_of(kept_, ", ");
    }
  }
};

} // namespace

PodRanges pod_ranges(const api::EgressClusterInfo& info, const ClusterSources& sources, bool merge,
                     const std::set<std::string>& unreadable) {
  return Finder(info, sources, merge, unreadable).find();
}

std::vector<Prefix> all_pod_ranges(const ClusterSources& sources) {
  std::vector<Prefix> all;
  for (const PodSource& source : kPodSources) {
    for (const auto& [origin, ranges] : source.find(sources).by_origin) {
      all.insert(all.end(), ranges.begin(), ranges.end());
    }
  }
  return all;
}

std::optional<std::string> origin_of(const ObjectKey& key) {
  switch (key.kind) {
    case Kind::Node:
    case Kind::CiliumNode:
      return key.name;
    case Kind::IpPool:
      return kCalicoOrigin + key.name;
    case Kind::CiliumConfig:
      return kCiliumOrigin + key.namespace_;
    case Kind::FlannelConfig:
      return kFlannelOrigin + key.namespace_;
    default:
      return std::nullopt;
  }
}

} // namespace egw::egress
