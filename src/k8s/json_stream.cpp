// SPDX-License-Identifier: Apache-2.0
#include "k8s/json_stream.hpp"

#include <algorithm>
#include <cstring>

namespace egw::k8s {
namespace {

bool blank(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

} // namespace

bool ListSplitter::fail(const char* why) {
  state_ = State::Bad;
  error_ = why;
  return false;
}

std::string ListSplitter::problem(std::string_view version) const {
  if (!error_.empty()) return error_;
  if (!complete()) return "it is incomplete";
  if (!items_seen_) return "it has no items";
  return version.empty() ? "it has no resourceVersion" : "";
}

bool ListSplitter::begin_value(char c, State next) {
  value_.clear();
  depth_ = 0;
  in_string_ = escaped_ = false;
  scalar_ = c != '{' && c != '[' && c != '"';
  state_ = next;
  return true;
}

bool ListSplitter::value_byte(char c) {
  value_ += c;
  if (in_string_) {
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
    } else if (c == '"') {
      in_string_ = false;
      return depth_ == 0;
    }
    return false;
  }
  switch (c) {
    case '"':
      in_string_ = true;
      return false;
    case '{':
    case '[':
      ++depth_;
      return false;
    case '}':
    case ']':
      return --depth_ == 0;
    default:
      return false;
  }
}

bool ListSplitter::step(char c) {
  switch (state_) {
    case State::Start:
      if (blank(c)) return true;
      if (c != '{') return fail("it does not begin with {");
      state_ = State::Name;
      return true;
    case State::Name:
      if (blank(c) || c == ',') return true;
      if (c == '}') return state_ = State::End, true;
      if (c != '"') return fail("the name of a member is missing");
      name_.clear();
      escaped_ = false;
      state_ = State::InName;
      return true;
    case State::InName:
      if (c == '"' && !escaped_) {
        state_ = State::Colon;
      } else if (name_.size() > 256) {
        return fail("a member's name is too long");
      } else {
        escaped_ = c == '\\' && !escaped_;
        name_ += c;
      }
      return true;
    case State::Colon:
      if (blank(c)) return true;
      if (c != ':') return fail("a colon is missing");
      state_ = State::Value;
      items_seen_ = items_seen_ || name_ == "items";
      return true;
    case State::Value:
      if (blank(c)) return true;
      if (name_ == "items" && c == '[') return state_ = State::Items, true;
      begin_value(c, State::InValue);
      [[fallthrough]];
    case State::InValue:
      if (scalar_ && (c == ',' || c == '}' || blank(c))) {
        member_(name_, value_.data(), value_.size());
        state_ = c == '}' ? State::End : State::Name;
      } else if (value_byte(c) && !scalar_) {
        member_(name_, value_.data(), value_.size());
        state_ = State::Name;
      }
      break;
    case State::Items:
      if (blank(c) || c == ',') return true;
      if (c == ']') return state_ = State::Name, true;
      if (c != '{') return fail("an item is not an object");
      begin_value(c, State::Item);
      [[fallthrough]];
    case State::Item:
      if (value_byte(c)) {
        item_(value_.data(), value_.size());
        state_ = State::Items;
      }
      break;
    case State::End:
      return blank(c) || fail("something follows the list");
    case State::Bad:
      return false;
  }
  return value_.size() <= kMaxObject || fail("an object is too large");
}

bool ListSplitter::feed(const char* data, std::size_t size) {
  for (const char* end = data + size; data != end; ++data) {
    // Most bytes are inside strings of items: take them in one go.
    if (state_ == State::Item && in_string_ && !escaped_) {
      const auto* stop = std::find_if(data, end, [](char c) { return c == '"' || c == '\\'; });
      value_.append(data, stop);
      data = stop;
      if (data == end) break;
    }
    if (!step(*data)) return false;
  }
  return value_.size() <= kMaxObject || fail("an object is too large");
}

bool LineSplitter::feed(const char* data, std::size_t size) {
  const char* end = data + size;
  while (data != end) {
    const auto* newline =
        static_cast<const char*>(std::memchr(data, '\n', static_cast<std::size_t>(end - data)));
    const char* stop = newline == nullptr ? end : newline;
    rest_.append(data, stop);
    if (rest_.size() > kMaxObject) return overlong_ = true, false;
    if (newline == nullptr) break;
    data = newline + 1;
    if (rest_.empty()) continue;
    const bool more = line_(rest_.data(), rest_.size());
    rest_.clear();
    if (!more) return false;
  }
  return true;
}

} // namespace egw::k8s
