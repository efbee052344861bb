// SPDX-License-Identifier: Apache-2.0
#include "k8s/status.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "api/json_parse.hpp"
#include "k8s/json_value.hpp"

namespace egw::k8s {
namespace {

constexpr int kMaxRetryAfter = 60; // seconds: no server may silence us for longer

// What a stranger sent goes into logs and conditions: short, printable, one line.
std::string excerpt(std::string_view body) {
  std::string out(body.substr(0, 200));
  std::replace_if(out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, ' ');
  out.erase(out.find_last_not_of(' ') + 1);
  return out.empty() ? "no reason given" : out;
}

} // namespace

ServerStatus parse_status(std::string_view body, int http_status) {
  ServerStatus status;
  status.code = http_status;
  rapidjson::Document document;
  if (!api::parse_json(document, body) || !document.IsObject() ||
      text(&document, "kind") != "Status") {
    status.message = excerpt(body);
    return status;
  }
  status.reason = text(&document, "reason");
  status.message = text(&document, "message");
  if (status.message.empty()) status.message = "no reason given";
  const auto* code = member(document, "code");
  if (http_status == 200 && code != nullptr && code->IsInt()) status.code = code->GetInt();
  const auto* details = member(document, "details");
  const auto* seconds = details == nullptr ? nullptr : member(*details, "retryAfterSeconds");
  if (seconds != nullptr && seconds->IsInt() && seconds->GetInt() > 0) {
    status.retry_after = std::chrono::seconds(std::min(seconds->GetInt(), kMaxRetryAfter));
  }
  return status;
}

Error refusal(std::string_view what, const ServerStatus& status) {
  return {fmt::format("{}: {} ({}{}{})", what, status.message, status.code,
                      status.reason.empty() ? "" : " ", status.reason),
          status.code};
}

} // namespace egw::k8s
