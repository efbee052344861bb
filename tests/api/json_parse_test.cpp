// SPDX-License-Identifier: Apache-2.0
#include "api/json_parse.hpp"

#include <doctest/doctest.h>

#include <string>

#include "api/json.hpp"

using namespace egw;
using namespace egw::api;

namespace {

std::string parse_error(const std::string& text) {
  rapidjson::Document document;
  const auto result = parse_json(document, text);
  return result.ok() ? "" : result.error().message;
}

std::string nested(std::size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

} // namespace

TEST_CASE("text that is not JSON is an error with the place") {
  CHECK(parse_error("{}") == "");
  CHECK(parse_error("{\"a\": 1,}").starts_with("not JSON: "));
  CHECK(parse_error("{\"a\": 1,}").ends_with("(byte 8)"));
  CHECK(parse_error("") != "");
  CHECK(parse_error("{} {}") != "");
  CHECK(parse_error("{\"a\": \"") != "");
  CHECK(parse_error(std::string("{}\0", 3)) == "");
  CHECK(parse_error(std::string("{}\0{}", 5)) == "not JSON: something follows its end (byte 2)");
  CHECK(parse_error(std::string("\0", 1)) != "");
}

TEST_CASE("depth is bounded, and a million brackets neither crash nor pass") {
  CHECK(parse_error(nested(kMaxJsonDepth)) == "");
  CHECK(parse_error(nested(kMaxJsonDepth + 1)) ==
        "JSON is nested deeper than 100 levels, at byte 100");
  CHECK(parse_error(nested(1'000'000)) != "");
  CHECK(parse_error(std::string(1'000'000, '[')) != "");
}

TEST_CASE("in situ leaves the strings where they are") {
  std::string text = R"({"name": "a\u0062c"})";
  rapidjson::Document document;
  REQUIRE(parse_json_in_situ(document, text.data()).ok());
  const char* name = document["name"].GetString();
  CHECK(std::string(name) == "abc");
  CHECK(name >= text.data());
  CHECK(name < text.data() + text.size());
}

TEST_CASE("a wrong access throws instead of ending the process") {
  rapidjson::Document document;
  REQUIRE(parse_json(document, R"({"a": 1})").ok());
  CHECK_THROWS_AS((void)document["a"].GetString(), std::logic_error);
  CHECK_THROWS_AS((void)document["b"].GetInt(), std::logic_error);
}

TEST_CASE("what is not an object does not decode") {
  CHECK(decode_text<Node>("[]").error().message == "a list is not an object");
  CHECK(decode_text<Node>("7").error().message == "7 is not an object");
  CHECK(decode_text<Node>("null").ok() == false);
  CHECK(decode_text<Node>("{}").error().message == "metadata.name is missing");
  CHECK(decode_text<Node>("{").error().message.starts_with("not JSON"));
}
