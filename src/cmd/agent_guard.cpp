// SPDX-License-Identifier: Apache-2.0
#include "cmd/agent_guard.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.hpp"

namespace egw::cmd {

AgentGuard::AgentGuard(GuardOptions options, Refresh refresh)
    : options_(options),
      refresh_(std::move(refresh)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

AgentGuard::~AgentGuard() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void AgentGuard::confirm(bool placement_is_right) {
  {
    const std::lock_guard lock(mutex_);
    confirmed_ = placement_is_right;
    news_ = true;
  }
  changed_.notify_all();
}

void AgentGuard::leave() {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = news_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool AgentGuard::stuck(Time now) const {
  const std::int64_t since = busy_since_;
  return since != 0 && now.time_since_epoch().count() - since > options_.longest_turn.count();
}

Duration AgentGuard::left(Time now) const {
  return std::max(Duration::zero(), Duration(until_ - now.time_since_epoch().count()));
}

void AgentGuard::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    // A confirmation is acted on at once: an EIP that was just taken over waits for it.
    (void)changed_.wait_for(lock, stop, options_.period, [this] { return news_; });
    if (stop.stop_requested()) return;
    news_ = false;
    const bool leaving = leaving_, may = confirmed_ && !stuck(now().steady);
    lock.unlock();
    if (may) renew(leaving ? options_.restart_grace : options_.agent_grace);
    lock.lock();
    if (leaving) return;
  }
}

void AgentGuard::renew(Duration grace) {
  // Counted from before the call: what is left is never overstated.
  const Time start = now().steady;
  Result<void> done;
  try {
    done = refresh_(grace);
  } catch (const std::exception& error) {
    done = Error{error.what()};
  }
  if (done) {
    until_ = (start + grace).time_since_epoch().count();
    ++refreshes_;
  } else if (failures_++ == 0 || log::enabled(log::Level::Debug)) {
    log::warn("{}; this node stops answering for its EIPs in {:.1f} s unless that passes",
              done.error().message, std::chrono::duration<double>(left(start)).count());
  }
}

} // namespace egw::cmd
