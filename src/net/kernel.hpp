// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "net/diff.hpp"
#include "net/state.hpp"

// The kernel of the network namespace that the calling thread is in. Not thread-safe: one owner.
namespace egw::net {

class NetlinkSocket;
class NftOwner;

// The lease: an element with a timeout in the set `alive` of each of our tables, whose absence
// closes ARP and neighbour answers, de-NAT and SNAT for all EIPs of this node. A guard thread may
// use it while the core thread uses Kernel: they share the one socket that may change our tables,
// and each has it for as long as a transaction takes.
class Lease {
 public:
  Lease(std::string table, std::shared_ptr<NftOwner> owner); // see Kernel::lease

  // Sets the time that is left, longer or shorter than before (add, delete, add in one transaction:
  // kernels before 6.5 keep the old timeout when an element is added again). Fails with ENOENT
  // while the tables are not there yet.
  [[nodiscard]] Result<void> refresh(Duration time_left);
  [[nodiscard]] Result<void> withdraw();
  [[nodiscard]] Result<Duration> left(); // 0 when it has run out

 private:
  [[nodiscard]] Result<void> set_time(std::uint64_t ms);
  std::string table_;
  std::shared_ptr<NftOwner> owner_;
};

class Kernel {
 public:
  explicit Kernel(Ownership ownership); // throws std::system_error: sockets, permissions
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  Kernel(Kernel&&) noexcept;
  Kernel& operator=(Kernel&&) noexcept;

  // A full look: dumps with consistency checks (NLM_F_DUMP_INTR, nftables generation), repeated a
  // bounded number of times while others change things. Throws std::system_error.
  [[nodiscard]] Observation observe();

  // Carries a batch out. Every error is mapped back to its operation (extended ACK text included).
  // Operations that do not depend on a failed one are still tried; the nftables part is all or
  // nothing. If an EIP address' protection (step 3) fails, the EIP addresses of step 4 are not
  // added. "Already there" when adding and "not there" when deleting are success.
  [[nodiscard]] std::vector<Error> apply(const Batch& batch);

  // Announces addresses that were just taken over: gratuitous ARP (RFC 5227 section 3, request and
  // reply form) or unsolicited Neighbor Advertisement with override (RFC 4861 section 7.2.6) on
  // `link`.
  [[nodiscard]] Result<void> announce(const std::string& link,
                                      const std::vector<Address>& addresses);

  // Asks on `link` whether another host has the addresses, without claiming them: ARP probe (RFC
  // 5227 section 2.1.1), neighbour solicitation from `from`, an IPv6 address of the link's own. See
  // net/claim.hpp for the answers.
  [[nodiscard]] Result<void> probe(const std::string& link, const std::vector<Address>& addresses,
                                   const std::optional<Address>& from);

  // The lease of this node in our tables. Outlives the Kernel.
  [[nodiscard]] Lease lease() const;
  // Nobody else can change our nftables tables: false where the kernel can't see to that.
  [[nodiscard]] bool tables_are_bound() const;

  // Readable when something changed in the kernel (links, addresses, rules, routes, neighbours,
  // nftables).
  [[nodiscard]] int event_fd() const;
  // Drains what came; true when a full look is due: a change that is not our own and that may
  // concern us, or messages were lost (ENOBUFS).
  [[nodiscard]] bool drain_events();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Connection tracking entries of this network namespace. Has a socket of its own, so that another
// thread may use it than the one that uses Kernel: a look walks the hash table of the whole
// machine, which takes 5 to 20 ms however few connections there are.
class Conntrack {
 public:
  Conntrack();
  ~Conntrack();
  Conntrack(const Conntrack&) = delete;
  Conntrack& operator=(const Conntrack&) = delete;
  Conntrack(Conntrack&&) = delete;
  Conntrack& operator=(Conntrack&&) = delete;

  // Those whose mark has any bit of `mask`, or whose original source is one of `sources`.
  [[nodiscard]] Result<std::vector<Connection>> marked(std::uint32_t mask,
                                                       const std::vector<Address>& sources = {});
  // Calls `f` with each whose mark has any bit of `mask`: there may be more than one wants to keep.
  // `begin` comes before the first, and again where the kernel made it begin anew.
  [[nodiscard]] Result<void> each(std::uint32_t mask, const std::function<void()>& begin,
                                  const std::function<void(const Connection&)>& f);
  // Those whose original source is one of `sources`, or whose mark & mask is one of `marks`; both
  // families, each once.
  [[nodiscard]] Result<std::vector<Connection>> find(const std::vector<Address>& sources,
                                                     const std::vector<std::uint32_t>& marks = {},
                                                     std::uint32_t mask = 0);
  // Deletes exactly these entries (by original tuple and, where the kernel has it, id). Gone
  // already is success.
  [[nodiscard]] Result<void> forget(const std::vector<Connection>& connections);
  // Connections of this network namespace that could not be entered, since it was made: their
  // packet was dropped. Where addresses are translated that is, but for races, because no port was
  // left for an address and destination.
  [[nodiscard]] Result<std::uint64_t> insert_failures();

 private:
  [[nodiscard]] bool few(std::size_t walks);
  std::unique_ptr<NetlinkSocket> socket_;
};

} // namespace egw::net
