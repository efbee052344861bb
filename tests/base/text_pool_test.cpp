// SPDX-License-Identifier: Apache-2.0
#include "base/text_pool.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace egw;

TEST_CASE("text pool: equal texts are one, for as long as somebody holds it") {
  TextPool pool;
  {
    const auto a = pool.get("a"), b = pool.get("a"), c = pool.get(std::string("a\0b", 3));
    CHECK(a == b);
    CHECK((*a).data() == (*b).data());
    CHECK_FALSE(a == c);
    CHECK(*c == std::string_view("a\0b", 3));
    CHECK(pool.size() == 2);
  }
  CHECK(pool.size() == 0);
  CHECK(sizeof(TextPool::Handle) == sizeof(void*));
}

TEST_CASE("text pool: an empty text costs nothing") {
  TextPool pool;
  const auto none = pool.get("");
  CHECK(pool.size() == 0);
  CHECK((*none).empty());
  CHECK(none == TextPool::Handle{});
}

TEST_CASE("text pool: handles are copied, moved and assigned like values") {
  TextPool pool;
  auto a = pool.get("a"), b = pool.get("b");
  a = b;
  CHECK(pool.size() == 1);
  a = pool.get("c");
  auto moved = std::move(a);
  auto& same = moved;
  moved = same;
  CHECK(*moved == "c");
  std::vector<TextPool::Handle> many(100, moved);
  moved = {};
  b = {};
  CHECK(pool.size() == 1);
  many.clear();
  CHECK(pool.size() == 0);
}

TEST_CASE("text pool: thousands come and go, each found again") {
  std::mt19937 random(1);
  TextPool pool;
  std::map<std::string, TextPool::Handle> held;
  for (int step = 0; step < 50'000; ++step) {
    const std::string text = std::to_string(random() % 5'000);
    if (random() % 3 == 0) {
      held.erase(text);
    } else {
      const auto handle = pool.get(text);
      const auto [at, fresh] = held.try_emplace(text, handle);
      REQUIRE(at->second == handle);
      REQUIRE(*handle == text);
    }
    REQUIRE(pool.size() == held.size());
  }
}
