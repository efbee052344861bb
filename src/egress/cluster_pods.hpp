// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

#include "api/egress.hpp"
#include "egress/cluster_sources.hpp"

// Which ranges are pods', and from where: a part of what is found out about the cluster. Pure.
namespace egw::egress {

struct PodRanges {
  std::map<std::string, api::CidrSource> by_origin;
  std::string mode; // for status.podCidrMode: the sources that gave something
  bool right = false;
  std::string reason, message; // for the condition
};
// merge: nodes are not named one by one. unreadable: origins of objects that could not be decoded.
// The spec's mode must not be Off.
[[nodiscard]] PodRanges pod_ranges(const api::EgressClusterInfo& info,
                                   const ClusterSources& sources, bool merge,
                                   const std::set<std::string>& unreadable);

// All that any source says, whatever the spec asks for.
[[nodiscard]] std::vector<Prefix> all_pod_ranges(const ClusterSources& sources);

// Under which name the ranges of an object stand in the status. Nothing: they do not.
[[nodiscard]] std::optional<std::string> origin_of(const ObjectKey& key);

} // namespace egw::egress
