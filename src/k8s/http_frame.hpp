// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace egw::k8s {

inline constexpr std::size_t kMaxHead = 16U << 10U; // of a request

// Where the first HTTP/1.1 request of a buffer ends (RFC 9112): a server that knows this before it
// reads needs no thread that waits for the rest.
struct HttpFrame {
  enum class State : std::uint8_t { Partial, Whole, Refused };
  State state = State::Partial;
  std::size_t size = 0; // Whole: of head and body; Partial: the same once the head is there, else 0
  int status = 0;       // Refused: the answer's
  bool operator==(const HttpFrame&) const = default;
};

// Refused: 400 no request, 411 a body without Content-Length, 413 a longer body than max_body,
// 417 an Expect, 431 a longer head than kMaxHead.
[[nodiscard]] HttpFrame frame_request(std::string_view buffer, std::size_t max_body);

} // namespace egw::k8s
