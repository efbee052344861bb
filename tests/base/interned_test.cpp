// SPDX-License-Identifier: Apache-2.0
#include "base/interned.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

using namespace egw;

TEST_CASE("interned: equal values are one, for as long as somebody holds it") {
  InternPool<std::string> pool;
  using Handle = InternPool<std::string>::Handle;
  {
    const Handle a = pool.get("a value that is too long to stand in the string itself");
    const Handle b = pool.get("a value that is too long to stand in the string itself");
    CHECK(a == b);
    CHECK(&*a == &*b);
    CHECK(a->size() == 54);
    CHECK(pool.size() == 1);
    const Handle c = pool.get("another");
    CHECK_FALSE(a == c);
    CHECK(pool.size() == 2);
  }
  CHECK(pool.size() == 0);
  CHECK(sizeof(Handle) == sizeof(void*));
}

TEST_CASE("interned: an empty value costs nothing") {
  InternPool<std::string> pool;
  const auto none = pool.get("");
  CHECK(pool.size() == 0);
  CHECK(none->empty());
  CHECK(none == InternPool<std::string>::Handle{});
}

TEST_CASE("interned: handles are copied, moved and assigned like values") {
  InternPool<std::string> pool;
  auto a = pool.get("a"), b = pool.get("b");
  a = b;
  CHECK(pool.size() == 1);
  a = pool.get("c");
  CHECK(pool.size() == 2);
  auto moved = std::move(a);
  CHECK(*moved == "c");
  auto& same = moved;
  moved = same;
  CHECK(*moved == "c");
  std::vector<InternPool<std::string>::Handle> many(100, moved);
  moved = {};
  b = {};
  CHECK(pool.size() == 1);
  many.clear();
  CHECK(pool.size() == 0);
}
