// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/meta.hpp"
#include "api/rapidjson.hpp"
#include "base/error.hpp"
#include "base/ip.hpp"

namespace egw::api {

// A place in a JSON document and the way to it, for decoding. A place that is missing or null
// leaves what is read into unchanged: Kubernetes omits empty fields. A place with another type is
// an error; the first is kept, with its path: `status.podIPs[1].ip: "x" is not an IPv4 or IPv6
// address`.
class Field {
 public:
  // `error` takes the first failure below this field; empty means none.
  Field(const rapidjson::Value& root, std::string& error) : value_(&root), error_(&error) {}

  // A member. Fields point to the one that they came from, so that one must have a name.
  [[nodiscard]] Field operator[](std::string_view key) const&;
  Field operator[](std::string_view key) const&& = delete;

  [[nodiscard]] bool present() const { return value_ != nullptr; }
  [[nodiscard]] bool is_list() const { return present() && value_->IsArray(); }
  [[nodiscard]] std::string_view key() const { return key_; }

  void read(std::string& to) const;
  void read(bool& to) const;
  void read(std::int32_t& to) const;
  void read(std::int64_t& to) const;
  void read(WallTime& to) const; // RFC 3339
  void read(Address& to) const;  // must be there: no value stands for none
  void read(Prefix& to) const;   // the same
  void read(Labels& to) const;
  void read(LabelSelector& to) const;
  void read(std::vector<Condition>& to) const;

  template <class T>
  void read(std::vector<T>& to) const {
    each([&](const Field& item) { item.read(to.emplace_back()); });
  }
  // Each item by `read_item(item, to)`.
  template <class T, class F>
  void read(std::vector<T>& to, F read_item) const {
    each([&](const Field& item) { read_item(item, to.emplace_back()); });
  }
  template <class T>
  void read(std::optional<T>& to) const {
    if (present()) read(to.emplace());
  }
  // One of the words; `words` maps each to its value.
  template <class E, std::size_t n>
  void read(E& to, const std::array<std::pair<const char*, E>, n>& words) const {
    std::string text;
    read(text);
    if (!present()) return;
    std::string known;
    for (const auto& [word, value] : words) {
      if (text == word) {
        to = value;
        return;
      }
      known += fmt::format("{}{:?}", known.empty() ? "" : ", ", std::string_view(word));
    }
    fail("is none of " + known);
  }

  // Items of a list, members of an object; nothing when the field is missing.
  template <class F>
  void each(F f) const {
    if (!present() || !expect(value_->IsArray(), "a list")) return;
    for (rapidjson::SizeType i = 0; i < value_->Size(); ++i) {
      const Field item((*value_)[i], *this, {}, static_cast<int>(i));
      if (!item.present()) item.missing();
      f(item);
    }
  }
  template <class F>
  void each_member(F f) const {
    if (!present() || !expect(value_->IsObject(), "an object")) return;
    for (const auto& m : value_->GetObject()) {
      f(Field(m.value, *this, {m.name.GetString(), m.name.GetStringLength()}, -1));
    }
  }

  // `VALUE problem`, after the path, unless something failed before.
  void fail(std::string_view problem) const;
  void missing() const;

 private:
  Field(const rapidjson::Value& value, const Field& parent, std::string_view key, int index)
      : value_(value.IsNull() ? nullptr : &value),
        parent_(&parent),
        error_(parent.error_),
        key_(key),
        index_(index) {}
  Field(const Field& parent, std::string_view key)
      : parent_(&parent), error_(parent.error_), key_(key) {}

  [[nodiscard]] bool expect(bool right_type, std::string_view type) const;
  [[nodiscard]] std::string path() const;

  const rapidjson::Value* value_ = nullptr;
  const Field* parent_ = nullptr;
  std::string* error_;
  std::string_view key_;
  int index_ = -1; // in a list
};

// apiVersion and kind where they stand (items of a list may lack them), and metadata. `kinds` are
// the names that will do.
void read_head(const Field& root, std::initializer_list<std::string_view> kinds, ObjectMeta& meta);

// Runs `read(root, object)` and turns the first failure into an error.
template <class T, class F>
[[nodiscard]] Result<T> decode_with(const rapidjson::Value& json, F read) {
  std::string error;
  T object;
  read(Field(json, error), object);
  if (!error.empty()) return Error{std::move(error)};
  return object;
}

} // namespace egw::api
