// SPDX-License-Identifier: Apache-2.0
#include "k8s/status.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "api/json_parse.hpp"

namespace egw::k8s {
namespace {

std::string text(const rapidjson::Value& object, const char* name) {
  const auto i = object.FindMember(name);
  if (i == object.MemberEnd() || !i->value.IsString()) return {};
  return {i->value.GetString(), i->value.GetStringLength()};
}

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
      text(document, "kind") != "Status") {
    status.message = excerpt(body);
    return status;
  }
  status.reason = text(document, "reason");
  status.message = text(document, "message");
  if (status.message.empty()) status.message = "no reason given";
  const auto code = document.FindMember("code");
  if (http_status == 200 && code != document.MemberEnd() && code->value.IsInt()) {
    status.code = code->value.GetInt();
  }
  const auto details = document.FindMember("details");
  if (details != document.MemberEnd() && details->value.IsObject()) {
    const auto seconds = details->value.FindMember("retryAfterSeconds");
    if (seconds != details->value.MemberEnd() && seconds->value.IsInt() &&
        seconds->value.GetInt() > 0) {
      status.retry_after = std::chrono::seconds(std::min(seconds->value.GetInt(), 3600));
    }
  }
  return status;
}

Error refusal(std::string_view what, const ServerStatus& status) {
  return {fmt::format("{}: {} ({}{}{})", what, status.message, status.code,
                      status.reason.empty() ? "" : " ", status.reason),
          status.code};
}

} // namespace egw::k8s
