// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace egw::k8s {

// Cuts a list as the API server sends it ({"kind":..,"metadata":{..},"items":[{..},{..}]}) into its
// objects while it arrives, so that memory is needed for one object and never for the list. It
// finds where values begin and end and leaves their syntax to the parser that gets them.
class ListSplitter {
 public:
  // One element of "items"; may be changed in place, valid during the call.
  using Item = std::function<void(char* begin, std::size_t size)>;
  // Any other member of the list, whole.
  using Member = std::function<void(std::string_view name, char* begin, std::size_t size)>;
  ListSplitter(Item item, Member member) : item_(std::move(item)), member_(std::move(member)) {}

  // false: this is no list (then and ever after); error() says why.
  [[nodiscard]] bool feed(const char* data, std::size_t size);
  [[nodiscard]] bool complete() const { return state_ == State::End; } // the closing brace came
  // Why what came is no whole list; empty if it is one. `version` is its resourceVersion. Anything
  // else that is answered with 200 must not pass for a list of nothing, which empties a cache.
  [[nodiscard]] std::string problem(std::string_view version) const;
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  enum class State { Start, Name, InName, Colon, Value, InValue, Items, Item, End, Bad };
  bool step(char c);
  bool value_byte(char c); // true when the value is complete with this byte
  bool begin_value(char c, State next);
  bool fail(const char* why);

  Item item_;
  Member member_;
  State state_ = State::Start;
  std::string name_, value_, error_;
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false, scalar_ = false;
  bool items_seen_ = false; // "items", also null, as an empty list of Go may be
};

// Cuts a stream into its lines (a watch sends one event a line).
class LineSplitter {
 public:
  using Line = std::function<bool(char* begin, std::size_t size)>; // false: enough
  explicit LineSplitter(Line line) : line_(std::move(line)) {}
  // false: a line said enough, or is longer than any object may be (then overlong()).
  [[nodiscard]] bool feed(const char* data, std::size_t size);
  [[nodiscard]] bool overlong() const { return overlong_; }
  [[nodiscard]] bool in_line() const { return !rest_.empty(); }

 private:
  Line line_;
  std::string rest_;
  bool overlong_ = false;
};

// No object of Kubernetes is larger than this (etcd refuses requests over 1.5 MiB; JSON of it may
// grow).
inline constexpr std::size_t kMaxObject = 16U << 20U;

} // namespace egw::k8s
