// SPDX-License-Identifier: Apache-2.0
#include "net/nft_dump.hpp"

#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_arp.h>
#include <sys/socket.h>

#include <array>
#include <system_error>

#include "net/iptables_forward.hpp"
#include "net/nft_expr.hpp"
#include "net/nft_handles.hpp"
#include "net/nft_owner.hpp"
#include "net/nft_set.hpp"

namespace egw::net {
namespace {

std::uint16_t message_type(int message) {
  return static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message);
}

bool is_message(const nlmsghdr& h, int message) {
  return h.nlmsg_type == message_type(message);
}

Buffer request(int message, std::uint8_t family, const auto& fill) {
  Message m(message_type(message), 0);
  auto& h = m.header<nfgenmsg>();
  h.nfgen_family = family;
  h.version = NFNETLINK_V0;
  fill(m);
  return m.bytes();
}

[[noreturn]] void fail(const Error& e, const char* what) {
  const std::string hint = e.code == EOPNOTSUPP || e.code == EINVAL
                               ? " (does this kernel have nf_tables? modprobe nf_tables)"
                               : "";
  throw std::system_error(e.code, std::system_category(), std::string(what) + hint);
}

// ENOENT is an answer: what was asked for is not there.
Replies dump(NetlinkSocket& socket, Buffer bytes, const char* what) {
  auto replies = socket.dump(std::move(bytes));
  if (replies) return std::move(replies).value();
  if (replies.error().code != ENOENT) fail(replies.error(), what);
  return {};
}

std::optional<Hook> hook_of(std::uint8_t family, std::uint32_t number) {
  if (family == NFPROTO_ARP) {
    switch (number) {
      case NF_ARP_IN:
        return Hook::Input;
      case NF_ARP_OUT:
        return Hook::Output;
      case NF_ARP_FORWARD:
        return Hook::Forward;
      default:
        return {};
    }
  }
  switch (number) {
    case NF_INET_PRE_ROUTING:
      return Hook::Prerouting;
    case NF_INET_LOCAL_IN:
      return Hook::Input;
    case NF_INET_FORWARD:
      return Hook::Forward;
    case NF_INET_LOCAL_OUT:
      return Hook::Output;
    case NF_INET_POST_ROUTING:
      return Hook::Postrouting;
    default:
      return {};
  }
}

class TableReader {
 public:
  TableReader(NetlinkSocket& socket, const Ownership& ownership, NftFamily family)
      : socket_(socket), own_(ownership), name_(own_.table), family_(family) {}

  // Nothing where there is no such table.
  [[nodiscard]] std::optional<Table> read(const std::vector<ChainInfo>& chains) {
    const auto head = socket_.get(request(NFT_MSG_GETTABLE, nfproto(family_),
                                          [&](Message& m) { m.string(NFTA_TABLE_NAME, name_); }));
    if (!head && head.error().code == ENOENT) return {};
    if (!head) fail(head.error(), "read an nftables table");
    const auto& h = *reinterpret_cast<const nlmsghdr*>(head->data());
    const auto flags = attributes_of(h, sizeof(nfgenmsg)).be32(NFTA_TABLE_FLAGS).value_or(0);
    table_.dormant = (flags & NFT_TABLE_F_DORMANT) != 0;
    table_.unowned = own_.exclusive && (flags & kBoundTable) == NFT_TABLE_F_PERSIST;
    for (const ChainInfo& c : chains) table_.chains[c.name] = c.chain;
    for (auto& [name, set] : read_sets()) {
      if (!set.timeout && set.key != kForeignKey) read_elements(name, set);
      table_.sets.emplace(name, std::move(set));
    }
    for (const RuleOfChain& r : read_rules(socket_, family_, name_, ""))
      table_.chains[r.chain].rules.push_back(r.rule);
    return std::move(table_);
  }

 private:
  std::map<std::string, Set> read_sets() {
    std::map<std::string, Set> sets;
    const Replies replies = dump(socket_,
                                 request(NFT_MSG_GETSET, nfproto(family_),
                                         [&](Message& m) { m.string(NFTA_SET_TABLE, name_); }),
                                 "read nftables sets");
    for_each_reply(replies, [&](const nlmsghdr& h) {
      auto set = decode_named_set(h);
      if (set && set->table == name_) sets.emplace(set->name, std::move(set->shape));
    });
    return sets;
  }

  void read_elements(const std::string& name, Set& set) {
    const Replies replies = dump(socket_,
                                 request(NFT_MSG_GETSETELEM, nfproto(family_),
                                         [&](Message& m) {
                                           m.string(NFTA_SET_ELEM_LIST_TABLE, name_);
                                           m.string(NFTA_SET_ELEM_LIST_SET, name);
                                         }),
                                 "read the elements of an nftables set");
    std::vector<RawElement> raw;
    for_each_reply(replies, [&](const nlmsghdr& h) {
      if (is_message(h, NFT_MSG_NEWSETELEM) && !decode_elements(h, raw))
        throw std::system_error(EBADMSG, std::system_category(),
                                "read the elements of set " + name);
    });
    set.elements = from_raw(set, std::move(raw));
  }

  NetlinkSocket& socket_;
  const Ownership& own_;
  const std::string& name_;
  NftFamily family_;
  Table table_;
};

} // namespace

std::optional<ChainInfo> decode_chain(const nlmsghdr& message) {
  if (!is_message(message, NFT_MSG_NEWCHAIN)) return {};
  const auto* h = header_of<nfgenmsg>(message);
  if (!h) return {};
  const Attributes a = attributes_of(message, sizeof *h);
  ChainInfo info;
  info.table = a.string(NFTA_CHAIN_TABLE).value_or("");
  info.name = a.string(NFTA_CHAIN_NAME).value_or("");
  if (!a.has(NFTA_CHAIN_HOOK)) return info;

  const Attributes at = a.nested(NFTA_CHAIN_HOOK);
  BaseChain base;
  base.type = a.string(NFTA_CHAIN_TYPE).value_or("");
  base.priority = static_cast<std::int32_t>(at.be32(NFTA_HOOK_PRIORITY).value_or(0));
  const auto hook = hook_of(h->nfgen_family, at.be32(NFTA_HOOK_HOOKNUM).value_or(0xff));
  base.hook = hook.value_or(Hook::Prerouting);
  info.drops = a.be32(NFTA_CHAIN_POLICY).value_or(NF_ACCEPT) == NF_DROP;
  if (info.drops) base.type += " policy drop";
  if (!hook) base.type += " hook unknown";
  info.chain.base = base;
  return info;
}

std::optional<RuleOfChain> decode_rule_of_chain(const nlmsghdr& message) {
  if (!is_message(message, NFT_MSG_NEWRULE) || !header_of<nfgenmsg>(message)) return {};
  const Attributes a = attributes_of(message, sizeof(nfgenmsg));
  RuleOfChain out;
  out.chain = a.string(NFTA_RULE_CHAIN).value_or("");
  out.handle = a.be64(NFTA_RULE_HANDLE).value_or(0);
  const auto rule = owned<NftRule>(nftnl_rule_alloc());
  if (nftnl_rule_nlmsg_parse(&message, rule.get()) < 0) {
    out.rule.emplace_back(expr::Unknown{"unreadable"});
  } else {
    out.rule = decode_rule(*rule);
  }
  return out;
}

std::optional<NamedSet> decode_named_set(const nlmsghdr& message) {
  if (!is_message(message, NFT_MSG_NEWSET) || !header_of<nfgenmsg>(message)) return {};
  const auto set = owned<NftSet>(nftnl_set_alloc());
  if (nftnl_set_nlmsg_parse(&message, set.get()) < 0) return {};
  const char* table = nftnl_set_get_str(set.get(), NFTNL_SET_TABLE);
  const char* name = nftnl_set_get_str(set.get(), NFTNL_SET_NAME);
  auto shape = decode_set(*set);
  if (!table || !name || !shape) return {};
  return NamedSet{table, name, *std::move(shape)};
}

bool decode_elements(const nlmsghdr& message, std::vector<RawElement>& out) {
  if (!is_message(message, NFT_MSG_NEWSETELEM) || !header_of<nfgenmsg>(message)) return false;
  const auto elements = owned<NftSet>(nftnl_set_alloc());
  if (nftnl_set_elems_nlmsg_parse(&message, elements.get()) < 0) return false;
  decode_elements(*elements, out);
  return true;
}

std::uint32_t nft_generation(NetlinkSocket& socket) {
  const auto answer = socket.get(request(NFT_MSG_GETGEN, AF_UNSPEC, [](Message&) {}));
  if (!answer) fail(answer.error(), "read the nftables generation");
  const auto& h = *reinterpret_cast<const nlmsghdr*>(answer->data());
  return attributes_of(h, sizeof(nfgenmsg)).be32(NFTA_GEN_ID).value_or(0);
}

std::vector<RuleOfChain> read_rules(NetlinkSocket& socket, NftFamily family,
                                    const std::string& table, const std::string& chain) {
  const Replies replies = dump(socket,
                               request(NFT_MSG_GETRULE, nfproto(family),
                                       [&](Message& m) {
                                         m.string(NFTA_RULE_TABLE, table);
                                         if (!chain.empty()) m.string(NFTA_RULE_CHAIN, chain);
                                       }),
                               "read nftables rules");
  std::vector<RuleOfChain> rules;
  for_each_reply(replies, [&](const nlmsghdr& h) {
    // Kernels before 4.13 send the rules of all tables.
    if (attributes_of(h, sizeof(nfgenmsg)).string(NFTA_RULE_TABLE) != table) return;
    auto rule = decode_rule_of_chain(h);
    if (rule && (chain.empty() || rule->chain == chain)) rules.push_back(*std::move(rule));
  });
  return rules;
}

NftView read_nftables(NetlinkSocket& socket, const Ownership& ownership) {
  NftView view;
  for (const NftFamily family : {NftFamily::Ip, NftFamily::Ip6, NftFamily::Arp}) {
    std::vector<ChainInfo> chains;
    const Replies replies =
        dump(socket, request(NFT_MSG_GETCHAIN, nfproto(family), [](Message&) {}),
             "read nftables chains");
    bool has_forward = false;
    for_each_reply(replies, [&](const nlmsghdr& h) {
      auto chain = decode_chain(h);
      if (!chain) return;
      if (is_iptables_forward(*chain)) {
        has_forward = true;
        if (chain->drops)
          view.forward_policy_drop.insert(family == NftFamily::Ip ? Family::V4 : Family::V6);
      }
      if (chain->table == ownership.table) chains.push_back(*std::move(chain));
    });
    if (auto table = TableReader(socket, ownership, family).read(chains))
      view.tables.emplace(family, *std::move(table));
    if (!has_forward || family == NftFamily::Arp) continue;
    const Family f = family == NftFamily::Ip ? Family::V4 : Family::V6;
    if (find_forward_accepts(socket, f, ownership.device).complete())
      view.forward_accepts.insert(f);
  }
  return view;
}

} // namespace egw::net
