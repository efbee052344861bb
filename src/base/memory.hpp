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
// And after so much work without such a pause: what a long burst leaves unused adds up.
inline constexpr Duration kLongWork = std::chrono::seconds(5);

// Takes from a queue as Queue::take does, and rests, once, when nothing came for the time `quiet`
// after it had work; and each time that it has worked for `longest` without a rest.
class RestingConsumer {
 public:
  RestingConsumer(Duration quiet, Duration longest, std::function<void()> rest)
      : quiet_(quiet), longest_(longest), rest_(std::move(rest)) {}

  template <class T>
  [[nodiscard]] std::vector<T> take(Queue<T>& queue, std::optional<Time> deadline) {
    const Time begun = now().steady, quiet = begun + quiet_;
    if (!worked_) rested_ = begun;
    if (begun - rested_ >= longest_) rest(begun);
    if (worked_ && (!deadline || *deadline > quiet)) {
      auto items = queue.take(quiet);
      if (!items.empty() || queue.closed()) return items;
      rest(now().steady);
    }
    auto items = queue.take(deadline);
    worked_ = !items.empty() || deadline;
    return items;
  }

 private:
  void rest(Time at) {
    rested_ = at;
    rest_();
  }

  const Duration quiet_, longest_;
  const std::function<void()> rest_;
  bool worked_ = true;
  Time rested_ = now().steady;
};

} // namespace egw
