// SPDX-License-Identifier: Apache-2.0
#include "net/nft_batch.hpp"

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_arp.h>

#include <algorithm>

#include "net/nft_expr.hpp"
#include "net/nft_set.hpp"

namespace egw::net {
namespace {

constexpr std::size_t kRoom =
    std::size_t{128} * 1024; // more than any one message: attributes end at 64 KiB

std::uint32_t hook_number(NftFamily family, Hook hook) {
  if (family == NftFamily::Arp)
    return hook == Hook::Input ? NF_ARP_IN : hook == Hook::Output ? NF_ARP_OUT : NF_ARP_FORWARD;
  switch (hook) {
    case Hook::Prerouting:
      return NF_INET_PRE_ROUTING;
    case Hook::Input:
      return NF_INET_LOCAL_IN;
    case Hook::Forward:
      return NF_INET_FORWARD;
    case Hook::Output:
      return NF_INET_LOCAL_OUT;
    case Hook::Postrouting:
      return NF_INET_POST_ROUTING;
  }
  return NF_INET_NUMHOOKS;
}

} // namespace

NftBatch::NftBatch(NetlinkSocket& socket)
    : socket_(socket), buffer_(kRoom), first_seq_(socket.reserve_seq(1)) {
  nftnl_batch_begin(room(), first_seq_);
  used_ += NLMSG_ALIGN(reinterpret_cast<nlmsghdr*>(buffer_.data())->nlmsg_len);
  step_of_message_.push_back(0);
}

char* NftBatch::room() {
  if (buffer_.size() - used_ < kRoom) buffer_.resize(buffer_.size() * 2 + kRoom);
  return buffer_.data() + used_;
}

void NftBatch::message(int type, NftFamily family, std::uint16_t flags, const Fill& fill) {
  nlmsghdr* h = nftnl_nlmsg_build_hdr(room(), static_cast<std::uint16_t>(type), nfproto(family),
                                      flags, socket_.reserve_seq(1));
  fill(h);
  used_ += NLMSG_ALIGN(h->nlmsg_len);
  step_of_message_.push_back(steps_);
}

void NftBatch::add_table(NftFamily family, const std::string& table, std::uint32_t flags) {
  message(NFT_MSG_NEWTABLE, family, NLM_F_CREATE, [&](nlmsghdr* h) {
    const auto t = owned<NftTable>(nftnl_table_alloc());
    nftnl_table_set_str(t.get(), NFTNL_TABLE_NAME, table.c_str());
    if (flags != 0) nftnl_table_set_u32(t.get(), NFTNL_TABLE_FLAGS, flags);
    nftnl_table_nlmsg_build_payload(h, t.get());
  });
}

void NftBatch::delete_table(NftFamily family, const std::string& table) {
  message(NFT_MSG_DELTABLE, family, 0, [&](nlmsghdr* h) {
    const auto t = owned<NftTable>(nftnl_table_alloc());
    nftnl_table_set_str(t.get(), NFTNL_TABLE_NAME, table.c_str());
    nftnl_table_nlmsg_build_payload(h, t.get());
  });
}

void NftBatch::add_set(NftFamily family, const std::string& table, const std::string& name,
                       const Set& shape) {
  const auto set = encode_set(table, name, shape, ++set_id_);
  message(NFT_MSG_NEWSET, family, NLM_F_CREATE,
          [&](nlmsghdr* h) { nftnl_set_nlmsg_build_payload(h, set.get()); });
}

void NftBatch::delete_set(NftFamily family, const std::string& table, const std::string& name) {
  const auto set = owned<NftSet>(nftnl_set_alloc());
  nftnl_set_set_str(set.get(), NFTNL_SET_TABLE, table.c_str());
  nftnl_set_set_str(set.get(), NFTNL_SET_NAME, name.c_str());
  message(NFT_MSG_DELSET, family, 0,
          [&](nlmsghdr* h) { nftnl_set_nlmsg_build_payload(h, set.get()); });
}

void NftBatch::change_elements(NftFamily family, const std::string& table, const std::string& name,
                               const Set& shape, const Elements& elements, bool add) {
  for (const NftSet& part : encode_elements(table, name, shape, elements)) {
    message(add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, family,
            static_cast<std::uint16_t>(add ? NLM_F_CREATE : 0),
            [&](nlmsghdr* h) { nftnl_set_elems_nlmsg_build_payload(h, part.get()); });
  }
}

void NftBatch::add_chain(NftFamily family, const std::string& table, const std::string& name,
                         const Rare<BaseChain>& base) {
  message(NFT_MSG_NEWCHAIN, family, NLM_F_CREATE, [&](nlmsghdr* h) {
    const auto c = owned<NftChain>(nftnl_chain_alloc());
    nftnl_chain_set_str(c.get(), NFTNL_CHAIN_TABLE, table.c_str());
    nftnl_chain_set_str(c.get(), NFTNL_CHAIN_NAME, name.c_str());
    if (base) {
      nftnl_chain_set_str(c.get(), NFTNL_CHAIN_TYPE, base->type.c_str());
      nftnl_chain_set_u32(c.get(), NFTNL_CHAIN_HOOKNUM, hook_number(family, base->hook));
      nftnl_chain_set_s32(c.get(), NFTNL_CHAIN_PRIO, base->priority);
      nftnl_chain_set_u32(c.get(), NFTNL_CHAIN_POLICY, NF_ACCEPT);
    }
    nftnl_chain_nlmsg_build_payload(h, c.get());
  });
}

void NftBatch::delete_chain(NftFamily family, const std::string& table, const std::string& name) {
  message(NFT_MSG_DELCHAIN, family, 0, [&](nlmsghdr* h) {
    const auto c = owned<NftChain>(nftnl_chain_alloc());
    nftnl_chain_set_str(c.get(), NFTNL_CHAIN_TABLE, table.c_str());
    nftnl_chain_set_str(c.get(), NFTNL_CHAIN_NAME, name.c_str());
    nftnl_chain_nlmsg_build_payload(h, c.get());
  });
}

void NftBatch::flush_chain(NftFamily family, const std::string& table, const std::string& chain) {
  delete_rule(family, table, chain, 0);
}

void NftBatch::put_rule(NftFamily family, const std::string& table, const std::string& chain,
                        const Rule& rule, std::uint16_t flags) {
  message(NFT_MSG_NEWRULE, family, flags, [&](nlmsghdr* h) {
    const auto r = owned<NftRule>(nftnl_rule_alloc());
    nftnl_rule_set_str(r.get(), NFTNL_RULE_TABLE, table.c_str());
    nftnl_rule_set_str(r.get(), NFTNL_RULE_CHAIN, chain.c_str());
    encode_rule(rule, family, *r);
    nftnl_rule_nlmsg_build_payload(h, r.get());
  });
}

void NftBatch::append_rule(NftFamily family, const std::string& table, const std::string& chain,
                           const Rule& rule) {
  put_rule(family, table, chain, rule, NLM_F_CREATE | NLM_F_APPEND);
}

void NftBatch::insert_rule(NftFamily family, const std::string& table, const std::string& chain,
                           const Rule& rule) {
  put_rule(family, table, chain, rule, NLM_F_CREATE);
}

void NftBatch::delete_rule(NftFamily family, const std::string& table, const std::string& chain,
                           std::uint64_t handle) {
  message(NFT_MSG_DELRULE, family, 0, [&](nlmsghdr* h) {
    const auto r = owned<NftRule>(nftnl_rule_alloc());
    nftnl_rule_set_str(r.get(), NFTNL_RULE_TABLE, table.c_str());
    nftnl_rule_set_str(r.get(), NFTNL_RULE_CHAIN, chain.c_str());
    if (handle != 0) nftnl_rule_set_u64(r.get(), NFTNL_RULE_HANDLE, handle);
    nftnl_rule_nlmsg_build_payload(h, r.get());
  });
}

void NftBatch::timed_elements(NftFamily family, const std::string& table, const std::string& set,
                              const std::set<Bytes>& keys, std::uint64_t timeout_ms) {
  // Adding first makes the deletion succeed whether they are there or not; without it, kernels
  // before 6.5 keep the time of an element that is added again.
  timed_elements_once(family, table, set, keys, std::max<std::uint64_t>(timeout_ms, 1));
  timed_elements_once(family, table, set, keys, 0);
  if (timeout_ms != 0) timed_elements_once(family, table, set, keys, timeout_ms);
}

void NftBatch::timed_elements_once(NftFamily family, const std::string& table,
                                   const std::string& set, const std::set<Bytes>& keys,
                                   std::uint64_t timeout_ms) {
  for (const NftSet& part : encode_timed_elements(table, set, keys, timeout_ms)) {
    message(timeout_ms != 0 ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, family,
            static_cast<std::uint16_t>(timeout_ms != 0 ? NLM_F_CREATE : 0),
            [&](nlmsghdr* h) { nftnl_set_elems_nlmsg_build_payload(h, part.get()); });
  }
}

std::vector<Refusal> NftBatch::send() {
  nftnl_batch_end(room(), socket_.reserve_seq(1));
  used_ += NLMSG_ALIGN(reinterpret_cast<nlmsghdr*>(buffer_.data() + used_)->nlmsg_len);
  step_of_message_.push_back(0);
  auto refusals = socket_.send_batch({reinterpret_cast<const std::uint8_t*>(buffer_.data()), used_},
                                     first_seq_);
  for (Refusal& r : refusals)
    r.index = r.index < step_of_message_.size() ? step_of_message_[r.index] : 0;
  return refusals;
}

} // namespace egw::net
