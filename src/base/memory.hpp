// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <vector>

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

// Takes from a queue as Queue::take does, and releases memory when nothing came for a second.
class RestingConsumer {
 public:
  static constexpr Duration kQuiet = std::chrono::seconds(1);

  template <class T>
  [[nodiscard]] std::vector<T> take(Queue<T>& queue, std::optional<Time> deadline) {
    const Time quiet = now().steady + kQuiet;
    if (worked_ && (!deadline || *deadline > quiet)) {
      auto items = queue.take(quiet);
      if (!items.empty() || queue.closed()) return items;
      release_memory();
    }
    auto items = queue.take(deadline);
    worked_ = !items.empty() || deadline;
    return items;
  }

 private:
  bool worked_ = true;
};

} // namespace egw
