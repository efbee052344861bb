// SPDX-License-Identifier: Apache-2.0
#include "net/nft_owner.hpp"

#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>

#include <algorithm>

#include "net/nft_batch.hpp"

namespace egw::net {
namespace {

constexpr std::uint32_t kBound = NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST;

// Asked by a transaction that fails in any case, and so leaves nothing behind.
bool kernel_binds_tables(NetlinkSocket& socket) {
  const char* never = "egw-never";
  NftBatch batch(socket);
  batch.begin_step();
  batch.add_table(NftFamily::Ip, never, kBound);
  batch.begin_step();
  batch.delete_chain(NftFamily::Ip, never, "none");
  const auto refusals = batch.send();
  return std::none_of(refusals.begin(), refusals.end(),
                      [](const Refusal& r) { return r.index <= 1; });
}

} // namespace

NftOwner::NftOwner(bool exclusive)
    : socket_(NETLINK_NETFILTER), flags_(exclusive && kernel_binds_tables(socket_) ? kBound : 0) {}

} // namespace egw::net
