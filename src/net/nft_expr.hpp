// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "net/expr.hpp"
#include "net/nft_handles.hpp"
#include "net/state.hpp"

// Rules as libnftnl objects: encode and decode are each other's inverse for all that egw writes.
namespace egw::net {

// NFPROTO_IPV4, NFPROTO_IPV6 or NFPROTO_ARP: linux/netfilter.h.
[[nodiscard]] std::uint8_t nfproto(NftFamily family);

// Adds the rule's expressions to `out`. An Unknown expression throws std::invalid_argument: it was
// read from a kernel and cannot be written.
void encode_rule(const Rule& rule, NftFamily family, nftnl_rule& out);
[[nodiscard]] Rule decode_rule(const nftnl_rule& rule);

// NF_* and NFT_* verdict codes: linux/netfilter/nf_tables.h.
[[nodiscard]] std::uint32_t verdict_code(VerdictKind kind);
// False for codes that egw does not use (queue, continue).
[[nodiscard]] bool decode_verdict(std::uint32_t code, const char* chain, Verdict& out);

} // namespace egw::net
