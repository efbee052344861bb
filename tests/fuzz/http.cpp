// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <string>

#include "fuzz/fuzz.hpp"
#include "k8s/http_frame.hpp"
#include "k8s/webhook_http.hpp"

// Requests to the webhook: where one ends, and what the HTTP behind makes of it.
using namespace egw;
using namespace egw::k8s;
using egw::test::require;
using State = HttpFrame::State;

namespace {

constexpr std::size_t kMaxBody = 4096;

std::optional<std::string> handled; // the body that a handler saw last

WebhookHttp& server() {
  static WebhookLimits limits = [] {
    WebhookLimits l;
    l.max_body = kMaxBody;
    return l;
  }();
  static WebhookHttp http({{"/validate",
                            [](const std::string& body) {
                              handled = body;
                              return WebhookAnswer{200, body};
                            }}},
                          limits);
  return http;
}

// A server that reads on comes to the same end: what was refused stays so, a size that is known
// stays, and a request is whole with its last byte.
HttpFrame framed(std::string_view buffer) {
  const HttpFrame frame = frame_request(buffer, kMaxBody);
  HttpFrame before = frame_request(buffer.substr(0, buffer.size() / 2), kMaxBody);
  if (before.state == State::Refused) require(frame == before, "a refusal stays");
  if (before.state == State::Whole) require(frame == before, "a whole request stays");
  if (before.state == State::Partial && before.size > 0)
    require(frame.size == before.size, "a size stays");
  if (frame.state != State::Whole) return frame;
  require(frame.size <= buffer.size(), "what is whole is there");
  require(frame_request(buffer.substr(0, frame.size), kMaxBody) == frame, "with its last byte");
  before = frame_request(buffer.substr(0, frame.size - 1), kMaxBody);
  require(before.state == State::Partial, "and not before");
  return frame;
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view buffer = test::text_of(data, size);
  const HttpFrame frame = framed(buffer);
  if (frame.state != State::Whole) return 0;
  const std::string request(buffer.substr(0, frame.size)); // an allocation of its own
  handled.reset();
  const auto reply = server().answer(request, false);
  if (reply.bytes.empty()) {
    require(reply.last, "who gets no answer is not kept");
    return 0;
  }
  require(reply.bytes.starts_with("HTTP/1.1 "), "an answer is HTTP");
  require(reply.status >= 100 && reply.status <= 599, "with a status");
  if (!handled) return 0;
  // Where the two disagreed, a client could hide one request in the body of another.
  const auto head = request.find("\r\n\r\n") + 4;
  require(*handled == std::string_view(request).substr(head), "a handler sees the frame's body");
  require(reply.bytes.ends_with(*handled), "and its answer is sent whole");
  return 0;
}
