// SPDX-License-Identifier: Apache-2.0
#include "cmd/options.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <string_view>
#include <utility>

#include "base/ip.hpp"

namespace egw::cmd {

namespace {

bool parse_number(std::string_view text, std::int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

} // namespace

Result<Duration> parse_duration(const std::string& text) {
  constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {
      {"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}};
  for (const auto& [unit, ns] : kUnits) {
    std::int64_t value = 0;
    if (!text.ends_with(unit)) continue;
    if (!parse_number(std::string_view(text).substr(0, text.size() - unit.size()), value)) continue;
    if (value < 1 || value > 1'000'000) break;
    return Duration(value * ns);
  }
  return Error{fmt::format("'{}' is no duration: write for example 500ms, 15s or 2m", text)};
}

Result<log::Level> parse_level(const std::string& text) {
  if (text == "debug") return log::Level::Debug;
  if (text == "info") return log::Level::Info;
  if (text == "warn") return log::Level::Warn;
  if (text == "error") return log::Level::Error;
  return Error{fmt::format("'{}' is no log level: write debug, info, warn or error", text)};
}

Result<ListenAddress> parse_listen_address(const std::string& text) {
  const auto wrong = [&] {
    return Error{
        fmt::format("'{}' is no address to listen on: write for example :5820, "
                    "127.0.0.1:5820 or [::1]:5820",
                    text)};
  };
  const auto colon = text.rfind(':');
  if (colon == std::string::npos) return wrong();
  std::int64_t port = 0;
  if (!parse_number(std::string_view(text).substr(colon + 1), port) || port < 0 || port > 65535) {
    return wrong();
  }
  std::string host = text.substr(0, colon);
  if (host.empty()) return ListenAddress{"::", static_cast<int>(port)};
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  const auto address = Address::parse(host);
  if (!address || (address->family == Family::V6) != brackets) return wrong();
  return ListenAddress{host, static_cast<int>(port)};
}

} // namespace egw::cmd
