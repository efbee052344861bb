// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "net/expr.hpp"
#include "net/state.hpp"

// Pieces of rules in the words of nft(8), each a few expressions; `rule` strings them together.
// Marks are in host order, as the kernel keeps them in registers; packet bytes in network order.
namespace egw::egress::nft {

using Piece = std::vector<net::Expr>;
[[nodiscard]] net::Rule rule(std::initializer_list<Piece> pieces);

// 4 bytes of a number in host order, as registers hold marks and indices.
[[nodiscard]] net::Bytes host32(std::uint32_t value);
[[nodiscard]] std::uint32_t number_of(const net::Bytes& host32);
[[nodiscard]] net::Bytes bytes_of(const Address& a); // as in a packet

// matches
[[nodiscard]] Piece iifname(const std::string& name);
[[nodiscard]] Piece iifgroup(std::uint32_t group);
[[nodiscard]] Piece iifgroup_not(std::uint32_t group);
[[nodiscard]] Piece oifgroup(std::uint32_t group);
[[nodiscard]] Piece saddr_in(net::NftFamily family, const std::string& set); // ip saddr @set
// A map asked as if it were a set.
[[nodiscard]] Piece saddr_found(net::NftFamily family, const std::string& map);
[[nodiscard]] Piece daddr_found(net::NftFamily family, const std::string& map);
[[nodiscard]] Piece daddr_in(net::NftFamily family, const std::string& set);     // ip daddr @set
[[nodiscard]] Piece daddr_not_in(net::NftFamily family, const std::string& set); // ip daddr != @set
[[nodiscard]] Piece daddr_in(net::NftFamily family, const Prefix& prefix);       // ip daddr PREFIX
// ip daddr != PREFIX, for each of them
[[nodiscard]] Piece daddr_in_none(net::NftFamily family, const std::vector<Prefix>& prefixes);
// A set of prefixes that are all of one length.
struct PrefixSet {
  std::uint8_t length = 0; // bits
  std::string name;
};
[[nodiscard]] Piece daddr_in(net::NftFamily family, const PrefixSet& set); // ip daddr & MASK @set
// ip daddr & MASK != @set, for each of them
[[nodiscard]] Piece daddr_in_none(net::NftFamily family, const std::vector<PrefixSet>& sets);
[[nodiscard]] Piece saddr_mac_not_in(net::NftFamily family,
                                     const std::string& set); // ip saddr . ether saddr != @set
[[nodiscard]] Piece dport(std::uint16_t port);                // of any protocol
[[nodiscard]] Piece udp_dport(net::NftFamily family, std::uint16_t port);
[[nodiscard]] Piece vxlan_vni(std::uint32_t vni); // 1..2^24-1; of a UDP packet
// What the tunnel itself sends: its port, and the network identifier.
[[nodiscard]] Piece vxlan_sent(net::NftFamily family, std::uint16_t port, std::uint32_t vni);
[[nodiscard]] Piece daddr_is_local(); // fib daddr type local
[[nodiscard]] Piece echo_request(net::NftFamily family);
[[nodiscard]] Piece icmpv6_type(std::uint8_t type);
[[nodiscard]] Piece nd_target_in(const std::string& set); // target of a neighbour solicitation
// The pair of target and interface is not in the set.
[[nodiscard]] Piece arp_elsewhere(const std::string& set);
[[nodiscard]] Piece arp_request_for(
    const std::string& set);                             // arp operation request arp daddr ip @set
[[nodiscard]] Piece lease_over(const std::string& set);  // meta nfproto != @set
[[nodiscard]] Piece lease_lasts(const std::string& set); // meta nfproto @set
[[nodiscard]] Piece ct_original();
[[nodiscard]] Piece ct_reply();
[[nodiscard]] Piece ct_new();
[[nodiscard]] Piece ct_invalid();
[[nodiscard]] Piece ct_mark_is(std::uint32_t mask, std::uint32_t value);
[[nodiscard]] Piece ct_mark_vmap(std::uint32_t mask, const std::string& map);
[[nodiscard]] Piece ct_mark_found(std::uint32_t mask,
                                  const std::string& map); // a map asked as if it were a set
[[nodiscard]] Piece mark_is_not(std::uint32_t mask, std::uint32_t value);
[[nodiscard]] Piece tcp_syn(); // tcp flags & (syn|rst) == syn, meta l4proto tcp

// statements
[[nodiscard]] Piece set_mark(std::uint32_t mask, std::uint32_t value); // the bits of mask alone
// mark & mask == value, mark set mark & ~mask
[[nodiscard]] Piece take_mark(std::uint32_t mask, std::uint32_t value);
// ct mark & mask == 0, ct mark set: the bits of mask alone
[[nodiscard]] Piece set_free_ct_mark(std::uint32_t mask, std::uint32_t value);
// tcp option maxseg size set rt mtu, or a number of bytes
[[nodiscard]] Piece clamp_mss();
[[nodiscard]] Piece clamp_mss(std::uint16_t most);
[[nodiscard]] Piece notrack();
[[nodiscard]] Piece snat_to_saddr(net::NftFamily family);
[[nodiscard]] Piece snat_by_ct_mark(std::uint32_t mask,
                                    const std::string& map); // snat to ct mark & mask map @map
// A number goes from one look-up to the next in the packet's priority, although a register would do
// for the kernel: nft (seen with 1.0.6 and 1.1.3) aborts when it lists a look-up of what another
// look-up found, and with it every program that lists the ruleset.
// meta priority set ip saddr map @map
[[nodiscard]] Piece priority_by_saddr(net::NftFamily family, const std::string& map);
// meta priority set meta priority . ip daddr & MASK map @set: of what this priority has for
// prefixes of one length
[[nodiscard]] Piece priority_by_daddr(net::NftFamily family, const PrefixSet& map);
[[nodiscard]] Piece priority_by_priority(const std::string& map);
[[nodiscard]] Piece priority_vmap(const std::string& map); // meta priority vmap @map
[[nodiscard]] Piece clear_priority();

[[nodiscard]] Piece accept();
[[nodiscard]] Piece drop();
[[nodiscard]] Piece go(const std::string& chain);
[[nodiscard]] Piece back(); // return

} // namespace egw::egress::nft
