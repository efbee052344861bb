// SPDX-License-Identifier: Apache-2.0
#include "net/netlink.hpp"

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>

namespace egw::net {
namespace {

constexpr std::size_t kReceiveBuffer =
    std::size_t{128} * 1024;                 // the kernel fills at most 32 KiB for a dump
constexpr std::size_t kMessagesPerSend = 64; // their ACKs fit the default receive buffer
constexpr int kSocketReceiveBuffer = 8 * 1024 * 1024;
constexpr std::size_t kLargeSend = std::size_t{64} * 1024; // fits the default send buffer
constexpr int kDumpAttempts = 20;
constexpr int kMaxErrno = 4095; // MAX_ERRNO of the kernel's linux/err.h

struct OwnPorts {
  std::mutex mutex;
  std::multiset<std::pair<int, std::uint32_t>> ports;
};
OwnPorts& own_ports() {
  static OwnPorts ports;
  return ports;
}

nlmsghdr& header(Buffer& message) {
  return *reinterpret_cast<nlmsghdr*>(message.data());
}

void set_option(int fd, int level, int option, int value) {
  // Older kernels lack some: all of them only make answers better or cheaper.
  (void)setsockopt(fd, level, option, &value, sizeof value);
}

} // namespace

Refusal parse_error(const nlmsghdr& h) {
  Refusal r;
  const auto* e = header_of<nlmsgerr>(h);
  if (!e) {
    r.code = EBADMSG;
    return r;
  }
  // Anything but a negative errno is no answer of a kernel, and the lowest int has no positive.
  r.code = e->error > 0 || e->error < -kMaxErrno ? EBADMSG : -e->error;
  if ((h.nlmsg_flags & NLM_F_ACK_TLVS) == 0) return r;
  std::size_t fixed = sizeof(nlmsgerr);
  if ((h.nlmsg_flags & NLM_F_CAPPED) == 0 && e->error != 0 && e->msg.nlmsg_len > sizeof(nlmsghdr))
    fixed += e->msg.nlmsg_len - sizeof(nlmsghdr);
  r.text = attributes_of(h, fixed).string(NLMSGERR_ATTR_MSG).value_or("");
  return r;
}

std::string describe(int code, const std::string& text) {
  const std::string reason = std::generic_category().message(code);
  return text.empty() ? reason : reason + ": " + text;
}

bool is_own_port(int bus, std::uint32_t port) {
  OwnPorts& own = own_ports();
  const std::scoped_lock lock(own.mutex);
  return own.ports.contains({bus, port});
}

void NetlinkSocket::SocketCloser::operator()(mnl_socket* s) const {
  mnl_socket_close(s);
}

NetlinkSocket::NetlinkSocket(int bus, std::span<const int> groups)
    : bus_(bus),
      socket_(mnl_socket_open2(bus, SOCK_CLOEXEC)),
      room_(kReceiveBuffer),
      buffer_(std::make_unique_for_overwrite<std::uint8_t[]>(room_)) {
  const char* name = bus == NETLINK_ROUTE ? "rtnetlink" : "nfnetlink";
  const auto fail = [&](const char* what) {
    throw std::system_error(errno, std::system_category(), std::string(name) + " socket: " + what);
  };
  if (!socket_) fail("open");
  set_option(fd(), SOL_NETLINK, NETLINK_EXT_ACK, 1);
  set_option(fd(), SOL_NETLINK, NETLINK_CAP_ACK, 1);
  if (bus == NETLINK_ROUTE) set_option(fd(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
  set_option(fd(), SOL_SOCKET, SO_RCVBUFFORCE, kSocketReceiveBuffer);
  // The kernel answers at once; a request that hangs for ten seconds is an error, not a reason to
  // wait.
  const timeval limit{.tv_sec = 10, .tv_usec = 0};
  check_errno(setsockopt(fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), "SO_RCVTIMEO");
  if (mnl_socket_bind(socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0) fail("bind");
  for (int group : groups) {
    if (setsockopt(fd(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
      fail("subscribe");
  }
  OwnPorts& own = own_ports();
  const std::scoped_lock lock(own.mutex);
  own.ports.emplace(bus_, mnl_socket_get_portid(socket_.get()));
}

NetlinkSocket::~NetlinkSocket() {
  OwnPorts& own = own_ports();
  const std::scoped_lock lock(own.mutex);
  const auto it = own.ports.find({bus_, mnl_socket_get_portid(socket_.get())});
  if (it != own.ports.end()) own.ports.erase(it);
}

int NetlinkSocket::fd() const {
  return mnl_socket_get_fd(socket_.get());
}

std::uint32_t NetlinkSocket::reserve_seq(std::uint32_t count) {
  const std::uint32_t first = seq_ + 1;
  seq_ += count;
  return first;
}

void NetlinkSocket::send(std::span<const std::uint8_t> data) {
  // The kernel refuses what is larger than the send buffer; doubling it covers its own bookkeeping.
  if (data.size() > kLargeSend && data.size() * 2 > send_buffer_) {
    send_buffer_ = data.size() * 2;
    set_option(fd(), SOL_SOCKET, SO_SNDBUFFORCE,
               static_cast<int>(std::min<std::size_t>(send_buffer_, 1U << 30U)));
  }
  if (mnl_socket_sendto(socket_.get(), data.data(), data.size()) < 0)
    throw std::system_error(errno, std::system_category(), "send a netlink request");
}

NetlinkSocket::Received NetlinkSocket::receive(bool wait) {
  for (;;) {
    const ssize_t n = recv(fd(), buffer_.get(), room_, MSG_TRUNC | (wait ? 0 : MSG_DONTWAIT));
    if (n >= 0 && static_cast<std::size_t>(n) <= room_) {
      received_ = {buffer_.get(), static_cast<std::size_t>(n)};
      return Received::Data;
    }
    if (n >= 0) { // cut off: the next one of that size will fit
      room_ = static_cast<std::size_t>(n);
      buffer_ = std::make_unique_for_overwrite<std::uint8_t[]>(room_);
      return Received::Overrun;
    }
    if (errno == EINTR) continue;
    if (errno == ENOBUFS) return Received::Overrun;
    if (errno == EAGAIN && !wait) return Received::Nothing;
    if (errno == EAGAIN) errno = ETIMEDOUT;
    throw std::system_error(errno, std::system_category(), "receive a netlink answer");
  }
}

void NetlinkSocket::collect_acks(std::uint32_t first_seq, std::size_t count, std::size_t offset,
                                 std::vector<Refusal>& refusals) {
  for (std::size_t missing = count; missing > 0;) {
    if (receive(true) == Received::Overrun)
      throw std::system_error(ENOBUFS, std::system_category(), "receive netlink ACKs");
    for_each_message(received_, [&](const nlmsghdr& h) {
      const std::size_t index = h.nlmsg_seq - first_seq;
      if (h.nlmsg_type != NLMSG_ERROR || index >= count) return;
      Refusal r = parse_error(h);
      --missing;
      if (r.code == 0) return;
      r.index = offset + index;
      refusals.push_back(std::move(r));
    });
  }
}

std::vector<Refusal> NetlinkSocket::transact(std::vector<Buffer> messages) {
  std::vector<Refusal> refusals;
  Buffer chunk;
  for (std::size_t begin = 0; begin < messages.size(); begin += kMessagesPerSend) {
    const std::size_t count = std::min(kMessagesPerSend, messages.size() - begin);
    const std::uint32_t first = reserve_seq(static_cast<std::uint32_t>(count));
    chunk.clear();
    for (std::size_t i = 0; i < count; ++i) {
      Buffer& message = messages[begin + i];
      header(message).nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
      header(message).nlmsg_seq = first + static_cast<std::uint32_t>(i);
      chunk.insert(chunk.end(), message.begin(), message.end());
      chunk.resize(NLMSG_ALIGN(chunk.size()));
    }
    send(chunk);
    collect_acks(first, count, begin, refusals);
  }
  std::sort(refusals.begin(), refusals.end(),
            [](const Refusal& a, const Refusal& b) { return a.index < b.index; });
  return refusals;
}

Result<Buffer> NetlinkSocket::get(Buffer request) {
  const std::uint32_t seq = reserve_seq(1);
  header(request).nlmsg_flags |= NLM_F_REQUEST;
  header(request).nlmsg_seq = seq;
  send(request);
  std::optional<Result<Buffer>> answer;
  while (!answer) {
    if (receive(true) == Received::Overrun) continue;
    for_each_message(received_, [&](const nlmsghdr& h) {
      if (h.nlmsg_seq != seq) return;
      if (h.nlmsg_type == NLMSG_ERROR) {
        const Refusal r = parse_error(h);
        answer = Error{describe(r.code, r.text), r.code};
        return;
      }
      const auto* begin = reinterpret_cast<const std::uint8_t*>(&h);
      answer = Buffer(begin, begin + h.nlmsg_len);
    });
  }
  return *std::move(answer);
}

// Nothing when the dump was interrupted and must begin anew.
std::optional<Result<void>> NetlinkSocket::dump_once(
    Buffer& request, const std::function<void(std::span<const std::uint8_t>)>& datagram) {
  const std::uint32_t seq = reserve_seq(1);
  header(request).nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;
  header(request).nlmsg_seq = seq;
  send(request);
  bool interrupted = false;
  for (;;) {
    if (receive(true) == Received::Overrun) {
      interrupted = true;
      continue;
    }
    bool done = false, ours = false;
    int code = 0;
    std::string text;
    for_each_message(received_, [&](const nlmsghdr& h) {
      if (h.nlmsg_seq != seq) return; // what is left of a dump given up before
      if (h.nlmsg_flags & NLM_F_DUMP_INTR) interrupted = true;
      if (h.nlmsg_type == NLMSG_DONE) {
        done = true;
        if (const auto* e = header_of<std::int32_t>(h); e && *e < 0) code = -*e;
      } else if (h.nlmsg_type == NLMSG_ERROR) {
        Refusal r = parse_error(h);
        done = true;
        code = r.code;
        text = std::move(r.text);
      } else {
        ours = true;
      }
    });
    if (done && code != 0 && code != EINTR) return Error{describe(code, text), code};
    if (code == EINTR) interrupted = true;
    if (ours) datagram(received_);
    if (done) break;
  }
  if (interrupted) return std::nullopt;
  return Result<void>{};
}

Result<void> NetlinkSocket::dump_each(Buffer request, const std::function<void()>& begin,
                                      const std::function<void(const nlmsghdr&)>& f) {
  for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
    begin();
    auto done =
        dump_once(request, [&](std::span<const std::uint8_t> d) { for_each_message(d, f); });
    if (done) return *std::move(done);
  }
  throw std::system_error(EAGAIN, std::system_category(),
                          "the kernel's state changes faster than it can be read");
}

Result<Replies> NetlinkSocket::dump(Buffer request) {
  for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
    Replies replies;
    const auto done = dump_once(request, [&](std::span<const std::uint8_t> d) {
      replies.emplace_back(d.begin(), d.end());
    });
    if (!done) continue;
    if (!*done) return done->error();
    return replies;
  }
  throw std::system_error(EAGAIN, std::system_category(),
                          "the kernel's state changes faster than it can be read");
}

std::vector<Refusal> NetlinkSocket::send_batch(std::span<const std::uint8_t> batch,
                                               std::uint32_t first_seq) {
  send(batch);
  std::vector<Refusal> refusals;
  bool overrun = false;
  for (;;) {
    const Received r = receive(false);
    if (r == Received::Nothing) break;
    if (r == Received::Overrun) {
      overrun = true;
      continue;
    }
    for_each_message(received_, [&](const nlmsghdr& h) {
      if (h.nlmsg_type != NLMSG_ERROR || h.nlmsg_seq < first_seq) return;
      Refusal refusal = parse_error(h);
      if (refusal.code == 0) return;
      refusal.index = h.nlmsg_seq - first_seq;
      refusals.push_back(std::move(refusal));
    });
  }
  if (overrun && refusals.empty())
    throw std::system_error(ENOBUFS, std::system_category(), "receive the answers to a batch");
  return refusals;
}

Replies NetlinkSocket::receive_events(bool& lost) {
  Replies events;
  for (;;) {
    switch (receive(false)) {
      case Received::Nothing:
        return events;
      case Received::Overrun:
        lost = true;
        break;
      case Received::Data:
        events.emplace_back(received_.begin(), received_.end());
        break;
    }
  }
}

} // namespace egw::net
