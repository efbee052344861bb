// SPDX-License-Identifier: Apache-2.0
#include "egress/statements.hpp"

#include <netinet/in.h>

#include <cstring>

namespace egw::egress::nft {

namespace {

// The whole file is about these values.
// NOLINTNEXTLINE(google-build-using-namespace)
using namespace net::expr;
using net::Bytes;
using net::NftFamily;

// Offsets in the network header: RFC 791 section 3.1, RFC 8200 section 3.
struct HeaderLayout {
  std::uint32_t saddr, daddr, len;
};
HeaderLayout layout(NftFamily family) {
  return family == NftFamily::Ip6 ? HeaderLayout{8, 24, 16} : HeaderLayout{12, 16, 4};
}

Payload network(std::uint32_t offset, std::uint32_t len) {
  return {.base = PayloadBase::Network, .offset = offset, .len = len, .dreg = 1};
}
Payload transport(std::uint32_t offset, std::uint32_t len) {
  return {.base = PayloadBase::Transport, .offset = offset, .len = len, .dreg = 1};
}
Cmp is(Bytes data) {
  return {.op = CmpOp::Eq, .sreg = 1, .data = std::move(data)};
}
Cmp is_not(Bytes data) {
  return {.op = CmpOp::Neq, .sreg = 1, .data = std::move(data)};
}
Lookup in(const std::string& set) {
  return {.set = set, .sreg = 1};
}
Lookup not_in(const std::string& set) {
  return {.set = set, .sreg = 1, .invert = true};
}

Bytes zeros(std::size_t n) {
  return Bytes(n, 0);
}

// The kernel compares the whole interface name, sixteen bytes padded with zeros (IFNAMSIZ).
Bytes ifname(const std::string& name) {
  Bytes bytes(name.begin(), name.end());
  bytes.resize(16, 0);
  return bytes;
}

Piece l4proto(std::uint8_t protocol) {
  return {MetaLoad{.key = MetaKey::L4proto}, is({protocol})};
}

Piece concat(Piece a, Piece b) {
  a.insert(a.end(), std::make_move_iterator(b.begin()), std::make_move_iterator(b.end()));
  return a;
}

// How many bytes of an address a prefix is compared with: those that it covers, or more of them and
// a mask. The kernel has short ways for loads of one, two and four bytes.
std::uint32_t compared(NftFamily family, const Prefix& prefix) {
  const bool whole = prefix.length > 0 && prefix.length % 8 == 0;
  if (whole && (family == NftFamily::Ip6 || prefix.length != 24)) return prefix.length / 8;
  return layout(family).len;
}

// The first bits of the bytes in register 1, which stay there when these go to another one.
Bitwise first_bits(std::uint32_t bits, std::uint32_t bytes, std::uint32_t to) {
  Bytes mask(bytes);
  for (std::uint32_t bit = 0; bit < bits; ++bit) {
    mask[bit / 8] = static_cast<std::uint8_t>(mask[bit / 8] | 0x80U >> bit % 8);
  }
  return {.sreg = 1, .dreg = to, .mask = mask, .flip = Bytes(bytes)};
}
Cmp compare(const Prefix& prefix, std::uint32_t bytes, CmpOp op, std::uint32_t with) {
  const auto* first = prefix.address.bytes.data();
  return {.op = op, .sreg = with, .data = Bytes(first, first + bytes)};
}

Bytes vni_bytes(std::uint32_t vni) {
  return {static_cast<std::uint8_t>(vni >> 16), static_cast<std::uint8_t>(vni >> 8 & 0xff),
          static_cast<std::uint8_t>(vni & 0xff), 0};
}

constexpr std::uint32_t kSecond = 9; // register after the first four bytes

// The next free one after register 1 with an address in it.
std::uint32_t second_register(NftFamily family) {
  return family == NftFamily::Ip6 ? 2 : kSecond;
}

// Of the whole address in register 1, which stays there.
Piece prefix_in(NftFamily family, const PrefixSet& set, bool invert) {
  const std::uint32_t bytes = layout(family).len;
  const bool part = set.length < bytes * 8;
  const std::uint32_t with = part ? second_register(family) : 1;
  Piece piece;
  if (part) piece.emplace_back(first_bits(set.length, bytes, with));
  piece.emplace_back(Lookup{.set = set.name, .sreg = with, .invert = invert});
  return piece;
}

Bitwise masked(std::uint32_t mask, std::uint32_t flip = 0) {
  return {.sreg = 1, .dreg = 1, .mask = host32(mask), .flip = host32(flip)};
}

} // namespace

net::Rule rule(std::initializer_list<Piece> pieces) {
  net::Rule r;
  for (const Piece& piece : pieces) r.insert(r.end(), piece.begin(), piece.end());
  return r;
}

Bytes host32(std::uint32_t value) {
  Bytes bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::uint32_t number_of(const Bytes& host32) {
  std::uint32_t value = 0;
  if (host32.size() == sizeof value) std::memcpy(&value, host32.data(), sizeof value);
  return value;
}

Bytes bytes_of(const Address& a) {
  return {a.bytes.data(), a.bytes.data() + a.size()};
}

Piece iifname(const std::string& name) {
  return {MetaLoad{.key = MetaKey::IifName}, is(ifname(name))};
}
Piece iifgroup(std::uint32_t group) {
  return {MetaLoad{.key = MetaKey::IifGroup}, is(host32(group))};
}
Piece iifgroup_not(std::uint32_t group) {
  return {MetaLoad{.key = MetaKey::IifGroup}, is_not(host32(group))};
}
Piece oifgroup(std::uint32_t group) {
  return {MetaLoad{.key = MetaKey::OifGroup}, is(host32(group))};
}
Piece saddr_in(NftFamily family, const std::string& set) {
  return {network(layout(family).saddr, layout(family).len), in(set)};
}
Piece saddr_found(NftFamily family, const std::string& map) {
  return {network(layout(family).saddr, layout(family).len),
          Lookup{.set = map, .sreg = 1, .dreg = 1}};
}
Piece daddr_found(NftFamily family, const std::string& map) {
  return {network(layout(family).daddr, layout(family).len),
          Lookup{.set = map, .sreg = 1, .dreg = 1}};
}
Piece daddr_in(NftFamily family, const std::string& set) {
  return {network(layout(family).daddr, layout(family).len), in(set)};
}
Piece daddr_not_in(NftFamily family, const std::string& set) {
  return {network(layout(family).daddr, layout(family).len), not_in(set)};
}

Piece daddr_in(NftFamily family, const Prefix& prefix) {
  const std::uint32_t bytes = compared(family, prefix);
  Piece piece{network(layout(family).daddr, bytes)};
  if (prefix.length < bytes * 8) piece.emplace_back(first_bits(prefix.length, bytes, 1));
  piece.emplace_back(compare(prefix, bytes, CmpOp::Eq, 1));
  return piece;
}
Piece daddr_in_none(NftFamily family, const std::vector<Prefix>& prefixes) {
  Piece piece;
  constexpr std::uint32_t kNothing = 1000;
  std::uint32_t loaded = kNothing, masked = kNothing; // bytes in register 1, bits in the second
  for (const Prefix& prefix : prefixes) {
    const std::uint32_t bytes = compared(family, prefix);
    if (bytes != loaded) {
      piece.emplace_back(network(layout(family).daddr, bytes));
      masked = kNothing;
    }
    loaded = bytes;
    const bool part = prefix.length < bytes * 8;
    const std::uint32_t with = part ? second_register(family) : 1;
    if (part && prefix.length != masked) piece.emplace_back(first_bits(prefix.length, bytes, with));
    if (part) masked = prefix.length;
    piece.emplace_back(compare(prefix, bytes, CmpOp::Neq, with));
  }
  return piece;
}

Piece daddr_in(NftFamily family, const PrefixSet& set) {
  return concat({network(layout(family).daddr, layout(family).len)}, prefix_in(family, set, false));
}
Piece daddr_in_none(NftFamily family, const std::vector<PrefixSet>& sets) {
  Piece piece{network(layout(family).daddr, layout(family).len)};
  for (const PrefixSet& set : sets) piece = concat(std::move(piece), prefix_in(family, set, true));
  return piece;
}

Piece saddr_mac_not_in(NftFamily family, const std::string& set) {
  return {
      network(layout(family).saddr, layout(family).len),
      Payload{.base = PayloadBase::Link, .offset = 6, .len = 6, .dreg = second_register(family)},
      not_in(set)};
}

Piece dport(std::uint16_t port) {
  return {transport(2, 2),
          is({static_cast<std::uint8_t>(port >> 8), static_cast<std::uint8_t>(port & 0xff)})};
}
// The port first: almost nothing has this one, so almost every packet is done with two expressions.
// In IPv4 the protocol is read from the packet, which takes a third of the time of "meta l4proto".
Piece udp_dport(NftFamily family, std::uint16_t port) {
  return concat(dport(port), family == NftFamily::Ip ? Piece{network(9, 1), is({IPPROTO_UDP})}
                                                     : l4proto(IPPROTO_UDP));
}
// The VXLAN header behind UDP's: 4 bytes of flags, 3 of the network identifier, one that is
// reserved (RFC 7348 section 5). The kernel has a fast way to read 1, 2 or 4 bytes, not 3.
Piece vxlan_vni(std::uint32_t vni) {
  return {transport(12, 4), Bitwise{.mask = {0xff, 0xff, 0xff, 0}, .flip = zeros(4)},
          is(vni_bytes(vni))};
}
// As this node's own kernel sends it: what is reserved is zero, so that no mask is needed. Where a
// VXLAN header has the network identifier, TCP has its own length, at least 5 in the upper half
// byte (RFC 9293 section 3.1): there is no need to look at the protocol for smaller numbers.
Piece vxlan_sent(NftFamily family, std::uint16_t port, std::uint32_t vni) {
  constexpr std::uint32_t kLikeTcp = 0x500000;
  return concat(vni < kLikeTcp ? dport(port) : udp_dport(family, port),
                {transport(12, 4), is(vni_bytes(vni))});
}
Piece daddr_is_local() {
  constexpr std::uint32_t kRtnLocal = 2; // RTN_LOCAL
  return {FibAddrType{}, is(host32(kRtnLocal))};
}
Piece echo_request(NftFamily family) {
  if (family == NftFamily::Ip6) return icmpv6_type(128);
  return concat(l4proto(IPPROTO_ICMP), {transport(0, 1), is({8})});
}
Piece icmpv6_type(std::uint8_t type) {
  return concat(l4proto(IPPROTO_ICMPV6), {transport(0, 1), is({type})});
}
Piece nd_target_in(const std::string& set) {
  constexpr std::uint8_t kNeighbourSolicitation = 135; // RFC 4861 section 4.3; target at byte 8
  return concat(icmpv6_type(kNeighbourSolicitation), {transport(8, 16), in(set)});
}
Piece arp_request_for(const std::string& set) {
  // RFC 826 with Ethernet and IPv4: operation at byte 6, target address at byte 24.
  return {network(6, 2), is({0, 1}), network(24, 4), in(set)};
}
Piece arp_elsewhere(const std::string& set) {
  return {network(24, 4), MetaLoad{.key = MetaKey::IifName, .dreg = 9}, not_in(set)};
}
Piece lease_over(const std::string& set) {
  return {MetaLoad{.key = MetaKey::NfProto}, not_in(set)};
}

Piece lease_lasts(const std::string& set) {
  return {MetaLoad{.key = MetaKey::NfProto}, in(set)};
}

Piece ct_original() {
  return {CtLoad{.key = CtKey::Direction}, is({0})};
}
Piece ct_reply() {
  return {CtLoad{.key = CtKey::Direction}, is({1})};
}
Piece ct_new() {
  constexpr std::uint32_t kStateNew = 8; // NF_CT_STATE_BIT(IP_CT_NEW)
  return {CtLoad{.key = CtKey::State}, masked(kStateNew), is_not(zeros(4))};
}
Piece ct_invalid() {
  constexpr std::uint32_t kStateInvalid = 1; // NF_CT_STATE_INVALID_BIT
  return {CtLoad{.key = CtKey::State}, masked(kStateInvalid), is_not(zeros(4))};
}
Piece ct_mark_is(std::uint32_t mask, std::uint32_t value) {
  return {CtLoad{.key = CtKey::Mark}, masked(mask), is(host32(value))};
}
Piece ct_mark_found(std::uint32_t mask, const std::string& map) {
  return {CtLoad{.key = CtKey::Mark}, masked(mask), Lookup{.set = map, .sreg = 1, .dreg = 1}};
}
Piece ct_mark_vmap(std::uint32_t mask, const std::string& map) {
  return {CtLoad{.key = CtKey::Mark}, masked(mask), Lookup{.set = map, .sreg = 1, .verdict = true}};
}
Piece mark_is_not(std::uint32_t mask, std::uint32_t value) {
  return {MetaLoad{.key = MetaKey::Mark}, masked(mask), is_not(host32(value))};
}
Piece tcp_syn() {
  constexpr std::uint8_t kSyn = 0x02, kRst = 0x04; // RFC 9293 section 3.1, byte 13
  // The flags first: almost no packet has these.
  return concat({transport(13, 1), Bitwise{.mask = {kSyn | kRst}, .flip = {0}}, is({kSyn})},
                l4proto(IPPROTO_TCP));
}

Piece set_mark(std::uint32_t mask, std::uint32_t value) {
  return {MetaLoad{.key = MetaKey::Mark}, masked(~mask, value), MetaSet{.key = MetaKey::Mark}};
}
Piece take_mark(std::uint32_t mask, std::uint32_t value) {
  return {MetaLoad{.key = MetaKey::Mark},
          Bitwise{.sreg = 1, .dreg = kSecond, .mask = host32(mask), .flip = host32(0)},
          Cmp{.op = CmpOp::Eq, .sreg = kSecond, .data = host32(value)}, masked(~mask),
          MetaSet{.key = MetaKey::Mark}};
}
Piece set_free_ct_mark(std::uint32_t mask, std::uint32_t value) {
  return {CtLoad{.key = CtKey::Mark},
          Bitwise{.sreg = 1, .dreg = kSecond, .mask = host32(mask), .flip = host32(0)},
          Cmp{.op = CmpOp::Eq, .sreg = kSecond, .data = zeros(4)}, masked(~mask, value),
          CtSet{.key = CtKey::Mark}};
}
Piece clamp_mss() {
  // Only ever smaller: the kernel refuses to raise the option's value.
  return {RouteMss{}, Byteorder{}, TcpMssSet{}};
}
Piece clamp_mss(std::uint16_t most) {
  return {Immediate{.data = {static_cast<std::uint8_t>(most >> 8),
                             static_cast<std::uint8_t>(most & 0xff)}},
          TcpMssSet{}};
}
Piece notrack() {
  return {Notrack{}};
}
Piece snat_to_saddr(NftFamily family) {
  return {network(layout(family).saddr, layout(family).len), Snat{}};
}
Piece snat_by_ct_mark(std::uint32_t mask, const std::string& map) {
  return concat(ct_mark_found(mask, map), {Snat{}});
}
Piece priority_by_saddr(NftFamily family, const std::string& map) {
  return {network(layout(family).saddr, layout(family).len),
          Lookup{.set = map, .sreg = 1, .dreg = 1}, MetaSet{.key = MetaKey::Priority}};
}
Piece priority_by_daddr(NftFamily family, const PrefixSet& map) {
  const std::uint32_t bytes = layout(family).len;
  Payload daddr = network(layout(family).daddr, bytes);
  daddr.dreg = kSecond;
  Piece piece{MetaLoad{.key = MetaKey::Priority}, daddr};
  if (map.length < bytes * 8) {
    Bitwise mask = first_bits(map.length, bytes, kSecond);
    mask.sreg = kSecond;
    piece.emplace_back(mask);
  }
  piece.emplace_back(Lookup{.set = map.name, .sreg = 1, .dreg = 1});
  piece.emplace_back(MetaSet{.key = MetaKey::Priority});
  return piece;
}
Piece priority_by_priority(const std::string& map) {
  return {MetaLoad{.key = MetaKey::Priority}, Lookup{.set = map, .sreg = 1, .dreg = 1},
          MetaSet{.key = MetaKey::Priority}};
}
Piece priority_vmap(const std::string& map) {
  return {MetaLoad{.key = MetaKey::Priority}, Lookup{.set = map, .sreg = 1, .verdict = true}};
}
Piece clear_priority() {
  return {Immediate{.data = host32(0)}, MetaSet{.key = MetaKey::Priority}};
}

Piece accept() {
  return {Decide{{net::VerdictKind::Accept, {}}}};
}
Piece drop() {
  return {Decide{{net::VerdictKind::Drop, {}}}};
}
Piece go(const std::string& chain) {
  return {Decide{{net::VerdictKind::Goto, chain}}};
}
Piece back() {
  return {Decide{{net::VerdictKind::Return, {}}}};
}

} // namespace egw::egress::nft
