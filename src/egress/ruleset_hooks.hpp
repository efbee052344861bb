// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>

#include "egress/ruleset.hpp"
#include "net/state.hpp"

// The chains that the kernel calls, in the order of a packet's way, and those they lead to. They
// hold the same few rules whatever the policies are; ruleset.cpp fills the sets that they ask, and
// makes the chains of classes and EIPs.
namespace egw::egress {

// Bits of the connection mark: who was sent by the tunnel, and the EIP's number.
[[nodiscard]] std::uint32_t tunnelled_bit(const NodeOptions& options);
[[nodiscard]] std::uint32_t id_mask(const NodeOptions& options);

// To a table of one family that has its sets. `links`: indices of those that EIPs leave by, other
// than the main table's.
void add_hooks(net::Table& table, const RulesetInput& input, const NodeOptions& options,
               Family family, const std::set<std::uint32_t>& links);
[[nodiscard]] net::Table arp_table(const RulesetInput& input);

} // namespace egw::egress
