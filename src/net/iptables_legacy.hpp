// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

#include "base/ip.hpp"

// The tables of iptables-legacy, which are no nftables: looked at, never changed. They are replaced
// as a whole or not at all, and two programs that do so undo each other's changes.
// Source: linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h.
namespace egw::net {

// Families whose FORWARD chain there drops by policy, and accepts what comes from the device, and
// what goes there, by no rule of its own (-i DEVICE -j ACCEPT, -o DEVICE -j ACCEPT). A table that
// is not in use is not asked for: that would make it. What can't be read counts as no table.
[[nodiscard]] std::set<Family> legacy_forward_drops(const std::string& device);

} // namespace egw::net
