// SPDX-License-Identifier: Apache-2.0
#include "reply.hpp"

#include <cstdio>

namespace egw::test {

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
      out += escaped;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string status_object(int code, std::string_view reason, std::string_view message) {
  return R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":)" +
         json_string(message) + R"(,"reason":)" + json_string(reason) + R"(,"code":)" +
         std::to_string(code) + "}";
}

Reply Reply::body(int code, std::string text, std::string content_type) {
  Reply reply;
  reply.code_ = code;
  reply.headers_.emplace_back("Content-Type", std::move(content_type));
  reply.steps_.push_back({Step::Kind::text, std::move(text)});
  return reply;
}

Reply Reply::status(int code, std::string_view reason, std::string_view message) {
  return body(code, status_object(code, reason, message) + "\n");
}

Reply Reply::conflict(std::string_view message) {
  return status(409, "Conflict", message);
}

Reply Reply::gone(std::string_view message) {
  return status(410, "Expired", message);
}

Reply Reply::unavailable(std::string_view message) {
  return status(503, "ServiceUnavailable", message);
}

Reply Reply::too_many(int retry_after_seconds) {
  return status(429, "TooManyRequests", "Too many requests, please try again later.")
      .header("Retry-After", std::to_string(retry_after_seconds));
}

Reply Reply::stream() {
  Reply reply;
  reply.chunked_ = true;
  reply.headers_.emplace_back("Content-Type", "application/json");
  return reply;
}

Reply&& Reply::header(std::string name, std::string value) && {
  headers_.emplace_back(std::move(name), std::move(value));
  return std::move(*this);
}

Reply&& Reply::text(std::string bytes) && {
  steps_.push_back({Step::Kind::text, std::move(bytes)});
  return std::move(*this);
}

Reply&& Reply::line(std::string_view json) && {
  return std::move(*this).text(std::string(json) + "\n");
}

Reply&& Reply::event(std::string_view type, std::string_view object) && {
  return std::move(*this).line("{\"type\":" + json_string(type) +
                               ",\"object\":" + std::string(object) + "}");
}

Reply&& Reply::error_event(int code, std::string_view reason, std::string_view message) && {
  return std::move(*this).event("ERROR", status_object(code, reason, message));
}

Reply&& Reply::stall(std::string name) && {
  steps_.push_back({Step::Kind::stall, std::move(name)});
  return std::move(*this);
}

Reply&& Reply::slow(std::chrono::milliseconds pause) && {
  steps_.push_back({Step::Kind::slow, {}, pause});
  return std::move(*this);
}

Reply&& Reply::cut() && {
  end_ = End::cut;
  return std::move(*this);
}

Reply&& Reply::reset() && {
  end_ = End::reset;
  return std::move(*this);
}

Reply&& Reply::hold() && {
  end_ = End::hold;
  return std::move(*this);
}

} // namespace egw::test
