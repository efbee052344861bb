// SPDX-License-Identifier: Apache-2.0
#include "egress/packet.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

namespace egw::egress::testing {

namespace {

using namespace net::expr;
using net::Bytes;
using net::VerdictKind;

Bytes host32(std::uint32_t v) {
  Bytes b(4);
  std::memcpy(b.data(), &v, 4);
  return b;
}
std::uint32_t number(const Bytes& b) {
  std::uint32_t v = 0;
  std::memcpy(&v, b.data(), std::min<std::size_t>(4, b.size()));
  return v;
}
Bytes name16(const std::string& name) {
  Bytes b(name.begin(), name.end());
  b.resize(16, 0);
  return b;
}

class Walk {
 public:
  Walk(const net::Table& table, Packet& p) : sets_(&table), chains_(&table), p_(p) {}

  net::Verdict chain(const std::string& name) {
    if (++depth_ > 16) throw std::runtime_error("chains too deep at " + name);
    const auto c = chains_->chains.find(name);
    if (c == chains_->chains.end()) {
      // One that came or went with the reload is empty for those who know the other ruleset.
      if (p_.reload && p_.lookups >= p_.reload->after) return {VerdictKind::Return, {}};
      throw std::runtime_error("no chain " + name);
    }
    const net::Table* const rules_of = chains_;
    for (const net::Rule& rule : c->second.rules) {
      rules_ = rules_of;
      auto verdict = this->rule(rule);
      if (!verdict) continue;
      if (verdict->kind == VerdictKind::Jump) {
        verdict = chain(verdict->chain);
        if (verdict->kind == VerdictKind::Return) continue;
      } else if (verdict->kind == VerdictKind::Goto) {
        verdict = chain(verdict->chain);
      }
      --depth_;
      return *verdict;
    }
    --depth_;
    return {VerdictKind::Return, {}};
  }

 private:
  const net::Table *sets_, *chains_;
  const net::Table* rules_ = nullptr; // whose rule is asked
  Packet& p_;
  std::array<std::uint8_t, 80> registers_{};
  int depth_ = 0;

  // 1..4 are 16 bytes each, 8.. are 4 bytes each over the same place.
  std::size_t at(std::uint32_t reg) const { return reg <= 4 ? 16 * (reg - 1) : 4 * (reg - 8); }
  void put(std::uint32_t reg, Bytes value) {
    value.resize((value.size() + 3) / 4 * 4, 0);
    std::ranges::copy(value, registers_.begin() + static_cast<std::ptrdiff_t>(at(reg)));
  }
  Bytes get(std::uint32_t reg, std::size_t n) const {
    const auto from = registers_.begin() + static_cast<std::ptrdiff_t>(at(reg));
    return {from, from + static_cast<std::ptrdiff_t>(n)};
  }

  std::optional<net::Verdict> rule(const net::Rule& r) {
    for (const net::Expr& e : r) {
      std::optional<net::Verdict> verdict;
      if (!std::visit([&](const auto& x) { return eval(x, verdict); }, e)) return std::nullopt;
      if (verdict) return verdict;
    }
    return std::nullopt;
  }

  using Out = std::optional<net::Verdict>;
  bool eval(const Payload& x, Out&) {
    Bytes b;
    const bool v4 = p_.source.family == Family::V4;
    if (x.base == PayloadBase::Link) {
      b = {p_.source_mac.bytes.begin(), p_.source_mac.bytes.end()};
    } else if (x.base == PayloadBase::Network) {
      if (v4 && x.offset == 9 && x.len == 1) {
        put(x.dreg, {p_.protocol});
        return true;
      }
      const Address& a = x.offset == (v4 ? 12U : 8U) ? p_.source : p_.destination;
      if (x.offset != (v4 ? 12U : 8U) && x.offset != (v4 ? 16U : 24U)) {
        throw std::runtime_error("unexpected offset in the network header");
      }
      // All of an address, or its first bytes.
      const std::size_t len = std::min<std::size_t>(a.size(), x.len);
      b = {a.bytes.begin(), a.bytes.begin() + static_cast<std::ptrdiff_t>(len)};
    } else {
      b = Bytes(x.len, 0);
      if (x.offset == 2 && x.len == 2) {
        b = {static_cast<std::uint8_t>(p_.destination_port >> 8),
             static_cast<std::uint8_t>(p_.destination_port & 0xff)};
      } else if (x.offset == 0 && x.len == 1) {
        b = {p_.icmp_type};
      }
    }
    if (b.size() != x.len) throw std::runtime_error("unexpected length of a payload");
    put(x.dreg, b);
    return true;
  }
  bool eval(const MetaLoad& x, Out&) {
    switch (x.key) {
      case MetaKey::Mark:
        put(x.dreg, host32(p_.mark));
        break;
      case MetaKey::Priority:
        put(x.dreg, host32(p_.priority));
        break;
      case MetaKey::IifName:
        put(x.dreg, name16(p_.iif));
        break;
      case MetaKey::OifName:
        put(x.dreg, name16(p_.oif));
        break;
      case MetaKey::IifGroup:
        put(x.dreg, host32(p_.iif == "egw0" && p_.grouped ? net::kDeviceGroup : 0));
        break;
      case MetaKey::OifGroup:
        put(x.dreg, host32(p_.oif == "egw0" && p_.grouped ? net::kDeviceGroup : 0));
        break;
      case MetaKey::NfProto:
        put(x.dreg, {1});
        break;
      case MetaKey::L4proto:
        put(x.dreg, {p_.protocol});
        break;
      default:
        throw std::runtime_error("unexpected meta key");
    }
    return true;
  }
  bool eval(const MetaSet& x, Out&) {
    if (x.key != MetaKey::Mark && x.key != MetaKey::Priority) {
      throw std::runtime_error("unexpected meta key to set");
    }
    (x.key == MetaKey::Mark ? p_.mark : p_.priority) = number(get(x.sreg, 4));
    return true;
  }
  bool eval(const CtLoad& x, Out&) {
    if (p_.invalid && x.key != CtKey::State) return false;
    switch (x.key) {
      case CtKey::Mark:
        put(x.dreg, host32(p_.ct_mark));
        break;
      case CtKey::Direction:
        put(x.dreg, {static_cast<std::uint8_t>(p_.ct_reply)});
        break;
      case CtKey::State:
        put(x.dreg, host32(p_.invalid ? 1 : p_.ct_new ? 8 : 2));
        break;
      default:
        throw std::runtime_error("unexpected ct key");
    }
    return true;
  }
  bool eval(const CtSet& x, Out&) {
    p_.ct_mark = number(get(x.sreg, 4));
    return true;
  }
  bool eval(const Cmp& x, Out&) {
    const bool equal = get(x.sreg, x.data.size()) == x.data;
    if (x.op != CmpOp::Eq && x.op != CmpOp::Neq) throw std::runtime_error("unexpected comparison");
    return equal == (x.op == CmpOp::Eq);
  }
  bool eval(const Bitwise& x, Out&) {
    Bytes b = get(x.sreg, x.mask.size());
    for (std::size_t i = 0; i < b.size(); ++i) {
      b[i] = static_cast<std::uint8_t>((b[i] & x.mask[i]) ^ x.flip[i]);
    }
    put(x.dreg, b);
    return true;
  }
  bool eval(const Lookup& x, Out& verdict) {
    if (p_.reload && p_.lookups == p_.reload->after) {
      if (p_.reload->chains_too) chains_ = p_.reload->table;
      sets_ = p_.reload->table;
    }
    ++p_.lookups;
    const auto set = sets_->sets.find(x.set);
    if (sets_ != rules_ && sets_ == (p_.reload ? p_.reload->table : nullptr)) {
      const auto was = rules_->sets.find(x.set);
      if (set == sets_->sets.end() || set->second.size != was->second.size) return x.invert;
    }
    if (set == sets_->sets.end()) throw std::runtime_error("no set " + x.set);
    if (set->second.timeout) return (x.set == "alive" ? p_.lease : p_.released) != x.invert;
    for (const auto& [key, data] : set->second.elements) {
      const Bytes value = get(x.sreg, key.first.size());
      const bool hit =
          key.last.empty() ? value == key.first : key.first <= value && value <= key.last;
      if (!hit) continue;
      if (x.invert) return false;
      if (x.verdict) verdict = std::get<net::ElementVerdict>(data).verdict();
      if (x.dreg != 0) put(x.dreg, std::get<Bytes>(data));
      return true;
    }
    return x.invert;
  }
  bool eval(const Immediate& x, Out&) {
    put(x.dreg, x.data);
    return true;
  }
  bool eval(const Decide& x, Out& verdict) {
    verdict = x.verdict;
    return true;
  }
  bool eval(const Snat& x, Out& verdict) {
    Address a{p_.source.family, {}};
    std::ranges::copy(get(x.addr_reg, a.size()), a.bytes.begin());
    p_.snat = a;
    verdict = net::Verdict{VerdictKind::Accept, {}};
    return true;
  }
  bool eval(const FibAddrType& x, Out&) {
    put(x.dreg, host32(p_.local ? 2 : 1)); // RTN_LOCAL, RTN_UNICAST
    return true;
  }
  bool eval(const Notrack&, Out&) { return true; }
  bool eval(const RouteMss&, Out&) { return true; }
  bool eval(const Byteorder&, Out&) { return true; }
  bool eval(const TcpMssSet&, Out&) { return true; }
  template <class T>
  bool eval(const T&, Out&) {
    throw std::runtime_error("unexpected expression");
  }
};

} // namespace

Verdict run(const net::Table& table, const std::string& base_chain, Packet& p) {
  const net::Verdict v = Walk(table, p).chain(base_chain);
  return v.kind == VerdictKind::Drop ? Verdict::Drop : Verdict::Accept;
}

} // namespace egw::egress::testing
