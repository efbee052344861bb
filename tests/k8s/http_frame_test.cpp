// SPDX-License-Identifier: Apache-2.0
#include "k8s/http_frame.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>

using namespace egw::k8s;
using State = HttpFrame::State;

namespace {

constexpr std::size_t kMaxBody = 100;

int refusal(const std::string& headers) {
  const auto frame =
      frame_request("POST /validate HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n\r\n", kMaxBody);
  return frame.state == State::Refused ? frame.status : 0;
}

} // namespace

TEST_CASE("a request is whole with its last byte, and not before") {
  const std::string head = "POST /a HTTP/1.1\r\nHost: a\r\ncontent-LENGTH:  5 \r\n\r\n";
  const std::string whole = head + "12345";
  for (std::size_t n = 0; n < head.size(); ++n) {
    CHECK(frame_request(whole.substr(0, n), kMaxBody) == HttpFrame{});
  }
  for (std::size_t n = head.size(); n < whole.size(); ++n) {
    CHECK(frame_request(whole.substr(0, n), kMaxBody) ==
          HttpFrame{State::Partial, whole.size(), 0});
  }
  CHECK(frame_request(whole, kMaxBody) == HttpFrame{State::Whole, whole.size(), 0});
  CHECK(frame_request(whole + "POST", kMaxBody) == HttpFrame{State::Whole, whole.size(), 0});
}

TEST_CASE("without Content-Length there is no body") {
  const std::string text = "GET / HTTP/1.0\r\n\r\n";
  CHECK(frame_request(text + "x", kMaxBody) == HttpFrame{State::Whole, text.size(), 0});
}

TEST_CASE("what is no request, or too long, is refused") {
  for (const char* line : {"", "POST", "POST /a", "POST  HTTP/1.1", " POST /a HTTP/1.1",
                           "P@ST /a HTTP/1.1", "POST /a HTTP/2.0", "\x16\x03\x01 /a HTTP/1.1"}) {
    CHECK_MESSAGE(frame_request(fmt::format("{}\r\nHost: a\r\n\r\n", line), kMaxBody).status == 400,
                  line);
  }
  CHECK(refusal("Content-Length: 100") == 0);
  CHECK(refusal("Content-Length: 101") == 413);
  CHECK(refusal("Content-Length: 99999999999999999999999999") == 413);
  for (const char* value : {"", "-1", "+1", "0x1", "1 2", "1,1", "a"}) {
    CHECK_MESSAGE(refusal(fmt::format("Content-Length: {}", value)) == 400, value);
  }
  CHECK(refusal("Content-Length: 1\r\nContent-Length: 1") == 400);
  CHECK(refusal("Content-Length : 1") == 400);
  CHECK(refusal(" Content-Length: 1") == 400);
  CHECK(refusal("no colon") == 400);
  CHECK(refusal("Transfer-Encoding: chunked") == 411);
  CHECK(refusal("Expect: 100-continue") == 417);
  CHECK(frame_request(std::string(kMaxHead - 1, 'a'), kMaxBody) == HttpFrame{});
  CHECK(frame_request(std::string(kMaxHead, 'a'), kMaxBody).status == 431);
  const auto late = "POST /a HTTP/1.1\r\nA: " + std::string(kMaxHead, 'a') + "\r\n\r\n";
  CHECK(frame_request(late, kMaxBody).status == 431);
}
