// SPDX-License-Identifier: Apache-2.0
#include "base/signals.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <stop_token>
#include <utility>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace egw {

namespace {

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

// True when a stop signal came, false when the owner of the thread no longer wants to know.
bool wait_for_signal(const Fd& signals, const Wakeup& quit) {
  std::array<pollfd, 2> fds{{{quit.fd(), POLLIN, 0}, {signals.get(), POLLIN, 0}}};
  for (;;) {
    if (::poll(fds.data(), fds.size(), -1) < 0) {
      if (errno == EINTR) continue;
      throw std::system_error(errno, std::system_category(), "poll for signals");
    }
    if (fds[0].revents != 0) return false;
    signalfd_siginfo info{};
    const auto n = ::read(signals.get(), &info, sizeof info);
    if (n == sizeof info) return true;
    // EAGAIN: another thread of the process took it first.
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
      throw std::system_error(errno, std::system_category(), "read from a signalfd");
    }
  }
}

void mask(int how, const char* what) {
  const sigset_t set = stop_signals();
  if (const int e = ::pthread_sigmask(how, &set, nullptr); e != 0) {
    throw std::system_error(e, std::system_category(), what);
  }
}

} // namespace

void block_signals() {
  mask(SIG_BLOCK, "block SIGTERM and SIGINT");
  // A peer that goes away while we write must be an error of that write, not the end of the
  // process.
  if (std::signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
    throw std::system_error(errno, std::system_category(), "ignore SIGPIPE");
  }
}

void unblock_signals() {
  mask(SIG_UNBLOCK, "unblock SIGTERM and SIGINT");
}

SignalThread::SignalThread(std::function<void()> on_stop) {
  const sigset_t set = stop_signals();
  Fd signals(check_errno(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"));
  // A signalfd rather than sigwait, so that the destructor can wake the thread without a signal.
  thread_ = std::jthread([on_stop = std::move(on_stop), signals = std::move(signals),
                          quit = Wakeup()](const std::stop_token& stop) {
    const std::stop_callback wake(stop, [&quit] { quit.signal(); });
    if (wait_for_signal(signals, quit)) on_stop();
  });
}

// ~jthread requests the stop that wakes the thread, then joins it.
SignalThread::~SignalThread() = default;

} // namespace egw
