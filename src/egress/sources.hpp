// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>

#include "base/ip.hpp"
#include "net/state.hpp"

// The set of those who may come by the tunnel: an address of a remote pod with the MAC of its node,
// as one key. Each part starts at a multiple of four bytes.
namespace egw::egress {

inline constexpr const char* kSourcesSet = "sources";

[[nodiscard]] net::ElementKey source_key(const Address& pod, const Mac& node);
[[nodiscard]] Mac mac_in(const net::ElementKey& key);
// The first key of an address.
[[nodiscard]] std::optional<net::ElementKey> source_of(const net::Elements& sources,
                                                       const net::Bytes& address);
// In the table of a family; empty where there is none.
[[nodiscard]] const net::Elements& sources_of(const std::map<net::NftFamily, net::Table>& tables,
                                              Family family);

} // namespace egw::egress
