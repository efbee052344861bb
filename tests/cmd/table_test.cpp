// SPDX-License-Identifier: Apache-2.0
#include "cmd/table.hpp"

#include <doctest/doctest.h>

using namespace egw::cmd;

TEST_CASE("shortened in the middle, by characters and not bytes") {
  CHECK(shortened("abcdef", 6) == "abcdef");
  CHECK(shortened("abcdefg", 5) == "ab…fg");
  CHECK(shortened("abcdefg", 1) == "…");
  CHECK(shortened("äöüäöü", 6) == "äöüäöü");
  CHECK(shortened("äöüäöüä", 4) == "äö…ä");
  CHECK(columns("äöü…") == 4);
}

TEST_CASE("wrapped at spaces, with an indent") {
  CHECK(wrapped("one two three", 20, 2) == "one two three");
  CHECK(wrapped("one two three", 8, 2) == "one two\n  three");
  CHECK(wrapped("a  b\nc", 20, 2) == "a b c");
  CHECK(wrapped("abcdefghijkl", 8, 2) == "abcd…jkl");
  CHECK(wrapped("", 8, 2) == "");
}

TEST_CASE("the widest column gives way") {
  Table table({"A", "LONG"});
  table.row({{"1"}, {"abcdefghij"}});
  table.row({{"22"}, {""}});
  CHECK(table.render(100, false) == "A   LONG\n1   abcdefghij\n22\n");
  CHECK(table.render(9, false) == "A   LONG\n1   ab…ij\n22\n");
}
