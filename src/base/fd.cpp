// SPDX-License-Identifier: Apache-2.0
#include "base/fd.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/error.hpp"

namespace egw {

namespace {

// Keeps errno: an Fd is often destroyed between a failed call and the place that reports it. EINTR
// is not retried: Linux has released the descriptor by then, and another thread may have its
// number.
void close_quietly(int fd) {
  if (fd < 0) return;
  const int saved = errno;
  ::close(fd);
  errno = saved;
}

} // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) close_quietly(std::exchange(fd_, std::exchange(other.fd_, -1)));
  return *this;
}

Fd::~Fd() {
  close_quietly(fd_);
}

Wakeup::Wakeup() : fd_(check_errno(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {}

void Wakeup::signal() const {
  const std::uint64_t one = 1;
  // EAGAIN: the counter is full, so the descriptor is readable already.
  if (::write(fd_.get(), &one, sizeof one) < 0 && errno != EAGAIN) {
    throw std::system_error(errno, std::system_category(), "write to an eventfd");
  }
}

void Wakeup::clear() const {
  std::uint64_t count = 0;
  // EAGAIN: nobody has signalled.
  if (::read(fd_.get(), &count, sizeof count) < 0 && errno != EAGAIN) {
    throw std::system_error(errno, std::system_category(), "read from an eventfd");
  }
}

} // namespace egw
