// SPDX-License-Identifier: Apache-2.0
#include "k8s/backoff.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace egw;
using namespace egw::k8s;
using namespace std::chrono_literals;

TEST_CASE("delays double up to the maximum, each from the upper half of its step") {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Backoff backoff({100ms, 1s}, seed);
    for (const auto step : {100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms}) {
      const auto delay = backoff.next();
      CHECK(delay >= step / 2);
      CHECK(delay <= step);
    }
    backoff.reset();
    CHECK(backoff.next() <= 100ms);
  }
}

TEST_CASE("delays of different seeds spread") {
  std::set<Duration> delays;
  for (std::uint64_t seed = 0; seed < 100; ++seed) delays.insert(Backoff({100ms, 1s}, seed).next());
  CHECK(delays.size() > 90);
}

TEST_CASE("rate limit: a burst at once, then one by one, and never more saved up than a burst") {
  RateLimiter limiter(10, 3);
  Time now{1h};
  for (int i = 0; i < 3; ++i) CHECK(limiter.reserve(now) == 0ns);
  CHECK(limiter.reserve(now) == 100ms);
  CHECK(limiter.reserve(now) == 200ms);
  now += 300ms; // three came in: two were promised, one is there
  CHECK(limiter.reserve(now) == 0ns);
  CHECK(limiter.reserve(now) > 99ms);
  now += 1h;
  for (int i = 0; i < 3; ++i) CHECK(limiter.reserve(now) == 0ns);
  CHECK(limiter.reserve(now) == 100ms);
  CHECK(limiter.reserve(now - 1min) == 200ms); // another thread's clock reading came late
}

TEST_CASE("rate limit: who would wait too long takes no one's turn") {
  RateLimiter limiter(10, 1);
  const Time now{1h};
  CHECK(limiter.reserve(now) == 0ns);
  for (int i = 0; i < 1000; ++i) CHECK_FALSE(limiter.reserve(now, 50ms));
  CHECK(limiter.reserve(now, 100ms) == 100ms);
}
