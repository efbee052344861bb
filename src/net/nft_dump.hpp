// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netlink.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "net/netlink.hpp"
#include "net/nft_set.hpp"
#include "net/state.hpp"

// Reading nftables: our tables, and what iptables-nft's FORWARD chain says. Throws
// std::system_error.
namespace egw::net {

// A chain read from the kernel. A policy other than accept shows in `base->type`, so that it
// differs from every chain that egw makes.
struct ChainInfo {
  std::string table, name;
  Chain chain;        // without its rules
  bool drops = false; // by policy
};
struct RuleOfChain {
  std::string chain;
  std::uint64_t handle = 0;
  Rule rule;
};

// Messages to values; nothing for other messages and malformed ones.
[[nodiscard]] std::optional<ChainInfo> decode_chain(const nlmsghdr& message);
[[nodiscard]] std::optional<RuleOfChain> decode_rule_of_chain(const nlmsghdr& message);
struct NamedSet {
  std::string table, name;
  Set shape; // without its elements
};
[[nodiscard]] std::optional<NamedSet> decode_named_set(const nlmsghdr& message);
// Adds what the message holds; false for other messages and malformed ones.
[[nodiscard]] bool decode_elements(const nlmsghdr& message, std::vector<RawElement>& out);

struct NftView {
  std::map<NftFamily, Table> tables;
  std::set<Family> forward_policy_drop;
  std::set<Family> forward_accepts;
};

[[nodiscard]] std::uint32_t nft_generation(NetlinkSocket& socket);
[[nodiscard]] NftView read_nftables(NetlinkSocket& socket, const Ownership& ownership);
// The rules of one chain, in order; none where there is no such chain.
[[nodiscard]] std::vector<RuleOfChain> read_rules(NetlinkSocket& socket, NftFamily family,
                                                  const std::string& table,
                                                  const std::string& chain);

} // namespace egw::net
