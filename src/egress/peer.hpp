// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <utility>

#include "api/egress.hpp"
#include "base/ip.hpp"
#include "egress/node_plan.hpp"
#include "net/state.hpp"

namespace egw::egress {

// One metric for all routes, since IPv6 would read 0 as 1024; the blackhole is what is left when
// the route into the tunnel is not there.
inline constexpr std::uint32_t kMetric = 1;
inline constexpr std::uint32_t kLastMetric = 0xffffffff;

// Another node as the tunnel knows it.
struct Peer {
  std::optional<Address> ipv4, ipv6; // in the tunnel: next hops
  std::optional<Mac> mac;

  Peer() = default;
  explicit Peer(const api::EgressNode& node) {
    if (const auto a = Address::parse(node.status.tunnel_ipv4)) ipv4 = *a;
    if (const auto a = Address::parse(node.status.tunnel_ipv6)) ipv6 = *a;
    if (const auto m = Mac::parse(node.status.tunnel_mac)) mac = *m;
  }
  [[nodiscard]] const std::optional<Address>& next_hop(Family f) const {
    return f == Family::V4 ? ipv4 : ipv6;
  }
};

// Replies to pods of other nodes go back through the tunnel: by the pod network they would die
// under strict rp_filter.
[[nodiscard]] inline net::RouteKey return_route(const Address& pod, const NodeOptions& options) {
  return {options.table_base, Prefix::host(pod), kMetric};
}

} // namespace egw::egress
