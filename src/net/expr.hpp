// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "net/bytes.hpp"

// The nftables expressions that egw uses, as plain values: what a rule is in the kernel, not what
// the nft tool writes. Source: linux/netfilter/nf_tables.h. A rule read back from the kernel
// decodes to values equal to those it was made from; a foreign expression decodes to `Unknown`,
// equal to nothing that we write. Registers are 1..4 (NFT_REG_1.., 16 bytes each) or 8..23
// (NFT_REG32_00.., 4 bytes), in the form that the kernel dumps: 32-bit registers that start a
// 128-bit one are written as 1..4.
namespace egw::net {

enum class VerdictKind : std::int8_t { Drop, Accept, Jump, Goto, Return };
struct Verdict {
  VerdictKind kind = VerdictKind::Drop;
  std::string chain; // Jump and Goto only
  auto operator<=>(const Verdict&) const = default;
};

namespace expr {

enum class PayloadBase : std::uint8_t { Link, Network, Transport };
struct Payload { // load packet bytes
  PayloadBase base = PayloadBase::Network;
  std::uint32_t offset = 0, len = 0; // bytes
  std::uint32_t dreg = 1;
  bool operator==(const Payload&) const = default;
};
// NFT_META_*. IifName and OifName are 16 bytes, zero padded; Pkttype and L4proto are one byte.
enum class MetaKey : std::uint8_t {
  Mark,
  Iif,
  Oif,
  IifName,
  OifName,
  NfProto,
  L4proto,
  Pkttype,
  Priority,
  IifGroup,
  OifGroup
};
struct MetaLoad {
  MetaKey key = MetaKey::Mark;
  std::uint32_t dreg = 1;
  bool operator==(const MetaLoad&) const = default;
};
struct MetaSet {
  MetaKey key = MetaKey::Mark; // Mark and Priority alone can be set
  std::uint32_t sreg = 1;
  bool operator==(const MetaSet&) const = default;
};
enum class CtKey : std::uint8_t { State, Direction, Status, Mark }; // Direction is one byte
struct CtLoad {
  CtKey key = CtKey::Mark;
  std::uint32_t dreg = 1;
  bool operator==(const CtLoad&) const = default;
};
struct CtSet {
  CtKey key = CtKey::Mark;
  std::uint32_t sreg = 1;
  bool operator==(const CtSet&) const = default;
};
enum class CmpOp : std::uint8_t { Eq, Neq, Lt, Lte, Gt, Gte };
struct Cmp {
  CmpOp op = CmpOp::Eq;
  std::uint32_t sreg = 1;
  Bytes data;
  bool operator==(const Cmp&) const = default;
};
struct Bitwise { // dreg = (sreg & mask) ^ flip
  std::uint32_t sreg = 1, dreg = 1;
  Bytes mask, flip;
  bool operator==(const Bitwise&) const = default;
};
struct Lookup { // a set: match, or not; a map: dreg != 0, or a verdict when `verdict`
  std::string set;
  std::uint32_t sreg = 1;
  std::uint32_t dreg = 0;
  bool invert = false, verdict = false;
  bool operator==(const Lookup&) const = default;
};
struct Immediate {
  std::uint32_t dreg = 1;
  Bytes data;
  bool operator==(const Immediate&) const = default;
};
struct Decide { // an immediate verdict
  Verdict verdict;
  bool operator==(const Decide&) const = default;
};
struct Snat { // source address from a register of the table's family; ports kept where free
  std::uint32_t addr_reg = 1;
  bool operator==(const Snat&) const = default;
};
struct Notrack {
  bool operator==(const Notrack&) const = default;
};
struct FibAddrType { // type of the destination address (RTN_*), 4 bytes host order
  std::uint32_t dreg = 1;
  bool operator==(const FibAddrType&) const = default;
};
struct TcpMssLoad { // TCP option "maximum segment size", 2 bytes; no match where it is absent
  std::uint32_t dreg = 1;
  bool operator==(const TcpMssLoad&) const = default;
};
struct TcpMssSet {
  std::uint32_t sreg = 1;
  bool operator==(const TcpMssSet&) const = default;
};
struct RouteMss { // `rt mtu`: the MSS that the route allows, 2 bytes host order (NFT_RT_TCPMSS)
  std::uint32_t dreg = 1;
  bool operator==(const RouteMss&) const = default;
};
struct Byteorder { // host to network
  std::uint32_t sreg = 1, dreg = 1, len = 2, size = 2;
  bool operator==(const Byteorder&) const = default;
};
struct Counter { // its values are not compared
  bool operator==(const Counter&) const = default;
};
struct Unknown {
  std::string name;
  bool operator==(const Unknown&) const { return false; }
};

} // namespace expr

using Expr =
    std::variant<expr::Payload, expr::MetaLoad, expr::MetaSet, expr::CtLoad, expr::CtSet, expr::Cmp,
                 expr::Bitwise, expr::Lookup, expr::Immediate, expr::Decide, expr::Snat,
                 expr::Notrack, expr::FibAddrType, expr::TcpMssLoad, expr::TcpMssSet,
                 expr::RouteMss, expr::Byteorder, expr::Counter, expr::Unknown>;

using Rule = std::vector<Expr>;

// For logs and failing tests: one line, close to what `nft --debug=netlink` prints.
[[nodiscard]] std::string to_string(const Rule& rule);
[[nodiscard]] std::string to_string(const Verdict& verdict);

} // namespace egw::net
