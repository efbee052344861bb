// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

namespace egw {

// Owns a file descriptor. Closing never throws; an empty Fd is -1.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd();

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// Waking a thread that waits in poll(2): an eventfd. `signal` may be called from any thread.
class Wakeup {
 public:
  Wakeup();
  void signal() const;
  void clear() const; // makes `fd` unreadable again
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  Fd fd_;
};

} // namespace egw
