// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api/egress.hpp"
#include "base/interval_set.hpp"
#include "egress/cluster_sources.hpp"

// What is inside the cluster, found out. Pure.
namespace egw::egress {

inline constexpr const char* kClusterInfoName = "default";
// Conditions on EgressClusterInfo
inline constexpr const char* kDetected = "Detected";       // all that the spec asks for
inline constexpr const char* kPodCidr = "PodCIDR";         // says from where; missing: switched off
inline constexpr const char* kServiceCidr = "ServiceCIDR"; // the same
inline constexpr const char* kIdsAvailable = "IdsAvailable";
inline constexpr const char* kWatching = "Watching"; // every kind that the controller reads
// Reason of Detected where the other conditions say what is missing.
inline constexpr const char* kOthersSay = "NotAllFound";

// Up to so many nodes the status names each; above, their addresses and ranges are merged under
// `kAllNodes` (cluster.hpp): every agent reads the object each time a node comes or goes. Once
// merged, it stays so until there are fewer than the second.
inline constexpr std::size_t kMostNodesNamed = 250, kNamedAgain = 200;

// The object as it is made when there is none.
[[nodiscard]] api::EgressClusterInfo default_cluster_info();

// The status that follows from spec and sources. What is switched off leaves it; of a source that
// can't be read at the moment what the status says stays. `id_blocks` is taken over.
[[nodiscard]] api::EgressClusterInfoStatus detect(const api::EgressClusterInfo& info,
                                                  const ClusterSources& sources, WallTime now);

// Addresses that are nodes', pods' or services', whatever the spec says: no EIP and no tunnel
// address may be one of them. `extraCidr` is not among them: it may name the whole underlay.
[[nodiscard]] IntervalSet cluster_addresses(const api::EgressClusterInfoStatus& status,
                                            const ClusterSources& sources);

} // namespace egw::egress
