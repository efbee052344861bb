// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "net/events.hpp"
#include "net/netlink.hpp"
#include "net/state.hpp"

// Reading links, addresses, routes, rules and neighbours. Throws std::system_error.
namespace egw::net {

// The set in our tables that holds this node's EIPs: what tells our addresses on kernels
// before 5.18, which keep no IFA_PROTO.
inline constexpr const char* kEipSet = "eipaddrs";

// Fills in everything but nftables, of which `into.state.tables` must be there already.
[[nodiscard]] Known read_rtnl(NetlinkSocket& socket, const Ownership& ownership, Observation& into);

// Whether an address of a link is ours.
[[nodiscard]] bool is_our_address(const Address& address, std::optional<std::uint8_t> protocol,
                                  bool eip_form, const Ownership& ownership,
                                  const std::map<NftFamily, Table>& tables);

} // namespace egw::net
