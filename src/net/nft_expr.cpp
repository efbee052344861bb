// SPDX-License-Identifier: Apache-2.0
#include "net/nft_expr.hpp"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/tcp.h>

#include <array>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace egw::net {
namespace {

constexpr std::array kMetaKeys{NFT_META_MARK,     NFT_META_IIF,     NFT_META_OIF,
                               NFT_META_IIFNAME,  NFT_META_OIFNAME, NFT_META_NFPROTO,
                               NFT_META_L4PROTO,  NFT_META_PKTTYPE, NFT_META_PRIORITY,
                               NFT_META_IIFGROUP, NFT_META_OIFGROUP};
constexpr std::array kCtKeys{NFT_CT_STATE, NFT_CT_DIRECTION, NFT_CT_STATUS, NFT_CT_MARK};
constexpr std::array kCmpOps{NFT_CMP_EQ,  NFT_CMP_NEQ, NFT_CMP_LT,
                             NFT_CMP_LTE, NFT_CMP_GT,  NFT_CMP_GTE};
constexpr std::array kBases{NFT_PAYLOAD_LL_HEADER, NFT_PAYLOAD_NETWORK_HEADER,
                            NFT_PAYLOAD_TRANSPORT_HEADER};
constexpr std::uint32_t kMssOffset = 2, kMssLength = 2; // in TCP option 2: RFC 9293, 3.7.1

template <class Enum, std::size_t N, class Kernel>
std::uint32_t to_kernel(const std::array<Kernel, N>& table, Enum value) {
  return static_cast<std::uint32_t>(table.at(static_cast<std::size_t>(value)));
}

template <class Enum, std::size_t N, class Kernel>
std::optional<Enum> from_kernel(const std::array<Kernel, N>& table, std::uint32_t value) {
  for (std::size_t i = 0; i < N; ++i)
    if (static_cast<std::uint32_t>(table[i]) == value) return static_cast<Enum>(i);
  return {};
}

// One expression under construction.
class Writer {
 public:
  Writer(const char* name, nftnl_rule& rule)
      : e_(owned<NftExpr>(nftnl_expr_alloc(name))), rule_(rule) {}
  Writer& u32(std::uint16_t key, std::uint32_t v) {
    nftnl_expr_set_u32(e_.get(), key, v);
    return *this;
  }
  Writer& u8(std::uint16_t key, std::uint8_t v) {
    nftnl_expr_set_u8(e_.get(), key, v);
    return *this;
  }
  Writer& data(std::uint16_t key, const Bytes& v) {
    if (nftnl_expr_set(e_.get(), key, v.data(), static_cast<std::uint32_t>(v.size())) < 0)
      throw std::invalid_argument("an nftables value is longer than a register");
    return *this;
  }
  Writer& string(std::uint16_t key, const std::string& v) {
    nftnl_expr_set_str(e_.get(), key, v.c_str());
    return *this;
  }
  void done() { nftnl_rule_add_expr(&rule_, e_.release()); }

 private:
  NftExpr e_;
  nftnl_rule& rule_;
};

// Encodes one expression; `family` is what NAT is told.
struct Encoder {
  nftnl_rule& rule;
  NftFamily family;

  [[nodiscard]] Writer make(const char* name) const { return {name, rule}; }

  void operator()(const expr::Payload& x) const {
    make("payload")
        .u32(NFTNL_EXPR_PAYLOAD_BASE, to_kernel(kBases, x.base))
        .u32(NFTNL_EXPR_PAYLOAD_OFFSET, x.offset)
        .u32(NFTNL_EXPR_PAYLOAD_LEN, x.len)
        .u32(NFTNL_EXPR_PAYLOAD_DREG, x.dreg)
        .done();
  }
  void operator()(const expr::MetaLoad& x) const {
    make("meta")
        .u32(NFTNL_EXPR_META_KEY, to_kernel(kMetaKeys, x.key))
        .u32(NFTNL_EXPR_META_DREG, x.dreg)
        .done();
  }
  void operator()(const expr::MetaSet& x) const {
    make("meta")
        .u32(NFTNL_EXPR_META_KEY, to_kernel(kMetaKeys, x.key))
        .u32(NFTNL_EXPR_META_SREG, x.sreg)
        .done();
  }
  void operator()(const expr::CtLoad& x) const {
    make("ct")
        .u32(NFTNL_EXPR_CT_KEY, to_kernel(kCtKeys, x.key))
        .u32(NFTNL_EXPR_CT_DREG, x.dreg)
        .done();
  }
  void operator()(const expr::CtSet& x) const {
    make("ct")
        .u32(NFTNL_EXPR_CT_KEY, to_kernel(kCtKeys, x.key))
        .u32(NFTNL_EXPR_CT_SREG, x.sreg)
        .done();
  }
  void operator()(const expr::Cmp& x) const {
    make("cmp")
        .u32(NFTNL_EXPR_CMP_SREG, x.sreg)
        .u32(NFTNL_EXPR_CMP_OP, to_kernel(kCmpOps, x.op))
        .data(NFTNL_EXPR_CMP_DATA, x.data)
        .done();
  }
  void operator()(const expr::Bitwise& x) const {
    make("bitwise")
        .u32(NFTNL_EXPR_BITWISE_SREG, x.sreg)
        .u32(NFTNL_EXPR_BITWISE_DREG, x.dreg)
        .u32(NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL)
        .u32(NFTNL_EXPR_BITWISE_LEN, static_cast<std::uint32_t>(x.mask.size()))
        .data(NFTNL_EXPR_BITWISE_MASK, x.mask)
        .data(NFTNL_EXPR_BITWISE_XOR, x.flip)
        .done();
  }
  void operator()(const expr::Lookup& x) const {
    Writer w = make("lookup");
    w.u32(NFTNL_EXPR_LOOKUP_SREG, x.sreg).string(NFTNL_EXPR_LOOKUP_SET, x.set);
    if (x.verdict) {
      w.u32(NFTNL_EXPR_LOOKUP_DREG, NFT_REG_VERDICT);
    } else if (x.dreg != 0) {
      w.u32(NFTNL_EXPR_LOOKUP_DREG, x.dreg);
    }
    if (x.invert) w.u32(NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
    w.done();
  }
  void operator()(const expr::Immediate& x) const {
    make("immediate").u32(NFTNL_EXPR_IMM_DREG, x.dreg).data(NFTNL_EXPR_IMM_DATA, x.data).done();
  }
  void operator()(const expr::Decide& x) const {
    Writer w = make("immediate");
    w.u32(NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    w.u32(NFTNL_EXPR_IMM_VERDICT, verdict_code(x.verdict.kind));
    if (!x.verdict.chain.empty()) w.string(NFTNL_EXPR_IMM_CHAIN, x.verdict.chain);
    w.done();
  }
  void operator()(const expr::Snat& x) const {
    make("nat")
        .u32(NFTNL_EXPR_NAT_TYPE, NFT_NAT_SNAT)
        .u32(NFTNL_EXPR_NAT_FAMILY, nfproto(family))
        .u32(NFTNL_EXPR_NAT_REG_ADDR_MIN, x.addr_reg)
        .done();
  }
  void operator()(const expr::Notrack&) const { make("notrack").done(); }
  void operator()(const expr::FibAddrType& x) const {
    make("fib")
        .u32(NFTNL_EXPR_FIB_DREG, x.dreg)
        .u32(NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE)
        .u32(NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR)
        .done();
  }
  void operator()(const expr::TcpMssLoad& x) const {
    mss_option().u32(NFTNL_EXPR_EXTHDR_DREG, x.dreg).done();
  }
  void operator()(const expr::TcpMssSet& x) const {
    mss_option().u32(NFTNL_EXPR_EXTHDR_SREG, x.sreg).done();
  }
  void operator()(const expr::RouteMss& x) const {
    make("rt").u32(NFTNL_EXPR_RT_KEY, NFT_RT_TCPMSS).u32(NFTNL_EXPR_RT_DREG, x.dreg).done();
  }
  void operator()(const expr::Byteorder& x) const {
    make("byteorder")
        .u32(NFTNL_EXPR_BYTEORDER_SREG, x.sreg)
        .u32(NFTNL_EXPR_BYTEORDER_DREG, x.dreg)
        .u32(NFTNL_EXPR_BYTEORDER_OP, NFT_BYTEORDER_HTON)
        .u32(NFTNL_EXPR_BYTEORDER_LEN, x.len)
        .u32(NFTNL_EXPR_BYTEORDER_SIZE, x.size)
        .done();
  }
  void operator()(const expr::Counter&) const { make("counter").done(); }
  void operator()(const expr::Unknown& x) const {
    throw std::invalid_argument("the nftables expression '" + x.name + "' cannot be written");
  }

 private:
  [[nodiscard]] Writer mss_option() const {
    Writer w = make("exthdr");
    w.u32(NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT).u8(NFTNL_EXPR_EXTHDR_TYPE, TCPOPT_MAXSEG);
    w.u32(NFTNL_EXPR_EXTHDR_OFFSET, kMssOffset).u32(NFTNL_EXPR_EXTHDR_LEN, kMssLength);
    return w;
  }
};

} // namespace

std::uint8_t nfproto(NftFamily family) {
  switch (family) {
    case NftFamily::Ip:
      return NFPROTO_IPV4;
    case NftFamily::Ip6:
      return NFPROTO_IPV6;
    case NftFamily::Arp:
      return NFPROTO_ARP;
  }
  return NFPROTO_UNSPEC;
}

std::uint32_t verdict_code(VerdictKind kind) {
  switch (kind) {
    case VerdictKind::Drop:
      return NF_DROP;
    case VerdictKind::Accept:
      return NF_ACCEPT;
    case VerdictKind::Jump:
      return static_cast<std::uint32_t>(NFT_JUMP);
    case VerdictKind::Goto:
      return static_cast<std::uint32_t>(NFT_GOTO);
    case VerdictKind::Return:
      return static_cast<std::uint32_t>(NFT_RETURN);
  }
  return NF_DROP;
}

bool decode_verdict(std::uint32_t code, const char* chain, Verdict& out) {
  switch (static_cast<int>(code)) {
    case NF_DROP:
      out = {VerdictKind::Drop, ""};
      return true;
    case NF_ACCEPT:
      out = {VerdictKind::Accept, ""};
      return true;
    case NFT_RETURN:
      out = {VerdictKind::Return, ""};
      return true;
    case NFT_JUMP:
      out = {VerdictKind::Jump, chain ? chain : ""};
      return true;
    case NFT_GOTO:
      out = {VerdictKind::Goto, chain ? chain : ""};
      return true;
    default:
      return false;
  }
}

void encode_rule(const Rule& rule, NftFamily family, nftnl_rule& out) {
  for (const Expr& e : rule) std::visit(Encoder{out, family}, e);
}

namespace {

// Reads one expression; anything that Encoder would not write is Unknown.
class Reader {
 public:
  explicit Reader(const nftnl_expr& e) : e_(e) {}

  [[nodiscard]] Expr read() const {
    const std::string_view name = nftnl_expr_get_str(&e_, NFTNL_EXPR_NAME);
    std::optional<Expr> x;
    if (name == "payload") x = payload();
    if (name == "meta") x = meta();
    if (name == "ct") x = ct();
    if (name == "cmp") x = cmp();
    if (name == "bitwise") x = bitwise();
    if (name == "lookup") x = lookup();
    if (name == "immediate") x = immediate();
    if (name == "nat") x = nat();
    if (name == "notrack") x = expr::Notrack{};
    if (name == "fib") x = fib();
    if (name == "exthdr") x = exthdr();
    if (name == "rt") x = rt();
    if (name == "byteorder") x = byteorder();
    if (name == "counter") x = expr::Counter{};
    return x ? *std::move(x) : expr::Unknown{std::string(name)};
  }

 private:
  using Maybe = std::optional<Expr>;

  [[nodiscard]] bool has(std::uint16_t key) const { return nftnl_expr_is_set(&e_, key); }
  [[nodiscard]] std::uint32_t u32(std::uint16_t key) const {
    return has(key) ? nftnl_expr_get_u32(&e_, key) : 0;
  }
  // Nothing: longer than any that egw uses, in another's rule.
  [[nodiscard]] std::optional<Bytes> data(std::uint16_t key) const {
    std::uint32_t size = 0;
    const auto* p =
        has(key) ? static_cast<const std::uint8_t*>(nftnl_expr_get(&e_, key, &size)) : nullptr;
    if (p && size > Bytes::kCapacity) return {};
    return p ? Bytes(p, p + size) : Bytes();
  }
  [[nodiscard]] std::string string(std::uint16_t key) const {
    const char* s = has(key) ? nftnl_expr_get_str(&e_, key) : nullptr;
    return s ? s : "";
  }

  [[nodiscard]] Maybe payload() const {
    const auto base = from_kernel<expr::PayloadBase>(kBases, u32(NFTNL_EXPR_PAYLOAD_BASE));
    if (!base || has(NFTNL_EXPR_PAYLOAD_SREG)) return {};
    return expr::Payload{*base, u32(NFTNL_EXPR_PAYLOAD_OFFSET), u32(NFTNL_EXPR_PAYLOAD_LEN),
                         u32(NFTNL_EXPR_PAYLOAD_DREG)};
  }
  [[nodiscard]] Maybe meta() const {
    const auto key = from_kernel<expr::MetaKey>(kMetaKeys, u32(NFTNL_EXPR_META_KEY));
    if (!key) return {};
    if (has(NFTNL_EXPR_META_SREG)) return expr::MetaSet{*key, u32(NFTNL_EXPR_META_SREG)};
    return expr::MetaLoad{*key, u32(NFTNL_EXPR_META_DREG)};
  }
  [[nodiscard]] Maybe ct() const {
    const auto key = from_kernel<expr::CtKey>(kCtKeys, u32(NFTNL_EXPR_CT_KEY));
    if (!key) return {};
    if (has(NFTNL_EXPR_CT_SREG)) return expr::CtSet{*key, u32(NFTNL_EXPR_CT_SREG)};
    return expr::CtLoad{*key, u32(NFTNL_EXPR_CT_DREG)};
  }
  [[nodiscard]] Maybe cmp() const {
    const auto op = from_kernel<expr::CmpOp>(kCmpOps, u32(NFTNL_EXPR_CMP_OP));
    const auto value = data(NFTNL_EXPR_CMP_DATA);
    if (!op || !value) return {};
    return expr::Cmp{*op, u32(NFTNL_EXPR_CMP_SREG), *value};
  }
  [[nodiscard]] Maybe bitwise() const {
    const auto mask = data(NFTNL_EXPR_BITWISE_MASK), flip = data(NFTNL_EXPR_BITWISE_XOR);
    if (u32(NFTNL_EXPR_BITWISE_OP) != NFT_BITWISE_BOOL || !mask || !flip) return {};
    return expr::Bitwise{u32(NFTNL_EXPR_BITWISE_SREG), u32(NFTNL_EXPR_BITWISE_DREG), *mask, *flip};
  }
  [[nodiscard]] Maybe lookup() const {
    expr::Lookup x;
    x.set = string(NFTNL_EXPR_LOOKUP_SET);
    x.sreg = u32(NFTNL_EXPR_LOOKUP_SREG);
    x.invert = (u32(NFTNL_EXPR_LOOKUP_FLAGS) & NFT_LOOKUP_F_INV) != 0;
    x.verdict = has(NFTNL_EXPR_LOOKUP_DREG) && u32(NFTNL_EXPR_LOOKUP_DREG) == NFT_REG_VERDICT;
    x.dreg = u32(NFTNL_EXPR_LOOKUP_DREG);
    return x;
  }
  [[nodiscard]] Maybe immediate() const {
    if (u32(NFTNL_EXPR_IMM_DREG) != NFT_REG_VERDICT) {
      const auto value = data(NFTNL_EXPR_IMM_DATA);
      return value ? Maybe(expr::Immediate{u32(NFTNL_EXPR_IMM_DREG), *value}) : Maybe();
    }
    Verdict v;
    const std::string chain = string(NFTNL_EXPR_IMM_CHAIN);
    if (!decode_verdict(u32(NFTNL_EXPR_IMM_VERDICT), chain.c_str(), v)) return {};
    return expr::Decide{v};
  }
  [[nodiscard]] Maybe nat() const {
    if (u32(NFTNL_EXPR_NAT_TYPE) != NFT_NAT_SNAT || has(NFTNL_EXPR_NAT_REG_PROTO_MIN)) return {};
    // The kernel shows the end of the range too, and says by a flag that addresses are mapped.
    const std::uint32_t reg = u32(NFTNL_EXPR_NAT_REG_ADDR_MIN);
    if (has(NFTNL_EXPR_NAT_REG_ADDR_MAX) && u32(NFTNL_EXPR_NAT_REG_ADDR_MAX) != reg) return {};
    if ((u32(NFTNL_EXPR_NAT_FLAGS) & ~static_cast<std::uint32_t>(NF_NAT_RANGE_MAP_IPS)) != 0)
      return {};
    return expr::Snat{reg};
  }
  [[nodiscard]] Maybe fib() const {
    if (u32(NFTNL_EXPR_FIB_RESULT) != NFT_FIB_RESULT_ADDRTYPE ||
        u32(NFTNL_EXPR_FIB_FLAGS) != NFTA_FIB_F_DADDR)
      return {};
    return expr::FibAddrType{u32(NFTNL_EXPR_FIB_DREG)};
  }
  [[nodiscard]] Maybe exthdr() const {
    const auto type =
        has(NFTNL_EXPR_EXTHDR_TYPE) ? nftnl_expr_get_u8(&e_, NFTNL_EXPR_EXTHDR_TYPE) : 0;
    if (u32(NFTNL_EXPR_EXTHDR_OP) != NFT_EXTHDR_OP_TCPOPT || type != TCPOPT_MAXSEG ||
        u32(NFTNL_EXPR_EXTHDR_OFFSET) != kMssOffset || u32(NFTNL_EXPR_EXTHDR_LEN) != kMssLength ||
        u32(NFTNL_EXPR_EXTHDR_FLAGS) != 0)
      return {};
    if (has(NFTNL_EXPR_EXTHDR_SREG)) return expr::TcpMssSet{u32(NFTNL_EXPR_EXTHDR_SREG)};
    return expr::TcpMssLoad{u32(NFTNL_EXPR_EXTHDR_DREG)};
  }
  [[nodiscard]] Maybe rt() const {
    if (u32(NFTNL_EXPR_RT_KEY) != NFT_RT_TCPMSS) return {};
    return expr::RouteMss{u32(NFTNL_EXPR_RT_DREG)};
  }
  [[nodiscard]] Maybe byteorder() const {
    if (u32(NFTNL_EXPR_BYTEORDER_OP) != NFT_BYTEORDER_HTON) return {};
    return expr::Byteorder{u32(NFTNL_EXPR_BYTEORDER_SREG), u32(NFTNL_EXPR_BYTEORDER_DREG),
                           u32(NFTNL_EXPR_BYTEORDER_LEN), u32(NFTNL_EXPR_BYTEORDER_SIZE)};
  }

  const nftnl_expr& e_;
};

} // namespace

Rule decode_rule(const nftnl_rule& rule) {
  Rule out;
  const auto it = owned<NftExprIter>(nftnl_expr_iter_create(&rule));
  while (const nftnl_expr* e = nftnl_expr_iter_next(it.get())) out.push_back(Reader(*e).read());
  return out;
}

} // namespace egw::net
