// SPDX-License-Identifier: Apache-2.0
#include "net/expr.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <string_view>

namespace egw::net {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

template <class Enum, std::size_t N>
std::string_view name(const std::array<std::string_view, N>& names, Enum value) {
  const auto i = static_cast<std::size_t>(value);
  return i < N ? names[i] : "?";
}

constexpr std::array<std::string_view, 3> kBases{"link", "network", "transport"};
constexpr std::array<std::string_view, 11> kMetaKeys{"mark",     "iif",      "oif",     "iifname",
                                                     "oifname",  "nfproto",  "l4proto", "pkttype",
                                                     "priority", "iifgroup", "oifgroup"};
constexpr std::array<std::string_view, 4> kCtKeys{"state", "direction", "status", "mark"};
constexpr std::array<std::string_view, 6> kCmpOps{"eq", "neq", "lt", "lte", "gt", "gte"};

std::string hex(const Bytes& bytes) {
  return fmt::format("0x{:02x}", fmt::join(bytes, ""));
}

std::string text(const Expr& e) {
  return std::visit(
      Overloaded{
          [](const expr::Payload& x) {
            return fmt::format("payload {}b @ {} + {} => {}", x.len, name(kBases, x.base), x.offset,
                               x.dreg);
          },
          [](const expr::MetaLoad& x) {
            return fmt::format("meta {} => {}", name(kMetaKeys, x.key), x.dreg);
          },
          [](const expr::MetaSet& x) {
            return fmt::format("meta set {} = {}", name(kMetaKeys, x.key), x.sreg);
          },
          [](const expr::CtLoad& x) {
            return fmt::format("ct {} => {}", name(kCtKeys, x.key), x.dreg);
          },
          [](const expr::CtSet& x) {
            return fmt::format("ct set {} = {}", name(kCtKeys, x.key), x.sreg);
          },
          [](const expr::Cmp& x) {
            return fmt::format("cmp {} {} {}", name(kCmpOps, x.op), x.sreg, hex(x.data));
          },
          [](const expr::Bitwise& x) {
            return fmt::format("bitwise {} = ({} & {}) ^ {}", x.dreg, x.sreg, hex(x.mask),
                               hex(x.flip));
          },
          [](const expr::Lookup& x) {
            return fmt::format("lookup {} in {}{}{}", x.sreg, x.invert ? "not " : "", x.set,
                               x.verdict ? " => verdict"
                               : x.dreg  ? fmt::format(" => {}", x.dreg)
                                         : "");
          },
          [](const expr::Immediate& x) {
            return fmt::format("immediate {} = {}", x.dreg, hex(x.data));
          },
          [](const expr::Decide& x) { return to_string(x.verdict); },
          [](const expr::Snat& x) { return fmt::format("snat to {}", x.addr_reg); },
          [](const expr::Notrack&) { return std::string("notrack"); },
          [](const expr::FibAddrType& x) { return fmt::format("fib daddr type => {}", x.dreg); },
          [](const expr::TcpMssLoad& x) { return fmt::format("tcp option mss => {}", x.dreg); },
          [](const expr::TcpMssSet& x) { return fmt::format("tcp option mss set {}", x.sreg); },
          [](const expr::RouteMss& x) { return fmt::format("rt mtu => {}", x.dreg); },
          [](const expr::Byteorder& x) {
            return fmt::format("byteorder {} = hton({}, {}, {})", x.dreg, x.sreg, x.len, x.size);
          },
          [](const expr::Counter&) { return std::string("counter"); },
          [](const expr::Unknown& x) { return fmt::format("unknown {}", x.name); },
      },
      e);
}

} // namespace

std::string to_string(const Verdict& verdict) {
  switch (verdict.kind) {
    case VerdictKind::Drop:
      return "drop";
    case VerdictKind::Accept:
      return "accept";
    case VerdictKind::Jump:
      return "jump " + verdict.chain;
    case VerdictKind::Goto:
      return "goto " + verdict.chain;
    case VerdictKind::Return:
      return "return";
  }
  return "?";
}

std::string to_string(const Rule& rule) {
  std::string line;
  for (const Expr& e : rule) {
    if (!line.empty()) line += "; ";
    line += text(e);
  }
  return line;
}

} // namespace egw::net
