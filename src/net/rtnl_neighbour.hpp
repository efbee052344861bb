// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netlink.h>

#include <optional>

#include "net/attributes.hpp"
#include "net/expr.hpp"
#include "net/state.hpp"

// Neighbours and forwarding entries of the tunnel as rtnetlink messages. Source: linux/neighbour.h.
namespace egw::net {

struct NeighbourInfo {
  std::uint32_t index = 0; // of the link
  bool fdb = false;        // `address` is the peer's underlay address that the MAC is sent to
  std::optional<Address> address;
  Mac mac;
  bool permanent = false;
  bool operator==(const NeighbourInfo&) const = default;
};

// RTM_NEWNEIGH and RTM_DELNEIGH to a value; nothing for other messages and malformed ones.
[[nodiscard]] std::optional<NeighbourInfo> decode_neighbour(const nlmsghdr& message);

[[nodiscard]] Buffer encode_neighbour_dump(Family family, std::uint32_t index);
[[nodiscard]] Buffer encode_neighbour_put(std::uint32_t index, const Address& address,
                                          const Mac& mac);
[[nodiscard]] Buffer encode_neighbour_delete(std::uint32_t index, const Address& address);
[[nodiscard]] Buffer encode_fdb_dump(std::uint32_t index);
[[nodiscard]] Buffer encode_fdb_put(std::uint32_t index, const Mac& mac, const Address& peer);
[[nodiscard]] Buffer encode_fdb_delete(std::uint32_t index, const Mac& mac, const Address& peer);

} // namespace egw::net
