// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/log.hpp"

// Values of options that several roles have.
namespace egw::cmd {

// "15s", "500ms", "2m": a whole number of milliseconds, seconds or minutes, more than zero.
[[nodiscard]] Result<Duration> parse_duration(const std::string& text);
// "debug", "info", "warn" or "error".
[[nodiscard]] Result<log::Level> parse_level(const std::string& text);

// "HOST:PORT", "[IPV6]:PORT" or ":PORT" (all addresses). Port 0: a free one.
struct ListenAddress {
  std::string host; // an address
  int port = 0;
  bool operator==(const ListenAddress&) const = default;
};
[[nodiscard]] Result<ListenAddress> parse_listen_address(const std::string& text);

// Takes parsed values, and keeps the first error, with the option's name.
class OptionTaker {
 public:
  template <class T, class To>
  void take(const char* option, const Result<T>& result, To& to) {
    if (result) {
      to = static_cast<To>(*result);
    } else if (!error) {
      error = Error{fmt::format("{}: {}", option, result.error().message)};
    }
  }
  std::optional<Error> error;
};

} // namespace egw::cmd
