// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "base/chrono.hpp"
#include "base/clock.hpp"
#include "base/queue.hpp"

// A role's memory is what it needs while nothing happens: what a burst of work took goes back to
// the kernel once it is quiet. Not during the burst, which would pay for it with page faults.
namespace egw {

// Before there is a second thread: threads share one heap (glibc would give each its own, which
// keep what another thread has freed), and a burst keeps what it freed until release_memory().
void share_heap();

// Returns free pages of the heap, and unmaps pages of the program: most of what start-up ran is not
// run again. What is needed after all comes back from the page cache.
void release_memory();

inline constexpr Duration kQuiet = std::chrono::seconds(1); // then a role releases memory

// Takes from a queue as Queue::take does, and rests, once, when nothing came for the time `quiet`
// after it had work.
class RestingConsumer {
 public:
  RestingConsumer(Duration quiet, std::function<void()> rest)
      : quiet_(quiet), rest_(std::move(rest)) {}

  template <class T>
  [[nodiscard]] std::vector<T> take(Queue<T>& queue, std::optional<Time> deadline) {
    const Time quiet = now().steady + quiet_;
    if (worked_ && (!deadline || *deadline > quiet)) {
      auto items = queue.take(quiet);
      if (!items.empty() || queue.closed()) return items;
      rest_();
    }
    auto items = queue.take(deadline);
    worked_ = !items.empty() || deadline;
    return items;
  }

 private:
  const Duration quiet_;
  const std::function<void()> rest_;
  bool worked_ = true;
};

} // namespace egw
