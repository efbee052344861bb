// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "base/interval_set.hpp"
#include "egress/cluster.hpp"
#include "egress/node_plan.hpp"

// Where a node meets the others: the interface and the address that its tunnel stands on.
namespace egw::egress {

struct Underlay {
  api::TunnelParent parent;     // empty name: none was found
  std::optional<Address> local; // of the tunnel's outer packets
  std::uint32_t link = 0;       // ifindex of the parent
  std::string problem;          // why none was found
};

// The interface of the default route, with the address there that the API server knows of this
// node; where it has none of those, the interface that has one. IPv4 if there, else IPv6.
[[nodiscard]] Underlay find_underlay(const std::string& node, const NodeAddresses& told,
                                     const net::Host& host, const std::string& tunnel_device);

// A peer's end of the tunnel. An address that the API server does not know of that node is not
// believed: an EgressNode's parent is written by the node itself. Of nodes that are merged it must
// be some node's address.
[[nodiscard]] std::optional<Address> peer_underlay(const NodeAddresses& told,
                                                   const api::EgressNode& peer, Family family);

// Addresses of all nodes and of this host: no EIP may be one of them.
[[nodiscard]] IntervalSet node_addresses(const AgentWorld& world, const NodeAddresses& told,
                                         const net::Host& host);

// The interface whose subnet holds the address, else `parent`.
[[nodiscard]] std::string link_for(const Address& eip, const net::Host& host,
                                   const std::string& parent, const std::string& tunnel_device);

} // namespace egw::egress
