// SPDX-License-Identifier: Apache-2.0
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <array>
#include <string>
#include <variant>
#include <vector>

#include "fuzz/netlink.hpp"
#include "net/events.hpp"
#include "net/iptables_forward.hpp"
#include "net/nft_dump.hpp"
#include "net/nft_expr.hpp"
#include "net/nft_set.hpp"

// Dumps and notifications of nftables. What was read is written again by our encoders, and must
// read as the same.
using namespace egw;
using namespace egw::net;
using egw::test::require;

// libnftnl trusts kernels: it ends the process where a value has not the size that every kernel
// gives it, and reads through null where an expression has no name. Here the input ends instead;
// what it held by then leaks, so leaks are not looked for.
struct AbiBreakage {};
struct expr_ops;
// NOLINTBEGIN(bugprone-reserved-identifier,misc-use-internal-linkage): the linker's names for what
// stands in, and for what it stands in for
extern "C" {
[[noreturn]] void __wrap___abi_breakage(const char*, int, const char*) {
  throw AbiBreakage{};
}
expr_ops* __real_nftnl_expr_ops_lookup(const char* name);
expr_ops* __wrap_nftnl_expr_ops_lookup(const char* name) {
  // What stands behind the header of an attribute at null.
  if (reinterpret_cast<std::uintptr_t>(name) <= NLA_HDRLEN) throw AbiBreakage{};
  return __real_nftnl_expr_ops_lookup(name);
}
const char* __asan_default_options() {
  return "detect_leaks=0";
}
}
// NOLINTEND(bugprone-reserved-identifier,misc-use-internal-linkage)

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

bool goes_nowhere(const Verdict& verdict) {
  return verdict.chain.empty() &&
         (verdict.kind == VerdictKind::Jump || verdict.kind == VerdictKind::Goto);
}

// Neither kernels nor we have a value without bytes, or a jump without a chain.
bool can_be_written(const Rule& rule) {
  return std::ranges::none_of(rule, [](const Expr& e) {
    const auto* decide = std::get_if<expr::Decide>(&e);
    const auto* cmp = std::get_if<expr::Cmp>(&e);
    const auto* bitwise = std::get_if<expr::Bitwise>(&e);
    const auto* immediate = std::get_if<expr::Immediate>(&e);
    return std::holds_alternative<expr::Unknown>(e) || (decide && goes_nowhere(decide->verdict)) ||
           (cmp && cmp->data.empty()) || (immediate && immediate->data.empty()) ||
           (bitwise && (bitwise->mask.empty() || bitwise->flip.empty()));
  });
}

void rule(const nlmsghdr& message) {
  const auto r = decode_rule_of_chain(message);
  if (!r) return;
  (void)to_string(r->rule);
  if (!can_be_written(r->rule)) return;
  const auto written = owned<NftRule>(nftnl_rule_alloc());
  encode_rule(r->rule, NftFamily::Ip, *written);
  const Buffer bytes = built(
      NFT_MSG_NEWRULE, [&](nlmsghdr* h) { nftnl_rule_nlmsg_build_payload(h, written.get()); });
  const auto again = test::decoded(bytes, decode_rule_of_chain);
  require(again && again->rule == r->rule, "a rule of our expressions");
}

void set(const nlmsghdr& message) {
  const auto s = decode_named_set(message);
  if (!s || s->shape.key == kForeignKey) return;
  const NftSet written = encode_set(s->table, s->name, s->shape, 1);
  const Buffer bytes =
      built(NFT_MSG_NEWSET, [&](nlmsghdr* h) { nftnl_set_nlmsg_build_payload(h, written.get()); });
  const auto again = test::decoded(bytes, decode_named_set);
  require(again && again->table == s->table && again->name == s->name, "a set is found again");
  require(again->shape == s->shape, "and has its shape");
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

using Elements = std::map<ElementKey, ElementData>;

bool can_be_written(const Elements& elements) {
  return std::ranges::none_of(elements, [](const auto& e) {
    const auto* verdict = std::get_if<Verdict>(&e.second);
    const auto* bytes = std::get_if<Bytes>(&e.second);
    return (verdict && goes_nowhere(*verdict)) || (bytes && bytes->empty());
  });
}

void elements(const std::vector<RawElement>& raw, const Set& shape) {
  const Elements read = from_raw(shape, raw);
  if (!check_elements("s", shape, read) || !can_be_written(read)) return;
  require(from_raw(shape, to_raw(shape, read)) == read, "elements and their raw form");
  std::vector<RawElement> again;
  for (const NftSet& part : encode_elements("t", "s", shape, read)) {
    Buffer bytes = built(NFT_MSG_NEWSETELEM,
                         [&](nlmsghdr* h) { nftnl_set_elems_nlmsg_build_payload(h, part.get()); });
    as_kernels_number(bytes);
    require(decode_elements(test::message_in(bytes), again), "elements that we write");
  }
  require(from_raw(shape, again) == read, "elements come back");
}

void elements(const nlmsghdr& message) {
  std::vector<RawElement> raw;
  if (!decode_elements(message, raw)) return;
  for (const KeyType key : {KeyType::Ipv4, KeyType::Ipv6, KeyType::Mark, KeyType::NfProto,
                            KeyType::Ipv4Ether, KeyType::Ipv6Ether, KeyType::Ifname}) {
    elements(raw, {key, DataType::None, false, false, {}});
    elements(raw, {key, DataType::None, true, false, {}});
  }
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Buffer exact = test::datagram(data, size);
  for_each_message(exact, [](const nlmsghdr& h) {
    const auto chain = decode_chain(h);
    (void)(chain && is_iptables_forward(*chain));
    (void)nft_concerns_us(h, Ownership{});
  });
  // libnftnl trusts kernels to end every text with a zero byte. A socket's buffer goes on behind
  // a message, and so does this one.
  Buffer roomy = exact;
  roomy.resize(size + 64);
  for_each_message({roomy.data(), size}, [](const nlmsghdr& h) {
    try {
      rule(h);
      set(h);
      elements(h);
    } catch (const AbiBreakage&) {
      return;
    }
  });
  return 0;
}
