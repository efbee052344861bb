// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <map>
#include <utility>

#include "net/rtnl_link.hpp"
#include "net/state.hpp"

// Which of the kernel's notifications mean that a full look is due. Own changes are told by their
// port id where the kernel gives it, and where it does not (IPv6 addresses, links, what goes with a
// link) by what they say: news that match what is known already are none.
namespace egw::net {

inline constexpr const char* kLeaseSet = "alive";

// What the last look saw, kept up to date by own changes and by events.
struct Known {
  std::uint32_t tunnel = 0;                // ifindex of our tunnel; 0: there is none
  std::map<std::uint32_t, LinkInfo> links; // by ifindex
  std::map<std::pair<std::uint32_t, Prefix>, bool>
      addresses;                     // by ifindex; has it the form of an EIP
  std::map<Address, Mac> neighbours; // permanent ones of the tunnel
  std::map<Mac, Address> fdb;        // of the tunnel

  void forget_link(std::uint32_t index);
  [[nodiscard]] const LinkInfo* link(const std::string& name) const;
};

// Takes in one rtnetlink message that was not caused by this process; true if a look is due.
[[nodiscard]] bool concerns_us(const nlmsghdr& message, const Ownership& ownership, Known& known);

// The same for nftables: objects of our tables, and iptables-nft's FORWARD chain.
[[nodiscard]] bool nft_concerns_us(const nlmsghdr& message, const Ownership& ownership);

} // namespace egw::net
