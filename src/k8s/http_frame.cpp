// SPDX-License-Identifier: Apache-2.0
#include "k8s/http_frame.hpp"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>

namespace egw::k8s {
namespace {

constexpr HttpFrame refused(int status) {
  return {HttpFrame::State::Refused, 0, status};
}

bool is_name(std::string_view text, std::string_view lower) {
  return std::ranges::equal(text, lower, [](char c, char l) {
    return c == l || (c >= 'A' && c <= 'Z' && c - 'A' + 'a' == l);
  });
}

// RFC 9110, 5.6.2: no blank before the colon, of which programs think differently.
bool is_token(std::string_view text) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kOthers.find(c) != std::string_view::npos;
  });
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string_view take_line(std::string_view& text) {
  const auto end = text.find("\r\n");
  const auto line = text.substr(0, end);
  text.remove_prefix(std::min(line.size() + 2, text.size()));
  return line;
}

bool is_request_line(std::string_view line) {
  const auto one = line.find(' '), two = line.rfind(' ');
  return one != std::string_view::npos && two > one + 1 && is_token(line.substr(0, one)) &&
         line.substr(two + 1).starts_with("HTTP/1.");
}

// The body's size, or the status of a refusal.
HttpFrame read_head(std::string_view head, std::size_t max_body) {
  if (!is_request_line(take_line(head))) return refused(400);
  std::optional<std::size_t> length;
  while (!head.empty()) {
    const auto line = take_line(head);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return refused(400);
    const auto name = line.substr(0, colon), value = trimmed(line.substr(colon + 1));
    if (is_name(name, "transfer-encoding")) return refused(411);
    if (is_name(name, "expect")) return refused(417);
    if (!is_name(name, "content-length")) continue;
    std::size_t size = 0;
    const auto* const begin = std::to_address(value.begin());
    const auto* const end = begin + value.size();
    const auto [stop, error] = std::from_chars(begin, end, size);
    if (length || value.empty() || stop != end || error == std::errc::invalid_argument) {
      return refused(400);
    }
    if (error != std::errc() || size > max_body) return refused(413);
    length = size;
  }
  return {HttpFrame::State::Partial, length.value_or(0), 0};
}

} // namespace

HttpFrame frame_request(std::string_view buffer, std::size_t max_body) {
  constexpr std::string_view kEnd = "\r\n\r\n";
  const auto end = buffer.substr(0, kMaxHead).find(kEnd);
  if (end == std::string_view::npos) {
    return buffer.size() < kMaxHead ? HttpFrame{} : refused(431);
  }
  HttpFrame frame = read_head(buffer.substr(0, end), max_body);
  if (frame.state == HttpFrame::State::Refused) return frame;
  frame.size += end + kEnd.size();
  if (buffer.size() >= frame.size) frame.state = HttpFrame::State::Whole;
  return frame;
}

} // namespace egw::k8s
