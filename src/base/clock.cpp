// SPDX-License-Identifier: Apache-2.0
#include "base/clock.hpp"

#include <fmt/format.h>

#include <chrono> // calendars
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace egw {

namespace {

struct Civil {
  int year;
  unsigned month;
  unsigned day;
  std::int64_t hour;
  std::int64_t minute;
  std::int64_t second;
  std::int64_t micros;
};

Civil civil(WallTime t) {
  const auto day = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(t - day);
  return {static_cast<int>(date.year()),
          static_cast<unsigned>(date.month()),
          static_cast<unsigned>(date.day()),
          time.hours().count(),
          time.minutes().count(),
          time.seconds().count(),
          time.subseconds().count()};
}

std::string to_seconds(const Civil& c) {
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", c.year, c.month, c.day, c.hour,
                     c.minute, c.second);
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Reads a text from left to right; the first thing that does not fit makes everything after it
// fail.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  int number(std::size_t digits, int low, int high) {
    int value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      if (!next_is_digit()) return fail();
      value = value * 10 + take_digit();
    }
    return value < low || value > high ? fail() : value;
  }

  // One of `any`; returns which.
  char one_of(std::string_view any) {
    if (text_.empty() || any.find(text_.front()) == std::string_view::npos) {
      ok_ = false;
      return '\0';
    }
    const char c = text_.front();
    text_.remove_prefix(1);
    return c;
  }

  // The digits after a decimal point, in microseconds. What is finer is cut off.
  std::chrono::microseconds fraction() {
    if (text_.empty() || text_.front() != '.') return {};
    text_.remove_prefix(1);
    if (!next_is_digit()) ok_ = false;
    std::int64_t value = 0;
    for (std::int64_t unit = 100'000; next_is_digit(); unit /= 10) value += unit * take_digit();
    return std::chrono::microseconds(value);
  }

  [[nodiscard]] bool done() const { return ok_ && text_.empty(); }

 private:
  [[nodiscard]] bool next_is_digit() const { return !text_.empty() && is_digit(text_.front()); }

  int take_digit() {
    const int digit = text_.front() - '0';
    text_.remove_prefix(1);
    return digit;
  }

  int fail() {
    ok_ = false;
    return 0;
  }

  std::string_view text_;
  bool ok_ = true;
};

std::optional<WallTime> read_rfc3339(std::string_view text) {
  Reader in(text);
  const std::chrono::year year(in.number(4, 0, 9999));
  in.one_of("-");
  const std::chrono::month month(static_cast<unsigned>(in.number(2, 1, 12)));
  in.one_of("-");
  const std::chrono::day day(static_cast<unsigned>(in.number(2, 1, 31)));
  in.one_of("Tt");
  const std::chrono::hours hour(in.number(2, 0, 23));
  in.one_of(":");
  const std::chrono::minutes minute(in.number(2, 0, 59));
  in.one_of(":");
  // RFC 3339 allows a leap second; system_clock has none, so :60 is the second after :59.
  const std::chrono::seconds second(in.number(2, 0, 60));
  const auto micros = in.fraction();
  std::chrono::minutes offset{0};
  const char zone = in.one_of("Zz+-");
  if (zone == '+' || zone == '-') {
    offset = std::chrono::hours(in.number(2, 0, 23));
    in.one_of(":");
    offset += std::chrono::minutes(in.number(2, 0, 59));
    if (zone == '-') offset = -offset;
  }
  const std::chrono::year_month_day date(year, month, day);
  if (!in.done() || !date.ok()) return std::nullopt;
  return WallTime(std::chrono::sys_days(date)) + hour + minute + second + micros - offset;
}

} // namespace

Now now() {
  return {std::chrono::steady_clock::now(),
          std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now())};
}

std::string rfc3339(WallTime t) {
  return to_seconds(civil(t)) + "Z";
}

std::string rfc3339_milli(WallTime t) {
  const Civil c = civil(t);
  return fmt::format("{}.{:03}Z", to_seconds(c), c.micros / 1000);
}

std::string rfc3339_micro(WallTime t) {
  const Civil c = civil(t);
  return fmt::format("{}.{:06}Z", to_seconds(c), c.micros);
}

WallTime parse_rfc3339(const std::string& text) {
  return read_rfc3339(text).value_or(WallTime{});
}

} // namespace egw
