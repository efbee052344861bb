// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "base/fd.hpp"
#include "base/ip.hpp"

// Who says on the wire that an address is its own. Sources: RFC 826, RFC 5227 section 2.4, RFC 4861
// sections 4.4 and 7.2.5.
namespace egw::net {

struct AddressClaim {
  Address address;
  Mac mac;
  bool operator==(const AddressClaim&) const = default;
};

// Of an ARP packet without its Ethernet header: whoever sends one, request or reply, says that the
// sender's address is its own. Nothing: it is a probe, or none of Ethernet and IPv4.
[[nodiscard]] std::optional<AddressClaim> claim_of_arp(std::span<const std::uint8_t> packet);
// Of an ICMPv6 message: a neighbour advertisement with the target's link-layer address.
[[nodiscard]] std::optional<AddressClaim> claim_of_advertisement(
    std::span<const std::uint8_t> message);

// Hears the claims of others on all links of the network namespace it was made in. Not thread-safe.
class ClaimListener {
 public:
  // Throws std::system_error without CAP_NET_RAW. Where the kernel has no IPv6 it hears IPv4 alone.
  ClaimListener();
  [[nodiscard]] int arp_fd() const { return arp_.get(); }
  [[nodiscard]] int advertisement_fd() const { return advertisements_.get(); } // -1: no IPv6
  // Calls f(ifindex, claim) for all that came; what can't be read is left out.
  void drain(const std::function<void(std::uint32_t, const AddressClaim&)>& f);

 private:
  Fd arp_, advertisements_;
};

} // namespace egw::net
