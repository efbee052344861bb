// SPDX-License-Identifier: Apache-2.0
#include "k8s/listen.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <httplib.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cstddef>
#include <exception>
#include <string>
#include <system_error>
#include <thread>

#include "base/fd.hpp"

using namespace egw;
using namespace egw::k8s;

namespace {

// From now on this thread's kernel has no IPv6, as with ipv6.disable=1.
bool forget_ipv6() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(code), code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool listens(int family, const char* host, int port) {
  const Fd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 v6{};
  sockaddr_in v4{};
  sockaddr* address = nullptr;
  socklen_t size = 0;
  const auto number = htons(static_cast<std::uint16_t>(port));
  if (family == AF_INET6) {
    v6.sin6_family = AF_INET6, v6.sin6_port = number;
    inet_pton(family, host, &v6.sin6_addr);
    address = reinterpret_cast<sockaddr*>(&v6), size = sizeof v6;
  } else {
    v4.sin_family = AF_INET, v4.sin_port = number;
    inet_pton(family, host, &v4.sin_addr);
    address = reinterpret_cast<sockaddr*>(&v4), size = sizeof v4;
  }
  return connect(fd.get(), address, size) == 0;
}

} // namespace

TEST_CASE("listening: all addresses are those of both families") {
  httplib::Server server;
  const int port = bind_server(server, "::", 0, "tests");
  CHECK(listens(AF_INET, "127.0.0.1", port));
  CHECK(listens(AF_INET6, "::1", port));
}

TEST_CASE("listening: one address is that one alone") {
  httplib::Server server;
  const int port = bind_server(server, "::1", 0, "tests");
  CHECK(listens(AF_INET6, "::1", port));
  CHECK_FALSE(listens(AF_INET, "127.0.0.1", port));
}

TEST_CASE("listening: a port that is taken is an error that names it, never shared") {
  httplib::Server first;
  const int port = bind_server(first, "127.0.0.1", 0, "tests");
  for (const char* host : {"127.0.0.1", "::"}) {
    httplib::Server second;
    try {
      (void)bind_server(second, host, port, "tests");
      FAIL("it was bound");
    } catch (const std::system_error& error) {
      CHECK(error.code().value() == EADDRINUSE);
      CHECK(std::string(error.what())
                .starts_with("listen on " + std::string(host) + " port " + std::to_string(port) +
                             " for tests"));
    }
  }
}

TEST_CASE("listening: where the kernel has no IPv6, all addresses are those of IPv4") {
  int port = 0;
  httplib::Server server;
  std::exception_ptr trouble;
  std::thread([&] {
    REQUIRE(forget_ipv6());
    try {
      port = bind_server(server, "::", 0, "tests");
    } catch (...) {
      trouble = std::current_exception();
    }
  }).join();
  if (trouble) std::rethrow_exception(trouble);
  CHECK(listens(AF_INET, "127.0.0.1", port));
}
