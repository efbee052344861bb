// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "base/error.hpp"
#include "net/netlink.hpp"
#include "net/rtnl_link.hpp"

// Generic receive offload (GRO): whether a link merges the segments that it receives. Asked by
// ioctl, which every kernel has (linux/ethtool.h: ETHTOOL_GGRO, ETHTOOL_SGRO) and which any socket
// of the network namespace takes.
namespace egw::net {

// Nothing: there is no such link, or it can't be asked.
[[nodiscard]] std::optional<bool> gro(const NetlinkSocket& socket, const std::string& link);
[[nodiscard]] Result<void> set_gro(const NetlinkSocket& socket, const std::string& link, bool on);

// What GRO the tunnel should have over this parent, and has not. A parent with GRO has merged the
// segments inside the outer packets already: to look for more costs each packet half a microsecond
// and finds none. What comes by a veth was never cut into segments, which is why the kernel leaves
// its GRO off.
[[nodiscard]] std::optional<bool> missing_gro(const NetlinkSocket& socket,
                                              const std::string& tunnel, const LinkInfo& parent);

} // namespace egw::net
