// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netlink.h>

#include <optional>

#include "net/attributes.hpp"
#include "net/expr.hpp"
#include "net/state.hpp"

// Addresses as rtnetlink messages. Source: linux/if_addr.h.
namespace egw::net {

struct AddressInfo {
  std::uint32_t index = 0;              // of the link
  Prefix prefix;                        // host bits kept: 10.0.0.5/24
  std::optional<std::uint8_t> protocol; // IFA_PROTO; kernels before 5.18 have none
  bool eip_form = false; // host prefix, preferred_lft 0, valid for ever, IPv4: scope link
  bool operator==(const AddressInfo&) const = default;
};

// RTM_NEWADDR and RTM_DELADDR to a value; nothing for other messages and malformed ones.
[[nodiscard]] std::optional<AddressInfo> decode_address(const nlmsghdr& message);

[[nodiscard]] Buffer encode_address_dump();
// Fails with EEXIST where the link has the address: it may be another's.
[[nodiscard]] Buffer encode_address_add(std::uint32_t index, const Prefix& prefix,
                                        AddressValue value, std::uint8_t protocol);
[[nodiscard]] Buffer encode_address_delete(std::uint32_t index, const Prefix& prefix);

} // namespace egw::net
