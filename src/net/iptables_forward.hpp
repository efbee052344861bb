// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "net/netlink.hpp"
#include "net/nft_dump.hpp"
#include "net/state.hpp"

// The two accepts in iptables-nft's filter table. A policy of DROP in its FORWARD chain cannot be
// overridden from another table; and what stands in that table must have exactly the form that
// iptables itself writes, or iptables-save calls the whole table incompatible.
namespace egw::net {

inline constexpr const char* kIptablesTable = "filter";
inline constexpr const char* kIptablesForward = "FORWARD";

[[nodiscard]] inline bool is_iptables_forward(const ChainInfo& chain) {
  return chain.table == kIptablesTable && chain.name == kIptablesForward && chain.chain.base;
}

// What `iptables -A FORWARD -i DEVICE -j ACCEPT` (or -o) writes.
[[nodiscard]] Rule forward_accept(const std::string& device, bool input);

struct ForwardAccepts {
  std::vector<std::uint64_t> input, output; // handles of the rules that equal ours
  [[nodiscard]] bool complete() const { return !input.empty() && !output.empty(); }
};
[[nodiscard]] ForwardAccepts find_forward_accepts(NetlinkSocket& socket, Family family,
                                                  const std::string& device);

// Inserts what is missing at the head of the chain, so that no drop of others comes first.
[[nodiscard]] Result<void> put_forward_accepts(NetlinkSocket& socket, Family family,
                                               const std::string& device);
[[nodiscard]] Result<void> delete_forward_accepts(NetlinkSocket& socket, Family family,
                                                  const std::string& device);

} // namespace egw::net
