// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/core.hpp"
#include "api/egress.hpp"

// The endpoint slices of a policy. Stable: a change rewrites as few slices as it can; the same
// input gives the same slices.
namespace egw::egress {

inline constexpr std::size_t kMaxEndpoints = 100; // of one slice

using Endpoints = std::map<api::NamespacedName, api::Endpoint>; // by pod

[[nodiscard]] api::Endpoint endpoint_of(const api::Pod& pod);

struct SliceChanges {
  std::vector<api::EgressEndpointSlice> create, update, remove;
  [[nodiscard]] bool empty() const { return create.empty() && update.empty() && remove.empty(); }
  [[nodiscard]] std::size_t size() const { return create.size() + update.size() + remove.size(); }
};
// `current`: the slices that belong to the policy, by name.
[[nodiscard]] SliceChanges plan_slices(const api::EgressPolicy& policy,
                                       const std::vector<const api::EgressEndpointSlice*>& current,
                                       const Endpoints& wanted);

} // namespace egw::egress
