// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "api/core.hpp"
#include "api/egress.hpp"
#include "base/interval_set.hpp"

// What is inside the cluster, found out. Pure.
namespace egw::egress {

inline constexpr const char* kClusterInfoName = "default";
inline constexpr const char* kDetected = "Detected"; // conditions on EgressClusterInfo
inline constexpr const char* kIdsAvailable = "IdsAvailable";

// The object as it is made when there is none.
[[nodiscard]] api::EgressClusterInfo default_cluster_info();

// The status that follows from spec, Nodes and the endpoints behind default/kubernetes. What is
// switched off leaves it. `id_blocks` is taken over.
[[nodiscard]] api::EgressClusterInfoStatus detect(
    const api::EgressClusterInfo& info, const std::map<std::string, api::Node>& nodes,
    const std::map<api::NamespacedName, api::EndpointSlice>& api_server, WallTime now);

// Addresses that are nodes', pods' or services', whatever the spec says: no EIP and no tunnel
// address may be one of them. `extraCidr` is not among them: it may name the whole underlay.
[[nodiscard]] IntervalSet cluster_addresses(const api::EgressClusterInfoStatus& status,
                                            const std::map<std::string, api::Node>& nodes);

} // namespace egw::egress
