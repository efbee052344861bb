// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "api/rapidjson.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"

namespace egw::k8s {

// metav1.Status, the API server's answer when it refuses; also the object of an ERROR event.
struct ServerStatus {
  int code = 0;
  std::string reason, message;
  std::optional<Duration> retry_after; // details.retryAfterSeconds
};

// Of a Status that has been parsed; `code` where it has none.
[[nodiscard]] ServerStatus read_status(const rapidjson::Value& object, int code);
// Anything that is no Status (a proxy's page, garbage) gives its first bytes as message.
[[nodiscard]] ServerStatus parse_status(std::string_view body, int http_status);

// "update EgressGateway eg1: MESSAGE (409 Conflict)"
[[nodiscard]] Error refusal(std::string_view what, const ServerStatus& status);

} // namespace egw::k8s
