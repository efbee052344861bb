// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netfilter/nf_tables.h>

#include <cstdint>
#include <mutex>

#include "net/netlink.hpp"

namespace egw::net {

inline constexpr std::uint32_t kBoundTable = NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST;

// The socket by which our nftables tables are changed, shared by all who do. Any thread.
//
// Exclusive tables are bound to it where the kernel can do that (6.9): nobody else can change or
// delete them, and a flush of the whole ruleset passes them by. When the socket closes they stay,
// for the next one to take. Source: NFT_TABLE_F_OWNER and NFT_TABLE_F_PERSIST in
// linux/netfilter/nf_tables.h. The former alone came with 5.12, but lets the tables go with it.
class NftOwner {
 public:
  explicit NftOwner(bool exclusive); // throws std::system_error

  // NFT_TABLE_F_* of a table that is made or taken; 0 where tables can't be bound, or are not to
  // be.
  [[nodiscard]] std::uint32_t table_flags() const { return flags_; }

  template <class F>
  auto use(const F& f) { // f(NetlinkSocket&)
    const std::scoped_lock lock(mutex_);
    return f(socket_);
  }

 private:
  std::mutex mutex_;
  NetlinkSocket socket_;
  std::uint32_t flags_;
};

} // namespace egw::net
