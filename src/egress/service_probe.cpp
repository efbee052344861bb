// SPDX-License-Identifier: Apache-2.0
#include "egress/service_probe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

namespace egw::egress {

namespace {

// Somebody may grant the right meanwhile, or the API server be upgraded.
constexpr Duration kFirstWait = std::chrono::seconds(10), kLongestWait = std::chrono::minutes(10);

} // namespace

Result<Refused> range_in_refusal(std::string_view message, Family family) {
  constexpr std::string_view kRange = "range of valid IPs is ";
  if (const auto at = message.find(kRange); at != std::string_view::npos) {
    std::string_view rest = message.substr(at + kRange.size());
    rest = rest.substr(0, rest.find_first_of(" ,;()\"'\r\n"));
    while (rest.ends_with('.')) rest.remove_suffix(1);
    const auto prefix = Prefix::parse_strict(rest);
    if (prefix && prefix->family() == family) return Refused{*prefix};
  }
  const char* name = family == Family::V4 ? "IPv4" : "IPv6";
  if (message.find(fmt::format("{} is not configured on this cluster", name)) !=
      std::string_view::npos) {
    return Refused{};
  }
  return Error{fmt::format("the API server's refusal of a Service names no range: {}", message)};
}

bool ServiceProbe::ask(bool wanted, Time now) {
  if (!wanted) { // something better was found: what was told may be old when it is gone
    if (!under_way_) *this = {};
    return false;
  }
  if (under_way_ || (told_ && told_->problem.empty())) return false;
  if (not_before_ && now < *not_before_) return false;
  under_way_ = true;
  return true;
}

void ServiceProbe::answered(ServiceRangesTold told, Time now) {
  under_way_ = false;
  if (told.problem.empty()) {
    failures_ = 0;
    not_before_.reset();
  } else {
    const int shift = std::min(failures_++, 16);
    not_before_ = now + std::min(kLongestWait, kFirstWait * (std::int64_t{1} << shift));
  }
  told_ = std::move(told);
}

std::optional<Time> ServiceProbe::next() const {
  if (under_way_) return std::nullopt;
  return not_before_;
}

} // namespace egw::egress
