// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "net/attributes.hpp"

struct mnl_socket;

// A netlink socket of the calling thread's network namespace: requests with sequence numbers and
// extended ACKs, dumps that notice when they were interrupted. Throws std::system_error where the
// socket itself fails; what the kernel says to a request is a value. Source: linux/netlink.h.
namespace egw::net {

// What the kernel answered to one message that it refused.
struct Refusal {
  std::size_t index = 0; // of the message in the call
  int code = 0;          // errno
  std::string text;      // its extended ACK; may be empty
};

// An NLMSG_ERROR; code 0 is an ACK. The index is left at 0.
[[nodiscard]] Refusal parse_error(const nlmsghdr& h);

// "Invalid argument: Gateway is not reachable" or the errno's text alone.
[[nodiscard]] std::string describe(int code, const std::string& text);

using Replies = std::vector<Buffer>; // datagrams, as they came

template <class F>
void for_each_reply(const Replies& replies, const F& f) {
  for (const Buffer& datagram : replies) for_each_message(datagram, f);
}

class NetlinkSocket {
 public:
  // `bus` is NETLINK_ROUTE or NETLINK_NETFILTER; groups are RTNLGRP_* or NFNLGRP_* numbers.
  explicit NetlinkSocket(int bus, std::span<const int> groups = {});
  ~NetlinkSocket();
  NetlinkSocket(const NetlinkSocket&) = delete; // its port is registered as ours
  NetlinkSocket& operator=(const NetlinkSocket&) = delete;
  NetlinkSocket(NetlinkSocket&&) = delete;
  NetlinkSocket& operator=(NetlinkSocket&&) = delete;

  [[nodiscard]] int fd() const;

  // Sends the messages (NLM_F_REQUEST and NLM_F_ACK are added) and waits for every ACK. Each
  // message is tried, whatever became of those before it.
  [[nodiscard]] std::vector<Refusal> transact(std::vector<Buffer> messages);

  // One request, answered by one message. ENOENT and the like are the error's code.
  [[nodiscard]] Result<Buffer> get(Buffer request);

  // A dump, begun anew while it is interrupted, at most 20 times. A refusal is the error's code.
  [[nodiscard]] Result<Replies> dump(Buffer request);
  // The same for what may be too much to be kept: `begin` is called each time that it begins.
  [[nodiscard]] Result<void> dump_each(Buffer request, const std::function<void()>& begin,
                                       const std::function<void(const nlmsghdr&)>& f);

  // A nfnetlink batch whose messages are numbered from `first_seq`; index in a Refusal counts from
  // there. The kernel handles it before send returns, so all answers are there afterwards.
  [[nodiscard]] std::vector<Refusal> send_batch(std::span<const std::uint8_t> batch,
                                                std::uint32_t first_seq);
  // Reserves `count` sequence numbers and returns the first.
  [[nodiscard]] std::uint32_t reserve_seq(std::uint32_t count);

  // What came to a subscribed socket, without waiting. `lost` is set when messages were dropped.
  [[nodiscard]] Replies receive_events(bool& lost);

 private:
  enum class Received { Data, Nothing, Overrun };
  struct SocketCloser {
    void operator()(mnl_socket* s) const;
  };

  void send(std::span<const std::uint8_t> data);
  [[nodiscard]] Received receive(bool wait); // into received_
  [[nodiscard]] std::optional<Result<void>> dump_once(
      Buffer& request, const std::function<void(std::span<const std::uint8_t>)>& datagram);
  void collect_acks(std::uint32_t first_seq, std::size_t count, std::size_t offset,
                    std::vector<Refusal>& refusals);

  int bus_;
  std::unique_ptr<mnl_socket, SocketCloser> socket_;
  std::uint32_t seq_ = 0;
  std::size_t send_buffer_ = 0;
  // Not cleared: most answers are small, and untouched pages cost nothing.
  std::size_t room_ = 0;
  std::unique_ptr<std::uint8_t[]> buffer_;
  std::span<const std::uint8_t> received_;
};

// Whether a port id belongs to one of this process' sockets on that bus: notifications carry the
// port id of whoever caused them.
[[nodiscard]] bool is_own_port(int bus, std::uint32_t port);

} // namespace egw::net
