// SPDX-License-Identifier: Apache-2.0
#include "cmd/agent_guard.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace egw;
using namespace egw::cmd;
using namespace std::chrono_literals;

namespace {

// Notes what is set, and lets a test wait for it.
struct Kept {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Duration> times;
  bool refuse = false;

  AgentGuard::Refresh refresh() {
    return [this](Duration left) -> Result<void> {
      const std::lock_guard lock(mutex);
      times.push_back(left);
      changed.notify_all();
      if (refuse) return Error{"set the lease: no", 1};
      return {};
    };
  }
  bool await(std::size_t count) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, 10s, [&] { return times.size() >= count; });
  }
  std::vector<Duration> seen() {
    const std::lock_guard lock(mutex);
    return times;
  }
};

GuardOptions quick() {
  return {.agent_grace = 10s, .restart_grace = 60s, .period = 5ms};
}

} // namespace

TEST_SUITE_BEGIN("threads");

TEST_CASE(
    "nothing is renewed before the placement is confirmed; then at once and again and again") {
  Kept kept;
  AgentGuard guard(quick(), kept.refresh());
  CHECK(guard.left(now().steady) == 0s);
  guard.turn_begins(now().steady);
  guard.turn_ends();
  CHECK(kept.seen().empty());
  guard.confirm(true);
  REQUIRE(kept.await(3));
  for (const Duration left : kept.seen()) CHECK(left == 10s);
  CHECK(guard.left(now().steady) > 5s);
  CHECK(guard.left(now().steady) <= 10s);
}

TEST_CASE("a confirmation is acted on without waiting for the next period") {
  Kept kept;
  GuardOptions options = quick();
  options.period = 1h;
  AgentGuard guard(options, kept.refresh());
  guard.confirm(true);
  CHECK(kept.await(1));
}

TEST_CASE("a confirmation that is taken back, or a core that hangs, ends the renewals") {
  Kept kept;
  GuardOptions options = quick();
  AgentGuard guard(options, kept.refresh());
  guard.confirm(true);
  REQUIRE(kept.await(1));
  SUBCASE("taken back") {
    guard.confirm(false);
  }
  SUBCASE("hangs") {
    guard.turn_begins(now().steady - 1h);
    CHECK(guard.stuck(now().steady));
  }
  const auto settled = [&] { // at most one was under way
    const auto before = guard.refreshes();
    const auto end = now().steady + 50ms;
    while (now().steady < end) std::this_thread::yield();
    return guard.refreshes() - before;
  };
  CHECK(settled() <= 1);
  CHECK(settled() == 0);
  guard.turn_ends();
  guard.confirm(true);
  CHECK(kept.await(kept.seen().size() + 1));
}

TEST_CASE("told to leave, the guard gives the next one its time, and nothing shortens that") {
  Kept kept;
  AgentGuard guard(quick(), kept.refresh());
  guard.confirm(true);
  REQUIRE(kept.await(1));
  guard.leave();
  CHECK(kept.seen().back() == 60s);
  CHECK(guard.left(now().steady) > 50s);
}

TEST_CASE("an agent that never confirmed its placement leaves the former one's lease alone") {
  Kept kept;
  AgentGuard guard(quick(), kept.refresh());
  guard.leave();
  CHECK(kept.seen().empty());
}

TEST_CASE("a refusal is counted and tried again") {
  Kept kept;
  kept.refuse = true;
  AgentGuard guard(quick(), kept.refresh());
  guard.confirm(true);
  REQUIRE(kept.await(2));
  CHECK(guard.failures() >= 1);
  CHECK(guard.refreshes() == 0);
  CHECK(guard.left(now().steady) == 0s);
}

TEST_SUITE_END();
