// SPDX-License-Identifier: Apache-2.0
#include "cmd/tree.hpp"

#include <doctest/doctest.h>

using namespace egw::cmd;

namespace {

Tree example() {
  return Tree::Members{
      {"ok", true},
      {"count", std::int64_t{-3}},
      {"name", "eg1"},
      {"odd", "a\"b\\c\n\x01é"},
      {"none", Tree::List{}},
      {"list", Tree::List{Tree::Members{{"a", "b c"}, {"d", Tree::List{"x", "yes"}}}, Tree("1")}}};
}

} // namespace

TEST_CASE("JSON") {
  CHECK(example().json() == R"({
  "ok": true,
  "count": -3,
  "name": "eg1",
  "odd": "a\"b\\c\n\u0001é",
  "none": [],
  "list": [
    {
      "a": "b c",
      "d": [
        "x",
        "yes"
      ]
    },
    "1"
  ]
}
)");
}

TEST_CASE("YAML: what looks like something else is quoted") {
  CHECK(example().yaml() == R"(ok: true
count: -3
name: eg1
odd: "a\"b\\c\n\u0001é"
none: []
list:
  - a: "b c"
    d:
      - x
      - "yes"
  - "1"
)");
  CHECK(Tree("10.6.1.55").yaml() == "\"10.6.1.55\"\n");
  CHECK(Tree("fd00::55").yaml() == "\"fd00::55\"\n");
  CHECK(Tree("").yaml() == "\"\"\n");
  CHECK(Tree("Null").yaml() == "\"Null\"\n");
  CHECK(Tree("y").yaml() == "\"y\"\n");
  CHECK(Tree("a-b/c.d_e").yaml() == "a-b/c.d_e\n");
}
