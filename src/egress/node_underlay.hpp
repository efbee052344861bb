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

// By the choice of the Node's annotation, else by that of the options: the interface that is as
// asked, those that are up first. Without a choice the interface of the default route, with the
// address there that the API server knows of this node; where it has none of those, the interface
// that has one. IPv4 if there, else IPv6.
[[nodiscard]] Underlay find_underlay(const AgentWorld& world, const NodeAddresses& told,
                                     const net::Host& host, const NodeOptions& options);

// A peer's end of the tunnel. An address that the API server does not know of that node is not
// believed, for an EgressNode's parent is written by the node itself: unless it lies in a subnet
// that --tunnel-cidr or the Node's annotation names. Of nodes that are merged it must be some
// node's address.
[[nodiscard]] std::optional<Address> peer_underlay(const NodeAddresses& told,
                                                   const api::EgressNode& peer, Family family,
                                                   const NodeOptions& options);

// Addresses of all nodes and of this host: no EIP may be one of them.
[[nodiscard]] IntervalSet node_addresses(const AgentWorld& world, const NodeAddresses& told,
                                         const net::Host& host, const NodeOptions& options);

// The largest packet that the tunnel carries, in bytes: by its own MTU and by the parent's, which
// it gets when it is made. 0: neither is known.
[[nodiscard]] std::uint32_t tunnel_mtu(const net::Host& host, const Underlay& underlay,
                                       const std::string& device);

// Where an EIP stands: on the interface whose subnet holds it, else on the tunnel's parent, of
// those that may bear EIPs. No name: on none.
struct EipLink {
  std::string name;
  bool in_subnet = false;
};
[[nodiscard]] EipLink link_for(const Address& eip, const net::Host& host, const std::string& parent,
                               const NodeOptions& options);

} // namespace egw::egress
