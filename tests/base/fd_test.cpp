// SPDX-License-Identifier: Apache-2.0
#include "base/fd.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <thread>

namespace egw {

namespace {

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}
int make() {
  return ::eventfd(0, EFD_CLOEXEC);
}

bool readable(const Wakeup& w, int timeout_ms) {
  pollfd p{w.fd(), POLLIN, 0};
  return ::poll(&p, 1, timeout_ms) == 1 && (p.revents & POLLIN) != 0;
}

} // namespace

TEST_CASE("a descriptor is closed once, by its last owner") {
  const int raw = make();
  REQUIRE(raw >= 0);
  {
    Fd a(raw);
    CHECK(static_cast<bool>(a));
    Fd b(std::move(a));
    CHECK_FALSE(static_cast<bool>(a)); // NOLINT(bugprone-use-after-move): what is left is empty
    CHECK(b.get() == raw);
    CHECK(is_open(raw));
  }
  CHECK_FALSE(is_open(raw));
}

TEST_CASE("assignment closes what was there, and only that") {
  const int first = make();
  const int second = make();
  Fd a(first);
  Fd b(second);
  a = std::move(b);
  CHECK_FALSE(is_open(first));
  CHECK(a.get() == second);
  Fd& self = a;
  a = std::move(self);
  CHECK(is_open(second));
  a = Fd();
  CHECK_FALSE(is_open(second));
}

TEST_CASE("release gives the descriptor away") {
  const int raw = make();
  {
    Fd a(raw);
    CHECK(a.release() == raw);
    CHECK(a.get() == -1);
  }
  CHECK(is_open(raw));
  CHECK(::close(raw) == 0);
}

TEST_CASE("closing keeps errno") {
  errno = EACCES;
  {
    const Fd bad(1 << 20);
  } // no such descriptor: close(2) fails with EBADF
  CHECK(errno == EACCES);
}

TEST_CASE("a wakeup is readable from signal to clear") {
  const Wakeup w;
  CHECK((::fcntl(w.fd(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK_FALSE(readable(w, 0));
  w.clear();
  w.signal();
  w.signal();
  CHECK(readable(w, 0));
  w.clear();
  CHECK_FALSE(readable(w, 0));
}

TEST_CASE("a full counter does not block the one who signals") {
  const Wakeup w;
  const std::uint64_t most = 0xfffffffffffffffe; // eventfd(2)
  REQUIRE(::write(w.fd(), &most, sizeof most) == sizeof most);
  w.signal();
  CHECK(readable(w, 0));
}

TEST_CASE("a wakeup ends a wait in another thread" * doctest::test_suite("threads")) {
  const Wakeup w;
  std::jthread other([&w] { w.signal(); });
  CHECK(readable(w, 10'000));
}

} // namespace egw
