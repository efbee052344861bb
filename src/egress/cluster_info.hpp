// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "api/core.hpp"
#include "api/egress.hpp"
#include "base/interval_set.hpp"
#include "egress/controller_io.hpp"

// What is inside the cluster, found out. Pure.
namespace egw::egress {

inline constexpr const char* kClusterInfoName = "default";
inline constexpr const char* kDetected = "Detected"; // conditions on EgressClusterInfo
inline constexpr const char* kIdsAvailable = "IdsAvailable";
inline constexpr const char* kWatching = "Watching"; // every kind that the controller reads

// The object as it is made when there is none.
[[nodiscard]] api::EgressClusterInfo default_cluster_info();

// Where it is found. Of a source that can't be read at the moment (nullptr) what the status says
// stays.
struct ClusterSources {
  const std::map<std::string, api::Node>* nodes = nullptr;
  const std::map<api::NamespacedName, api::EndpointSlice>* api_server = nullptr;
  const std::map<Kind, std::string>* denied = nullptr; // kinds that can't be watched, and why
};
// The status that follows from spec and sources. What is switched off leaves it. `id_blocks` is
// taken over.
[[nodiscard]] api::EgressClusterInfoStatus detect(const api::EgressClusterInfo& info,
                                                  const ClusterSources& sources, WallTime now);

// Addresses that are nodes', pods' or services', whatever the spec says: no EIP and no tunnel
// address may be one of them. `extraCidr` is not among them: it may name the whole underlay.
[[nodiscard]] IntervalSet cluster_addresses(const api::EgressClusterInfoStatus& status,
                                            const std::map<std::string, api::Node>& nodes);

} // namespace egw::egress
