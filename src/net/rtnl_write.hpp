// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "net/attributes.hpp"
#include "net/diff.hpp"
#include "net/events.hpp"
#include "net/netlink.hpp"

namespace egw::net {

// Carries the rtnetlink steps of a diff out, in order, many in one send. A refused step does not
// stop the others. `known` follows what was done. `take_events` is called around changes of the
// tunnel, with false before and true after: the kernel does not say of these whose they were.
class RtnlWriter {
 public:
  RtnlWriter(NetlinkSocket& route, NetlinkSocket& netfilter, const Ownership& ownership,
             Known& known, std::function<void(bool)> take_events)
      : route_(route),
        netfilter_(netfilter),
        own_(ownership),
        known_(known),
        take_events_(std::move(take_events)) {}

  [[nodiscard]] std::vector<Error> apply(const std::vector<LinkOp>& ops);

 private:
  struct Pending {
    const LinkOp* op;
    Buffer message;
  };

  void step(const LinkOp& op);
  void queue(const LinkOp& op, Buffer message) { pending_.push_back({&op, std::move(message)}); }
  void flush();
  void refused(const LinkOp& op, const Refusal& refusal);
  void done(const LinkOp& op);
  void fail(const LinkOp& op, const std::string& why, int code);

  // The index of a link, or 0 after an error was noted for the step.
  [[nodiscard]] std::uint32_t index_of(const LinkOp& op, const std::string& name);

  void put_tunnel(const LinkOp& op, const PutTunnel& put);
  [[nodiscard]] bool send_tunnel(const LinkOp& op, std::vector<Buffer> messages);
  [[nodiscard]] std::optional<bool> other_gro(std::uint32_t parent) const; // see missing_gro
  void delete_tunnel(const LinkOp& op);
  [[nodiscard]] std::optional<LinkInfo> get_link(const std::string& name);
  [[nodiscard]] bool is_ours(const LinkInfo& link, const Vxlan* wanted) const;

  void address_exists(const LinkOp& op, const PutAddress& put);
  void route_exists(const LinkOp& op, const PutRoute& put);

  NetlinkSocket& route_;
  NetlinkSocket& netfilter_;
  const Ownership& own_;
  Known& known_;
  std::function<void(bool)> take_events_;
  std::vector<Pending> pending_;
  std::vector<Error> errors_;
};

} // namespace egw::net
