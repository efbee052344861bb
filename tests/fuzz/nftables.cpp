// SPDX-License-Identifier: Apache-2.0
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <array>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "fuzz/netlink.hpp"
#include "net/events.hpp"
#include "net/iptables_forward.hpp"
#include "net/nft_dump.hpp"
#include "net/nft_expr.hpp"
#include "net/nft_set.hpp"

// What egw itself reads of nftables' dumps and notifications, from any bytes; and rules, sets and
// elements made of the same bytes, written and read again. libnftnl, which reads rules, sets and
// elements, trusts kernels: it ends the process where a value has not the size that every kernel
// gives it, and reads beyond others. So it gets what our encoders wrote and nothing else.
using namespace egw;
using namespace egw::net;
using egw::test::require;

namespace {

constexpr std::size_t kRoom = std::size_t{128} * 1024;

Buffer built(int type, const auto& fill) {
  alignas(nlmsghdr) static std::array<char, kRoom> room; // zeroing it each time would take long
  nlmsghdr* h =
      nftnl_nlmsg_build_hdr(room.data(), static_cast<std::uint16_t>(type), NFPROTO_IPV4, 0, 0);
  fill(h);
  const auto* begin = reinterpret_cast<const std::uint8_t*>(h);
  return {begin, begin + h->nlmsg_len};
}

// Values out of the input, from its first byte on; zeros when it is used up.
class Source {
 public:
  explicit Source(std::span<const std::uint8_t> rest) : rest_(rest) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const std::uint8_t b = rest_.front();
    rest_ = rest_.subspan(1);
    return b;
  }
  std::uint32_t below(std::uint32_t n) { return byte() % n; }
  std::uint32_t number() {
    std::uint32_t v = 0;
    for (int i = 0; i < 4; ++i) v = v << 8U | byte();
    return v;
  }
  Bytes bytes(std::size_t size) {
    Bytes out(size);
    for (std::uint8_t& b : out) b = byte();
    return out;
  }
  std::string name() { return std::string(1 + below(15), static_cast<char>('a' + below(26))); }
  Verdict verdict() {
    const auto kind = static_cast<VerdictKind>(below(5));
    const bool goes = kind == VerdictKind::Jump || kind == VerdictKind::Goto;
    return {kind, goes ? name() : ""};
  }

 private:
  std::span<const std::uint8_t> rest_;
};

Expr expression(Source& from) {
  switch (from.below(17)) {
    case 0:
      return expr::Payload{static_cast<expr::PayloadBase>(from.below(3)), from.number(),
                           from.number(), from.number()};
    case 1:
      return expr::MetaLoad{static_cast<expr::MetaKey>(from.below(9)), from.number()};
    case 2:
      return expr::MetaSet{static_cast<expr::MetaKey>(from.below(9)), from.number()};
    case 3:
      return expr::CtLoad{static_cast<expr::CtKey>(from.below(4)), from.number()};
    case 4:
      return expr::CtSet{static_cast<expr::CtKey>(from.below(4)), from.number()};
    case 5:
      return expr::Cmp{static_cast<expr::CmpOp>(from.below(6)), from.number(),
                       from.bytes(1 + from.below(16))};
    case 6: {
      const std::size_t size = 1 + from.below(16);
      return expr::Bitwise{from.number(), from.number(), from.bytes(size), from.bytes(size)};
    }
    case 7: {
      expr::Lookup x{from.name(), from.number(), from.number(), from.below(2) == 1, false};
      x.verdict = from.below(2) == 1;
      if (x.verdict) x.dreg = 0;
      return x;
    }
    case 8:
      return expr::Immediate{1 + from.below(23), from.bytes(1 + from.below(16))};
    case 9:
      return expr::Decide{from.verdict()};
    case 10:
      return expr::Snat{from.number()};
    case 11:
      return expr::Notrack{};
    case 12:
      return expr::FibAddrType{from.number()};
    case 13:
      return expr::TcpMssLoad{from.number()};
    case 14:
      return expr::TcpMssSet{from.number()};
    case 15:
      return expr::Byteorder{from.number(), from.number(), from.number(), from.number()};
    default:
      return expr::RouteMss{from.number()};
  }
}

void rule(Source from) {
  Rule rule;
  while (!from.empty() && rule.size() < 20) rule.push_back(expression(from));
  const auto written = owned<NftRule>(nftnl_rule_alloc());
  encode_rule(rule, NftFamily::Ip, *written);
  const Buffer bytes = built(
      NFT_MSG_NEWRULE, [&](nlmsghdr* h) { nftnl_rule_nlmsg_build_payload(h, written.get()); });
  const auto again = test::decoded(bytes, decode_rule_of_chain);
  require(again && again->rule == rule, "a rule of our expressions");
}

void set(const Set& shape) {
  const NftSet written = encode_set("t", "s", shape, 1);
  const Buffer bytes =
      built(NFT_MSG_NEWSET, [&](nlmsghdr* h) { nftnl_set_nlmsg_build_payload(h, written.get()); });
  const auto again = test::decoded(bytes, decode_named_set);
  require(again && again->table == "t" && again->name == "s", "a set is found again");
  require(again->shape == shape, "and has its shape");
}

// libnftnl numbers the elements of a request; in what a kernel sends all have the number one.
void as_kernels_number(Buffer& bytes) {
  const auto list =
      attributes_of(test::message_in(bytes), sizeof(nfgenmsg)).bytes(NFTA_SET_ELEM_LIST_ELEMENTS);
  auto at = static_cast<std::size_t>(list.data() - bytes.data());
  for (const std::size_t end = at + list.size(); at < end;) {
    auto* element = reinterpret_cast<nlattr*>(bytes.data() + at);
    element->nla_type = NLA_F_NESTED | NFTA_LIST_ELEM;
    at += NLA_ALIGN(element->nla_len);
  }
}

ElementData data(Source& from, DataType type) {
  switch (type) {
    case DataType::None:
      return {};
    case DataType::Verdict:
      return from.verdict();
    case DataType::Ipv6:
      return from.bytes(16);
    default:
      return from.bytes(4);
  }
}

void elements(Source from) {
  const Set shape{static_cast<KeyType>(from.below(10)),
                  static_cast<DataType>(from.below(5)),
                  from.below(2) == 1,
                  false,
                  {}};
  set(shape);
  const std::size_t length = key_length(shape.key);
  Elements made;
  while (!from.empty() && made.size() < 100) {
    const Bytes first = from.bytes(length);
    const Bytes last = shape.interval ? from.bytes(length) : Bytes();
    made.emplace(ElementKey{first, last}, data(from, shape.data));
  }
  // What overlaps or ends before it begins never comes to a kernel.
  if (!check_elements("s", shape, made)) return;
  require(from_raw(shape, to_raw(shape, made)) == made, "elements and their raw form");
  std::vector<RawElement> again;
  for (const NftSet& part : encode_elements("t", "s", shape, made)) {
    Buffer bytes = built(NFT_MSG_NEWSETELEM,
                         [&](nlmsghdr* h) { nftnl_set_elems_nlmsg_build_payload(h, part.get()); });
    as_kernels_number(bytes);
    require(decode_elements(test::message_in(bytes), again), "elements that we write");
  }
  require(from_raw(shape, again) == made, "elements come back");
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Buffer exact = test::datagram(data, size);
  for_each_message(exact, [](const nlmsghdr& h) {
    const auto chain = decode_chain(h);
    (void)(chain && is_iptables_forward(*chain));
    (void)nft_concerns_us(h, Ownership{});
  });
  rule(Source(exact));
  elements(Source(exact));
  return 0;
}
