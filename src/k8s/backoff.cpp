// SPDX-License-Identifier: Apache-2.0
#include "k8s/backoff.hpp"

#include <algorithm>
#include <cmath>
#include <random>

namespace egw::k8s {

Backoff::Backoff(BackoffOptions options, std::uint64_t seed)
    : options_(options), step_(options.minimum), state_(seed) {}

std::uint64_t Backoff::random_seed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32U) | device();
}

Duration Backoff::next() {
  // splitmix64 (Steele, Lea, Flood 2014): any spread will do.
  std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
  z ^= z >> 31U;
  const auto half = static_cast<std::uint64_t>(std::max<std::int64_t>(step_.count() / 2, 0));
  const auto delay = step_ - Duration(static_cast<std::int64_t>(z % (half + 1)));
  step_ = std::min(step_ * 2, options_.maximum);
  return delay;
}

RateLimiter::RateLimiter(double qps, int burst)
    : per_ns_(qps / 1e9), burst_(burst), tokens_(burst) {}

std::optional<Duration> RateLimiter::reserve(Time now, Duration longest) {
  if (now > last_) {
    const auto passed = static_cast<double>((now - last_).count());
    tokens_ = std::min(burst_, tokens_ + passed * per_ns_);
    last_ = now;
  }
  const double left = tokens_ - 1;
  const auto wait = left >= 0 ? Duration::zero() : Duration(std::llround(-left / per_ns_));
  if (wait > std::max(longest, Duration::zero())) return std::nullopt;
  tokens_ = left;
  return wait;
}

} // namespace egw::k8s
