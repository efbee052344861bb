// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/clock.hpp"

namespace egw {

// Many producers, one consumer. Nothing is dropped: a producer never waits, the consumer takes all
// at once. After close() pushes are ignored and the consumer gets what is left, then nothing.
template <class T>
class Queue {
 public:
  void push(T item) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) return;
      items_.push_back(std::move(item));
    }
    ready_.notify_one();
  }

  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
  }

  // Waits until there is something, the deadline has passed, or the queue is closed. Returns all
  // that is there, in order of arrival: nothing when the deadline passed or the queue is closed and
  // empty.
  [[nodiscard]] std::vector<T> take(std::optional<Time> deadline = std::nullopt) {
    std::unique_lock lock(mutex_);
    const auto ready = [this] { return closed_ || !items_.empty(); };
    if (deadline) {
      ready_.wait_until(lock, *deadline, ready);
    } else {
      ready_.wait(lock, ready);
    }
    return std::exchange(items_, {});
  }

  [[nodiscard]] bool closed() const {
    std::lock_guard lock(mutex_);
    return closed_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::vector<T> items_;
  bool closed_ = false;
};

} // namespace egw
