// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/chrono.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"

namespace egw::cmd {

struct GuardOptions {
  Duration agent_grace = std::chrono::seconds(10), restart_grace = std::chrono::seconds(60);
  Duration period = std::chrono::seconds(1);
  Duration longest_turn = std::chrono::seconds(5); // of the core: one that takes longer is stuck
};

// Renews the lease by which this node answers for its EIPs, on a thread of its own: a long write to
// the kernel neither looks like death nor renews anything for a core that hangs.
class AgentGuard {
 public:
  // Sets the time that is left; called from the guard's thread alone.
  using Refresh = std::function<Result<void>(Duration time_left)>;

  AgentGuard(GuardOptions options, Refresh refresh);
  ~AgentGuard(); // leaves the lease to run out
  AgentGuard(const AgentGuard&) = delete;
  AgentGuard& operator=(const AgentGuard&) = delete;

  // Any thread. Nothing is renewed before the first confirm(true), nor after confirm(false).
  void confirm(bool placement_is_right);
  void turn_begins(Time now) { busy_since_ = now.time_since_epoch().count(); }
  void turn_ends() { busy_since_ = 0; }
  // The last act, on SIGTERM: whoever comes next has restart_grace to take over.
  void leave();

  [[nodiscard]] bool stuck(Time now) const; // the core
  [[nodiscard]] Duration left(Time now) const;
  [[nodiscard]] std::uint64_t refreshes() const { return refreshes_; }
  [[nodiscard]] std::uint64_t failures() const { return failures_; }

 private:
  void run(const std::stop_token& stop);
  void renew(Duration grace);

  const GuardOptions options_;
  const Refresh refresh_;
  std::atomic<std::int64_t> busy_since_{0}, until_{0}; // steady time; 0: idle, no lease of ours
  std::atomic<std::uint64_t> refreshes_{0}, failures_{0};

  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool confirmed_ = false, news_ = false, leaving_ = false; // guarded by mutex_
  std::jthread thread_;
};

} // namespace egw::cmd
