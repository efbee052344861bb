// SPDX-License-Identifier: Apache-2.0
#include "base/rare.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace egw;

TEST_CASE("Rare: one pointer, copies and compares by value") {
  static_assert(sizeof(Rare<std::string>) == sizeof(void*));
  Rare<std::string> a;
  CHECK_FALSE(a);
  CHECK(a == Rare<std::string>());
  Rare<std::string> b(std::string("x"));
  CHECK(b);
  CHECK(*b == "x");
  CHECK_FALSE(a == b);
  CHECK_FALSE(b == a);
  a = b;
  CHECK(a == b);
  a.make() += "y";
  CHECK(*a == "xy");
  CHECK(*b == "x");
  const Rare<std::string> c(a);
  CHECK(c == a);
  CHECK(c->size() == 2);
  Rare<std::string>& same = a;
  a = same;
  CHECK(*a == "xy");
  a = Rare<std::string>();
  CHECK_FALSE(a);
  b = std::move(a);
  CHECK_FALSE(b);
  b.make();
  CHECK(b->empty());
  b.reset();
  CHECK_FALSE(b);
}
