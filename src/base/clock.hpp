// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/chrono.hpp"

namespace egw {

// Everything that waits or measures takes a Time as an argument, so that tests need no sleep.
// Steady time is CLOCK_BOOTTIME-like in meaning but taken from CLOCK_MONOTONIC: a paused VM does
// not advance it.
using Duration = std::chrono::nanoseconds;
using Time = std::chrono::time_point<std::chrono::steady_clock, Duration>;
// Wall time, for what people and the API server read. Never used to decide how long something took.
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

struct Now {
  Time steady;
  WallTime wall;
};

[[nodiscard]] Now now();

// RFC 3339 in UTC as Kubernetes writes it: seconds for metav1.Time, microseconds for MicroTime; the
// log has milliseconds. What is finer is cut off. Years 0 to 9999.
[[nodiscard]] std::string rfc3339(WallTime t);
[[nodiscard]] std::string rfc3339_milli(WallTime t);
[[nodiscard]] std::string rfc3339_micro(WallTime t);
// Both forms, any number of fractional digits, "Z" or an offset; else the epoch (WallTime{}).
[[nodiscard]] WallTime parse_rfc3339(const std::string& text);

} // namespace egw
