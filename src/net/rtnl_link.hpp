// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netlink.h>

#include <optional>
#include <string>
#include <vector>

#include "net/attributes.hpp"
#include "net/expr.hpp"
#include "net/state.hpp"

// Links as rtnetlink messages. Source: linux/if_link.h.
namespace egw::net {

struct LinkInfo {
  HostLink host;
  std::string alias;
  std::string kind;      // "vxlan", "veth", ...; empty for real hardware
  bool ethernet = false; // ARPHRD_ETHER: has MAC addresses, can carry ARP
  bool learning = false; // of a vxlan: makes entries from what it receives
  std::optional<Vxlan>
      vxlan; // of kind vxlan; `sound` says whether its settings are as we make them
  bool operator==(const LinkInfo&) const = default;
};

// RTM_NEWLINK and RTM_DELLINK to a value; nothing for other messages and malformed ones.
[[nodiscard]] std::optional<LinkInfo> decode_link(const nlmsghdr& message);

[[nodiscard]] Buffer encode_link_dump();
[[nodiscard]] Buffer encode_link_get(const std::string& name);
// In this order, each in a message of its own: the alias and the address mode are not taken at
// creation, and the mode must stand before the link comes up.
[[nodiscard]] Buffer encode_tunnel_create(const std::string& name, const Vxlan& v);
[[nodiscard]] Buffer encode_tunnel_settings(const std::string& name, const std::string& alias);
[[nodiscard]] Buffer encode_tunnel_up(const std::string& name);
// What differs of MAC and MTU (0: leave it). A MAC that is set again makes the link forget its
// neighbours.
[[nodiscard]] Buffer encode_tunnel_change(const std::string& name, const HostLink& now,
                                          const Vxlan& v);
[[nodiscard]] Buffer encode_tunnel_no_learning(const std::string& name);
[[nodiscard]] Buffer encode_link_delete(std::uint32_t index);

} // namespace egw::net
