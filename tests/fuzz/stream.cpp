// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "api/json_parse.hpp"
#include "fuzz/fuzz.hpp"
#include "fuzz/json.hpp"
#include "k8s/json_stream.hpp"
#include "k8s/json_value.hpp"

// What an API server streams: lines of a watch, and lists cut into their items while they arrive.
// The first byte says in what pieces the rest comes.
using namespace egw;
using namespace egw::k8s;
using egw::test::require;

namespace {

void feed(auto& splitter, std::string_view text, std::size_t step) {
  for (std::size_t at = 0; at < text.size(); at += step) {
    const std::string piece(text.substr(at, step)); // an allocation of its own
    if (!splitter.feed(piece.data(), piece.size())) return;
  }
}

// One event of a watch, as the reflector reads it.
void event(std::string line) {
  rapidjson::Document document;
  if (!api::parse_json_in_situ(document, line.data())) return;
  const auto* object = member(document, "object");
  (void)text(&document, "type");
  if (object == nullptr) return;
  const ObjectHead head = object_head(*object);
  require(head.key.to_string().size() >= head.key.name.size(), "an object has a key");
}

void lines(std::string_view text, std::size_t step) {
  std::vector<std::string> got, expected;
  LineSplitter splitter([&](char* begin, std::size_t size) {
    require(begin[size] == '\0', "in-situ parsing finds an end");
    got.emplace_back(begin, size);
    return true;
  });
  feed(splitter, text, step);
  for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    if (end > 0) expected.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  require(got == expected, "lines are lines, in whatever pieces they come");
  require(splitter.in_line() == !text.empty(), "the last one is under way");
  for (std::string& line : got) event(std::move(line));
}

struct Split {
  std::vector<std::string> items;
  std::vector<std::pair<std::string, std::string>> members;
  std::string error;
  bool complete = false;
  bool operator==(const Split&) const = default;
};

Split split(std::string_view text, std::size_t step) {
  Split out;
  ListSplitter splitter(
      [&](char* begin, std::size_t size) {
        require(begin[size] == '\0', "in-situ parsing finds an end");
        out.items.emplace_back(begin, size);
      },
      [&](std::string_view name, char* begin, std::size_t size) {
        out.members.emplace_back(name, std::string(begin, size));
      });
  feed(splitter, text, step);
  out.error = splitter.error();
  out.complete = splitter.complete();
  require(!out.complete || out.error.empty(), "a list is whole or wrong");
  return out;
}

// A list that is JSON is cut where the parser of the whole text finds its parts.
void compare_with_parser(std::string_view text, const Split& list) {
  rapidjson::Document document;
  // A zero byte ends a text for the parser, and is none of a list's.
  if (text.find('\0') != std::string_view::npos) return;
  if (!api::parse_json(document, text) || !document.IsObject()) return;
  std::vector<const rapidjson::Value*> items;
  std::size_t others = 0;
  for (const auto& m : document.GetObject()) {
    const std::string_view name(m.name.GetString(), m.name.GetStringLength());
    // Names with escapes are left as they are, and no list has such, nor longer ones.
    const bool plain = std::ranges::all_of(name, [](char c) { return c >= 'A' && c <= 'z'; });
    if (!plain || name.find('\\') != std::string_view::npos || name.size() > 64) return;
    if (name != "items" || !m.value.IsArray()) {
      ++others;
      continue;
    }
    for (const auto& item : m.value.GetArray()) {
      if (!item.IsObject()) return;
      items.push_back(&item);
    }
  }
  if (text.find("\\u") != std::string_view::npos) return;
  require(list.complete, "a list that is JSON is whole");
  require(list.members.size() == others && list.items.size() == items.size(), "in its parts");
  for (std::size_t i = 0; i < items.size(); ++i) {
    rapidjson::Document item;
    require(api::parse_json(item, list.items[i]) && test::json_of(item) == test::json_of(*items[i]),
            "an item is what it was");
  }
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t step = std::size_t{data[0]} + 1;
  const std::string_view text = test::text_of(data + 1, size - 1);
  lines(text, step);
  const Split whole = split(text, std::max<std::size_t>(text.size(), 1));
  require(split(text, step) == whole, "a list is the same in whatever pieces it comes");
  compare_with_parser(text, whole);
  return 0;
}
