// SPDX-License-Identifier: Apache-2.0
#include "cmd/boot_guard.hpp"

#include "cmd/guarded.hpp"
#include "net/diff.hpp"
#include "net/kernel.hpp"

namespace egw::cmd {

std::vector<Error> remove_boot_guard() {
  net::Ownership guard;
  guard.table = "egw_boot_guard";
  net::Batch batch;
  batch.nft = {net::DeleteTable{net::NftFamily::Ip}, net::DeleteTable{net::NftFamily::Ip6}};
  return guarded<std::vector<Error>>([&] { return net::Kernel(guard).apply(batch); });
}

} // namespace egw::cmd
