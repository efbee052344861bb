// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "net/diff.hpp"
#include "net/netlink.hpp"
#include "net/nft_handles.hpp"
#include "net/nft_owner.hpp"

namespace egw::net {

// One nftables transaction: all of it happens or nothing. Messages belong to the step that was
// begun last, and a refusal's index is that of its step (0 where none was begun).
class NftBatch {
 public:
  explicit NftBatch(NetlinkSocket& socket);

  void begin_step() { ++steps_; }

  void add_table(NftFamily family, const std::string& table,
                 std::uint32_t flags); // NFT_TABLE_F_*
  void delete_table(NftFamily family, const std::string& table);
  void add_set(NftFamily family, const std::string& table, const std::string& name,
               const Set& shape);
  void delete_set(NftFamily family, const std::string& table, const std::string& name);
  // Deletes elements too, when `add` is false.
  void change_elements(NftFamily family, const std::string& table, const std::string& name,
                       const Set& shape, const Elements& elements, bool add);
  void add_chain(NftFamily family, const std::string& table, const std::string& name,
                 const Rare<BaseChain>& base);
  void delete_chain(NftFamily family, const std::string& table, const std::string& name);
  void flush_chain(NftFamily family, const std::string& table, const std::string& chain);
  void append_rule(NftFamily family, const std::string& table, const std::string& chain,
                   const Rule& rule);
  void insert_rule(NftFamily family, const std::string& table, const std::string& chain,
                   const Rule& rule);
  void delete_rule(NftFamily family, const std::string& table, const std::string& chain,
                   std::uint64_t handle);
  // Elements of a set with timeouts, from now on for that long; timeout 0 deletes them. Whether
  // they are there or not makes no difference.
  void timed_elements(NftFamily family, const std::string& table, const std::string& set,
                      const std::set<Bytes>& keys, std::uint64_t timeout_ms);

  [[nodiscard]] std::vector<Refusal> send();
  [[nodiscard]] std::size_t bytes() const { return used_; }

 private:
  using Fill = std::function<void(nlmsghdr*)>;
  void timed_elements_once(NftFamily family, const std::string& table, const std::string& set,
                           const std::set<Bytes>& keys, std::uint64_t timeout_ms);
  void message(int type, NftFamily family, std::uint16_t flags, const Fill& fill);
  void put_rule(NftFamily family, const std::string& table, const std::string& chain,
                const Rule& rule, std::uint16_t flags);
  [[nodiscard]] char* room();

  NetlinkSocket& socket_;
  std::vector<char> buffer_;
  std::size_t used_ = 0;
  std::uint32_t first_seq_;
  std::uint32_t set_id_ = 0;
  std::size_t steps_ = 0;
  std::vector<std::size_t> step_of_message_;
};

// Carries the steps of a diff out in one transaction. An object that a step wants to delete and
// that is gone already is no error. Errors name their step; if there is any, nothing was changed.
[[nodiscard]] std::vector<Error> apply_nft(NftOwner& owner, const std::string& table,
                                           const std::vector<NftOp>& ops);

} // namespace egw::net
