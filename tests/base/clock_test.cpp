// SPDX-License-Identifier: Apache-2.0
#include "base/clock.hpp"

#include <doctest/doctest.h>

#include <chrono> // calendars
#include <random>

namespace egw {

using namespace std::chrono_literals;

namespace {

WallTime at(std::chrono::sys_days day, std::chrono::microseconds time) {
  return WallTime(day) + time;
}

} // namespace

TEST_CASE("times are written as Kubernetes writes them") {
  const WallTime t = at(2026y / 1 / 2, 3h + 4min + 5s + 678'901us);
  CHECK(rfc3339(t) == "2026-01-02T03:04:05Z");
  CHECK(rfc3339_milli(t) == "2026-01-02T03:04:05.678Z");
  CHECK(rfc3339_micro(t) == "2026-01-02T03:04:05.678901Z");
  CHECK(rfc3339_micro(WallTime{}) == "1970-01-01T00:00:00.000000Z");
  CHECK(rfc3339_micro(WallTime{} - 1us) == "1969-12-31T23:59:59.999999Z");
  CHECK(rfc3339(at(2024y / 2 / 29, 23h + 59min + 59s)) == "2024-02-29T23:59:59Z");
}

TEST_CASE("all forms of RFC 3339 are read") {
  const WallTime t = at(2026y / 1 / 2, 3h + 4min + 5s);
  CHECK(parse_rfc3339("2026-01-02T03:04:05Z") == t);
  CHECK(parse_rfc3339("2026-01-02t03:04:05z") == t);
  CHECK(parse_rfc3339("2026-01-02T03:04:05.6Z") == t + 600ms);
  CHECK(parse_rfc3339("2026-01-02T03:04:05.678901Z") == t + 678'901us);
  CHECK(parse_rfc3339("2026-01-02T03:04:05.678901999Z") == t + 678'901us);
  CHECK(parse_rfc3339("2026-01-02T03:04:05.00000000000000000000001Z") == t);
  CHECK(parse_rfc3339("2026-01-02T05:34:05+02:30") == t);
  CHECK(parse_rfc3339("2026-01-01T22:04:05.000-05:00") == t);
  CHECK(parse_rfc3339("2016-12-31T23:59:60Z") == at(2017y / 1 / 1, 0us));
  CHECK(parse_rfc3339("2024-02-29T00:00:00Z") == at(2024y / 2 / 29, 0us));
}

TEST_CASE("anything else is the epoch") {
  for (const char* text : {"",
                           "never",
                           "2026-01-02",
                           "2026-01-02T03:04:05",
                           "2026-01-02 03:04:05Z",
                           "2026-01-02T03:04:05.Z",
                           "2026-01-02T03:04:05,5Z",
                           "2026-13-02T03:04:05Z",
                           "2026-00-02T03:04:05Z",
                           "2026-02-29T03:04:05Z",
                           "2026-04-31T03:04:05Z",
                           "2026-01-00T03:04:05Z",
                           "2026-01-02T24:04:05Z",
                           "2026-01-02T03:60:05Z",
                           "2026-01-02T03:04:61Z",
                           "2026-01-02T03:04:05Z ",
                           " 2026-01-02T03:04:05Z",
                           "2026-01-02T03:04:05+0200",
                           "2026-01-02T03:04:05+24:00",
                           "2026-01-02T03:04:05+02:60",
                           "2026-1-2T03:04:05Z",
                           "+026-01-02T03:04:05Z",
                           "2026-01-02T03:04:05ZZ"}) {
    CAPTURE(text);
    CHECK(parse_rfc3339(text) == WallTime{});
  }
}

TEST_CASE("what is written is read back") {
  std::mt19937_64 random(3);
  std::uniform_int_distribution<std::int64_t> micros(-60'000'000'000'000'000,
                                                     250'000'000'000'000'000); // years 68 to 9892
  for (int i = 0; i < 500; ++i) {
    const WallTime t{std::chrono::microseconds(micros(random))};
    CAPTURE(rfc3339_micro(t));
    REQUIRE(parse_rfc3339(rfc3339_micro(t)) == t);
    REQUIRE(parse_rfc3339(rfc3339(t)) == std::chrono::floor<std::chrono::seconds>(t));
  }
}

TEST_CASE("now moves forward") {
  const Now a = now();
  const Now b = now();
  CHECK(a.steady <= b.steady);
  CHECK(a.wall > parse_rfc3339("2020-01-01T00:00:00Z"));
}

} // namespace egw
