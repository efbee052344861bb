// SPDX-License-Identifier: Apache-2.0
#include "net/nft_owner.hpp"

#include <linux/netlink.h>

#include <algorithm>

#include "net/nft_batch.hpp"

namespace egw::net {
namespace {

// Asked by a transaction that fails in any case, and so leaves nothing behind.
bool kernel_binds_tables(NetlinkSocket& socket) {
  const char* never = "egw-never";
  NftBatch batch(socket);
  batch.begin_step();
  batch.add_table(NftFamily::Ip, never, kBoundTable);
  batch.begin_step();
  batch.delete_chain(NftFamily::Ip, never, "none");
  const auto refusals = batch.send();
  return std::none_of(refusals.begin(), refusals.end(),
                      [](const Refusal& r) { return r.index <= 1; });
}

} // namespace

NftOwner::NftOwner(bool exclusive)
    : socket_(NETLINK_NETFILTER),
      flags_(exclusive && kernel_binds_tables(socket_) ? kBoundTable : 0) {}

} // namespace egw::net
