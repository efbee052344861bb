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

ServerStatus read_status(const rapidjson::Value& object, int code) {
  ServerStatus status{code, text(&object, "reason"), text(&object, "message"), std::nullopt};
  if (status.message.empty()) status.message = "no reason given";
  const auto* own = member(object, "code");
  if (own != nullptr && own->IsInt()) status.code = own->GetInt();
  const auto* details = member(object, "details");
  const auto* seconds = details == nullptr ? nullptr : member(*details, "retryAfterSeconds");
  if (seconds != nullptr && seconds->IsInt() && seconds->GetInt() > 0) {
    status.retry_after = std::chrono::seconds(std::min(seconds->GetInt(), kMaxRetryAfter));
  }
  return status;
}

ServerStatus parse_status(std::string_view body, int http_status) {
  rapidjson::Document document;
  if (!api::parse_json(document, body) || !document.IsObject() ||
      text(&document, "kind") != "Status") {
    return {http_status, "", excerpt(body), std::nullopt};
  }
  auto status = read_status(document, http_status);
  if (http_status != 200) status.code = http_status; // which is what the server acted on
  return status;
}

Error refusal(std::string_view what, const ServerStatus& status) {
  return {fmt::format("{}: {} ({}{}{})", what, status.message, status.code,
                      status.reason.empty() ? "" : " ", status.reason),
          status.code};
}

} // namespace egw::k8s
