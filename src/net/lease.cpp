// SPDX-License-Identifier: Apache-2.0
#include <libnftnl/common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <algorithm>
#include <set>
#include <utility>

#include "net/events.hpp"
#include "net/kernel.hpp"
#include "net/nft_batch.hpp"
#include "net/nft_expr.hpp"
#include "net/nft_owner.hpp"

namespace egw::net {
namespace {

constexpr std::array kFamilies{NftFamily::Ip, NftFamily::Ip6, NftFamily::Arp};

Buffer encode_lease_get(NftFamily family, const std::string& table) {
  Message m(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM, 0);
  auto& h = m.header<nfgenmsg>();
  h.nfgen_family = nfproto(family);
  h.version = NFNETLINK_V0;
  m.string(NFTA_SET_ELEM_LIST_TABLE, table);
  m.string(NFTA_SET_ELEM_LIST_SET, kLeaseSet);
  m.nest(NFTA_SET_ELEM_LIST_ELEMENTS, [&] {
    m.nest(NFTA_LIST_ELEM,
           [&] { m.nest(NFTA_SET_ELEM_KEY, [&] { m.u8(NFTA_DATA_VALUE, nfproto(family)); }); });
  });
  return m.bytes();
}

} // namespace

Lease::Lease(std::string table, std::shared_ptr<NftOwner> owner)
    : table_(std::move(table)), owner_(std::move(owner)) {}

// A refresh or, with 0, a withdrawal, in each of our tables that has the set.
Result<void> Lease::set_time(std::uint64_t ms) {
  std::set<NftFamily> families(kFamilies.begin(), kFamilies.end());
  for (;;) {
    std::vector<NftFamily> step{NftFamily::Ip}; // steps count from 1
    const auto refusals = owner_->use([&](NetlinkSocket& socket) {
      NftBatch batch(socket);
      for (const NftFamily family : families) {
        batch.begin_step();
        step.push_back(family);
        batch.timed_elements(family, table_, kLeaseSet, {Bytes{nfproto(family)}}, ms);
      }
      return batch.send();
    });
    if (refusals.empty()) return {};
    for (const Refusal& r : refusals) {
      if (r.code != ENOENT || r.index == 0)
        return Error{"set the lease: " + describe(r.code, r.text), r.code};
      families.erase(step[r.index]);
    }
    if (families.empty())
      return Error{"set the lease: the tables named " + table_ + " are not there yet", ENOENT};
  }
}

Result<void> Lease::refresh(Duration time_left) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time_left).count();
  return set_time(ms > 0 ? static_cast<std::uint64_t>(ms) : 0);
}

Result<void> Lease::withdraw() {
  auto done = set_time(0);
  if (!done && done.error().code == ENOENT) return {}; // without the tables nothing is open
  return done;
}

Result<Duration> Lease::left() {
  std::optional<std::uint64_t> least;
  for (const NftFamily family : kFamilies) {
    const auto answer = owner_->use(
        [&](NetlinkSocket& socket) { return socket.get(encode_lease_get(family, table_)); });
    if (!answer) {
      if (answer.error().code != ENOENT)
        return Error{"read the lease: " + answer.error().message, answer.error().code};
      continue;
    }
    const auto& h = *reinterpret_cast<const nlmsghdr*>(answer->data());
    const Attributes element = attributes_of(h, sizeof(nfgenmsg))
                                   .nested(NFTA_SET_ELEM_LIST_ELEMENTS)
                                   .nested(NFTA_LIST_ELEM);
    const std::uint64_t ms = element.be64(NFTA_SET_ELEM_EXPIRATION).value_or(0);
    least = std::min(least.value_or(ms), ms);
  }
  return Duration(std::chrono::milliseconds(least.value_or(0)));
}

} // namespace egw::net
