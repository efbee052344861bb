// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/core.hpp"
#include "api/ranges.hpp"
#include "egress/controller_io.hpp"
#include "egress/world.hpp"

// Where the controller learns which addresses are inside the cluster. Pure.
namespace egw::egress {

// What is known. A pointer that is missing, and a kind that `can_read` lacks: can't be read at the
// moment, so that nothing follows from its absence.
struct ClusterSources {
  const std::map<std::string, api::Node>* nodes = nullptr;
  const std::map<api::NamespacedName, api::EndpointSlice>* api_server = nullptr;
  const std::map<Kind, std::string>* denied = nullptr; // kinds that can't be watched, and why
  // --service-cluster-ip-range of the control plane's Pods, by their name
  const std::map<std::string, std::vector<std::string>>* service_flags = nullptr;
  const std::map<ObjectKey, api::RangeObject>* ranges = nullptr;
  std::set<Kind> can_read; // of the kinds in `ranges`
  // Disabled IPPools with a pod that has an address there.
  const std::set<std::string>* used_pools = nullptr;
  const ServiceRangesTold* told = nullptr;         // by the API server, when asked
  const std::set<ObjectKey>* unreadable = nullptr; // exist, but could not be decoded
  std::optional<std::string> pod_outside;          // one whose address is in nothing that was found
};
[[nodiscard]] ClusterSources sources_of(const World& world);

// What one source says: ranges by origin, which is the name of a node, or has a slash in it
// ("calico/POOL"), which no node's name has.
struct FoundRanges {
  bool readable = true;
  std::map<std::string, std::vector<Prefix>> by_origin;
  std::vector<std::string> problems; // texts that are no ranges, each with its place
  [[nodiscard]] bool empty() const { return by_origin.empty(); }
};

// The sources of pods' ranges.
inline constexpr const char* kCalicoOrigin = "calico/"; // + pool
inline constexpr const char* kCiliumOrigin = "cilium/"; // + namespace of the ConfigMap
inline constexpr const char* kFlannelOrigin = "flannel/";
[[nodiscard]] FoundRanges node_ranges(const ClusterSources& sources); // podCIDRs of Nodes
// All IPPools, but those that are disabled and hold no pod's address: many use such a pool to name
// a network outside, so that Calico does not translate what goes there.
[[nodiscard]] FoundRanges calico_ranges(const ClusterSources& sources);
// Ranges that nodes hold (CiliumNode, annotations of Nodes). Where none is told, the pool that they
// are taken from: it may be as large as 10.0.0.0/8 and hold much that is no pod's.
[[nodiscard]] FoundRanges cilium_ranges(const ClusterSources& sources);
[[nodiscard]] FoundRanges flannel_ranges(const ClusterSources& sources);

// Where services live, from the best source that says something.
struct ServiceRanges {
  enum class From : std::uint8_t { Nothing, Objects, Flags, Told };
  From from = From::Nothing;
  bool readable = true; // all that is better than `from`, and `from`
  bool ask = false;     // neither objects nor flags say anything
  std::vector<Prefix> ranges;
  std::vector<std::string> problems;
};
[[nodiscard]] ServiceRanges service_ranges(const ClusterSources& sources);

// A range so short that it is none of a cluster's: as one of the cluster it would switch policies
// off for half the world.
inline constexpr int kShortestRange = 8;

} // namespace egw::egress
