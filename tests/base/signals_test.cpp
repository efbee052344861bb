// SPDX-License-Identifier: Apache-2.0
#include "base/signals.hpp"

#include <doctest/doctest.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>

#include "base/queue.hpp"

namespace egw {

namespace {

// Puts the signal state of the test process back, and takes what is still pending.
class Restore {
 public:
  Restore() : pipe_(std::signal(SIGPIPE, SIG_DFL)) {
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask_);
  }
  ~Restore() {
    take_pending();
    ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
    std::signal(SIGPIPE, pipe_);
  }
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;

  static int take_pending() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    const timespec none{};
    int count = 0;
    while (::sigtimedwait(&set, nullptr, &none) > 0) ++count;
    return count;
  }

 private:
  void (*pipe_)(int);
  sigset_t mask_{};
};

Time soon() {
  return now().steady + std::chrono::seconds(10);
}

} // namespace

TEST_CASE("SIGTERM and SIGINT call on_stop" * doctest::test_suite("threads")) {
  const Restore restore;
  block_signals();
  for (const int signal : {SIGTERM, SIGINT}) {
    CAPTURE(signal);
    Queue<int> calls;
    const SignalThread thread([&calls] { calls.push(1); });
    REQUIRE(::kill(::getpid(), signal) == 0);
    CHECK(calls.take(soon()).size() == 1);
  }
}

TEST_CASE("a signal that came before the thread is not lost" * doctest::test_suite("threads")) {
  const Restore restore;
  block_signals();
  REQUIRE(::kill(::getpid(), SIGTERM) == 0);
  Queue<int> calls;
  const SignalThread thread([&calls] { calls.push(1); });
  CHECK(calls.take(soon()).size() == 1);
}

TEST_CASE("on_stop is called once, whatever comes later" * doctest::test_suite("threads")) {
  const Restore restore;
  block_signals();
  Queue<int> calls;
  {
    const SignalThread thread([&calls] { calls.push(1); });
    REQUIRE(::kill(::getpid(), SIGTERM) == 0);
    CHECK(calls.take(soon()).size() == 1);
    REQUIRE(::kill(::getpid(), SIGTERM) == 0);
  }
  CHECK(calls.take(now().steady).empty());
  CHECK(Restore::take_pending() == 1);
}

TEST_CASE("the destructor ends a thread that still waits, without a call" *
          doctest::test_suite("threads")) {
  const Restore restore;
  block_signals();
  Queue<int> calls;
  {
    const SignalThread thread([&calls] { calls.push(1); });
  }
  CHECK(calls.take(now().steady).empty());
}

TEST_CASE("a command that leaves nothing behind does not hold signals back" *
          doctest::test_suite("threads")) {
  const Restore restore;
  sigset_t held;
  block_signals();
  ::pthread_sigmask(SIG_SETMASK, nullptr, &held);
  CHECK(sigismember(&held, SIGINT) == 1);
  CHECK(sigismember(&held, SIGTERM) == 1);
  unblock_signals();
  ::pthread_sigmask(SIG_SETMASK, nullptr, &held);
  CHECK(sigismember(&held, SIGINT) == 0);
  CHECK(sigismember(&held, SIGTERM) == 0);
}

TEST_CASE("a write to a pipe that nobody reads is an error, not the end" *
          doctest::test_suite("threads")) {
  const Restore restore;
  block_signals();
  std::array<int, 2> fds{};
  REQUIRE(::pipe(fds.data()) == 0);
  ::close(fds[0]);
  CHECK(::write(fds[1], "x", 1) == -1);
  CHECK(errno == EPIPE);
  ::close(fds[1]);
}

} // namespace egw
