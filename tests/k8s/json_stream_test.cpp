// SPDX-License-Identifier: Apache-2.0
#include "k8s/json_stream.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

using namespace egw::k8s;

namespace {

struct Split {
  std::vector<std::string> items;
  std::map<std::string, std::string> members;
  std::string error;
  bool complete = false;
};

Split split(const std::string& text, std::size_t step) {
  Split out;
  ListSplitter splitter(
      [&](char* data, std::size_t size) {
        CHECK(data[size] == '\0'); // in-situ parsing needs it
        out.items.emplace_back(data, size);
      },
      [&](std::string_view name, char* data, std::size_t size) {
        out.members[std::string(name)] = std::string(data, size);
      });
  for (std::size_t i = 0; i < text.size(); i += step) {
    const auto part = text.substr(i, step);
    if (!splitter.feed(part.data(), part.size())) break;
  }
  out.error = splitter.error();
  out.complete = splitter.complete();
  return out;
}

} // namespace

TEST_CASE("a list is cut into its items, however the bytes arrive") {
  const std::string text =
      R"( {"kind":"PodList","n":12,"metadata":{"resourceVersion":"7","x":[1,{"a":"}"}]},
    "items" : [ {"a":"]}\"\\"},{"b":[{"c":{}}]} , {} ],"more":null, "last":true } )";
  for (std::size_t step = 1; step < 12; ++step) {
    CAPTURE(step);
    const auto out = split(text, step);
    CHECK(out.error == "");
    CHECK(out.complete);
    CHECK(out.items == std::vector<std::string>{R"({"a":"]}\"\\"})", R"({"b":[{"c":{}}]})", "{}"});
    CHECK(out.members.at("kind") == "\"PodList\"");
    CHECK(out.members.at("n") == "12");
    CHECK(out.members.at("metadata") == R"({"resourceVersion":"7","x":[1,{"a":"}"}]})");
    CHECK(out.members.at("more") == "null");
    CHECK(out.members.at("last") == "true");
  }
}

TEST_CASE("the name of a member may hold an escaped quote") {
  const auto out = split(R"({"a\"b":1,"c\\":2,"items":[{}]})", 1);
  CHECK(out.error == "");
  CHECK(out.complete);
  CHECK(out.items.size() == 1);
  CHECK(out.members.at(R"(a\"b)") == "1");
}

TEST_CASE("empty lists") {
  CHECK(split(R"({"items":[]})", 3).complete);
  CHECK(split(R"({"items":null})", 3).complete);
  CHECK(split("{}", 1).complete);
}

TEST_CASE("what is no list is told, what breaks off is incomplete") {
  CHECK(split("<html>", 1).error != "");
  CHECK(split("[]", 1).error != "");
  CHECK(split(R"({"items":[1]})", 1).error == "an item is not an object");
  CHECK(split(R"({"a" 1})", 1).error == "a colon is missing");
  CHECK(split(R"({"a":1} x)", 1).error == "something follows the list");
  CHECK_FALSE(split(R"({"items":[{"a":1}])", 1).complete);
  CHECK_FALSE(split("", 1).complete);
  for (const auto* text : {R"({"items":[{"a":"b)", R"({"items":[{"a":"b\)", R"({"metadata":{)"}) {
    CHECK_FALSE(split(text, 2).complete);
  }
}

TEST_CASE("an item larger than any object ends it") {
  const auto out = split(R"({"items":[{"a":")" + std::string(kMaxObject + 10, 'x'), 65536);
  CHECK(out.error == "an object is too large");
}

TEST_CASE("lines, however the bytes arrive; the unfinished one is kept back") {
  for (std::size_t step = 1; step < 8; ++step) {
    std::vector<std::string> lines;
    LineSplitter splitter([&](char* data, std::size_t size) {
      CHECK(data[size] == '\0');
      lines.emplace_back(data, size);
      return true;
    });
    const std::string text = "one\n\ntwo\nthree";
    for (std::size_t i = 0; i < text.size(); i += step) {
      const auto part = text.substr(i, step);
      CHECK(splitter.feed(part.data(), part.size()));
    }
    CHECK(lines == std::vector<std::string>{"one", "two"});
  }
}

TEST_CASE("a line may say enough; one that never ends is given up") {
  LineSplitter enough([](char*, std::size_t) { return false; });
  CHECK_FALSE(enough.feed("a\nb\n", 4));
  CHECK_FALSE(enough.overlong());
  LineSplitter endless([](char*, std::size_t) { return true; });
  const std::string block(1U << 20U, 'x');
  int fed = 0;
  while (fed < 100 && endless.feed(block.data(), block.size())) ++fed;
  CHECK(endless.overlong());
  CHECK(fed == 16);
}
