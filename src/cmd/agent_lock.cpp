// SPDX-License-Identifier: Apache-2.0
#include "cmd/agent_lock.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <string_view>

namespace egw::cmd {

namespace {

constexpr std::string_view kName{"\0egw-agent", 10};

Fd unix_socket() {
  return Fd(check_errno(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
}

std::string holder(const sockaddr* address, socklen_t size) {
  const Fd probe = unix_socket();
  ucred peer{};
  socklen_t length = sizeof peer;
  if (connect(probe.get(), address, size) < 0 ||
      getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 || peer.pid == 0) {
    return "";
  }
  return fmt::format(" (process {})", peer.pid);
}

} // namespace

Result<Fd> lock_node() {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::ranges::copy(kName, name.sun_path);
  const auto* address = reinterpret_cast<const sockaddr*>(&name);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + kName.size());
  Fd lock = unix_socket();
  if (bind(lock.get(), address, size) < 0) {
    if (errno != EADDRINUSE) check_errno(-1, "bind the agent's lock");
    return Error{fmt::format("another egw agent runs on this node{}: stop that one first",
                             holder(address, size)),
                 EADDRINUSE};
  }
  check_errno(listen(lock.get(), 1), "listen on the agent's lock");
  return lock;
}

} // namespace egw::cmd
