// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/json.hpp"
#include "api/meta.hpp"
#include "api/rapidjson.hpp"

namespace egw::api {

// Writes one JSON object, in the order of the calls, without the fields that are empty: "", 0,
// false, the epoch, no items, and objects in which nothing was written.
class JsonWriter {
 public:
  void text(std::string_view key, std::string_view value);
  void number(std::string_view key, std::int64_t value);
  void flag(std::string_view key, bool value);
  void time(std::string_view key, WallTime value);       // metav1.Time: whole seconds
  void micro_time(std::string_view key, WallTime value); // metav1.MicroTime
  void texts(std::string_view key, const std::vector<std::string>& values);
  void labels(std::string_view key, const Labels& values);
  void conditions(const std::vector<Condition>& values); // the field "conditions"

  // Written also when empty, where empty means something else than missing.
  void always_text(std::string_view key, std::string_view value);
  void always_number(std::string_view key, std::int64_t value);
  void always_flag(std::string_view key, bool value);
  void always_texts(std::string_view key, const std::vector<std::string>& values);
  void selector(std::string_view key, const LabelSelector& value);

  template <class F>
  void object(std::string_view key, F members) {
    pending_.push_back(key);
    const std::size_t mine = pending_.size();
    members();
    if (pending_.size() == mine) {
      pending_.pop_back(); // nothing was written: the object never began
    } else {
      json_.EndObject();
    }
  }
  template <class F>
  void always_object(std::string_view key, F members) {
    begin(key);
    json_.StartObject();
    members();
    json_.EndObject();
  }
  // A list whose items `write` puts out by item().
  template <class Items, class F>
  void list(std::string_view key, const Items& items, F write) {
    if (items.empty()) return;
    begin(key);
    json_.StartArray();
    for (const auto& x : items) write(x);
    json_.EndArray();
  }
  void item(std::string_view value);
  // A list of objects whose members `write` puts out.
  template <class Items, class F>
  void objects(std::string_view key, const Items& items, F write) {
    list(key, items, [&](const auto& x) {
      json_.StartObject();
      write(x);
      json_.EndObject();
    });
  }

  template <class F>
  [[nodiscard]] static std::string document(F members) {
    JsonWriter w;
    w.json_.StartObject();
    members(w);
    w.json_.EndObject();
    return {w.buffer_.GetString(), w.buffer_.GetSize()};
  }

 private:
  JsonWriter() : json_(buffer_) {}
  void begin(std::string_view key); // opens what is pending, then writes the key
  void put(std::string_view value);

  rapidjson::StringBuffer buffer_;
  rapidjson::Writer<rapidjson::StringBuffer> json_;
  std::vector<std::string_view> pending_; // objects entered and not yet begun
};

// The first of the words that Field::read takes for this value.
template <class E, std::size_t n>
[[nodiscard]] const char* word_of(E value, const std::array<std::pair<const char*, E>, n>& words) {
  for (const auto& [word, v] : words) {
    if (v == value) return word;
  }
  return "";
}

void write_type(JsonWriter& w, const Resource& resource); // apiVersion, kind
void write_meta(JsonWriter& w, const ObjectMeta& meta);   // what a client may write

template <class F>
[[nodiscard]] std::string encode_object(const Resource& resource, const ObjectMeta& meta, F rest) {
  return JsonWriter::document([&](JsonWriter& w) {
    write_type(w, resource);
    write_meta(w, meta);
    rest(w);
  });
}

} // namespace egw::api
