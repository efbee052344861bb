// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/chrono.hpp"

// What a scripted API server answers, faults included.
namespace egw::test {

// Built from left to right: Reply::stream().event("ADDED", pod).text("{\"type\":").cut()
class Reply {
 public:
  // A whole answer with its Content-Length.
  [[nodiscard]] static Reply body(int code, std::string text,
                                  std::string content_type = "application/json");
  // A Status object as Kubernetes sends it; `code` is that of the HTTP answer too.
  [[nodiscard]] static Reply status(int code, std::string_view reason, std::string_view message);
  [[nodiscard]] static Reply conflict(std::string_view message);
  [[nodiscard]] static Reply gone(std::string_view message);
  [[nodiscard]] static Reply unavailable(std::string_view message);
  // 429 with Retry-After.
  [[nodiscard]] static Reply too_many(int retry_after_seconds);
  // 200 in chunks, as a watch is answered. Without more it ends at once.
  [[nodiscard]] static Reply stream();

  // --- more of the answer, in this order
  Reply&& header(std::string name, std::string value) &&;
  // One chunk, as it is: half a line, garbage.
  Reply&& text(std::string bytes) &&;
  Reply&& line(std::string_view json) &&;
  // A line of a watch: {"type":type,"object":object}
  Reply&& event(std::string_view type, std::string_view object) &&;
  // An ERROR event with a Status, as an expired watch gets it with code 410.
  Reply&& error_event(int code, std::string_view reason, std::string_view message) &&;
  // Nothing more is sent until the test says ScriptedServer::release(name).
  Reply&& stall(std::string name) &&;
  // Single bytes with a pause between them, from here to the end.
  Reply&& slow(std::chrono::milliseconds pause) &&;

  // --- how it ends, where not in order
  // The connection is closed without the end of the body: a stream lacks its last chunk, a whole
  // answer has sent half of what its Content-Length announced.
  Reply&& cut() &&;
  // The same by a TCP reset.
  Reply&& reset() &&;
  // Open and silent until the client closes it or the server is stopped.
  Reply&& hold() &&;

 private:
  friend class Connection;
  enum class End { in_order, cut, reset, hold };
  struct Step {
    enum class Kind { text, stall, slow } kind;
    std::string value;
    std::chrono::milliseconds pause{};
  };

  int code_ = 200;
  bool chunked_ = false;
  End end_ = End::in_order;
  std::vector<std::pair<std::string, std::string>> headers_;
  std::vector<Step> steps_;
};

[[nodiscard]] std::string json_string(std::string_view text);
[[nodiscard]] std::string status_object(int code, std::string_view reason,
                                        std::string_view message);

} // namespace egw::test
