// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/chrono.hpp"
#include "base/clock.hpp"

namespace egw::k8s {

struct BackoffOptions {
  Duration minimum = std::chrono::milliseconds(100);
  Duration maximum = std::chrono::seconds(30);
};

// Doubles from minimum to maximum; each delay is drawn from its upper half, so that a thousand
// agents that lost the same API server do not come back in step.
class Backoff {
 public:
  explicit Backoff(BackoffOptions options = {}, std::uint64_t seed = random_seed());

  void at_most(Duration step) { step_ = std::min(step_, step); }
  [[nodiscard]] Duration next(); // in [step/2, step]; then the step doubles
  void reset() { step_ = options_.minimum; }

  [[nodiscard]] static std::uint64_t random_seed();

 private:
  BackoffOptions options_;
  Duration step_;
  std::uint64_t state_;
};

// A token bucket: `qps` a second on average, `burst` at once. Pure: the caller waits.
class RateLimiter {
 public:
  // qps > 0, burst >= 1
  RateLimiter(double qps, int burst);

  // Takes one token and returns how long to wait before using it: zero while there are tokens.
  // Nothing, and no token is taken, when that were longer than `longest`: callers that give up must
  // not push back those that come after them.
  [[nodiscard]] std::optional<Duration> reserve(Time now, Duration longest = Duration::max());

 private:
  double per_ns_, burst_, tokens_;
  Time last_{};
};

} // namespace egw::k8s
