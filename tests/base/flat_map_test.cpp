// SPDX-License-Identifier: Apache-2.0
#include "base/flat_map.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <stdexcept>

namespace egw {

TEST_CASE("a flat map does as std::map") {
  std::mt19937 random(7);
  FlatMap<int, int> flat;
  std::map<int, int> other;
  for (int i = 0; i < 2000; ++i) {
    const int key = static_cast<int>(random() % 50), value = static_cast<int>(random() % 1000);
    if (random() % 2 == 0) {
      const auto [at, fresh] = flat.try_emplace(key, value);
      const auto [there, new_there] = other.try_emplace(key, value);
      CHECK(fresh == new_there);
      CHECK(at->second == there->second);
    } else if (const auto at = flat.find(key); at != flat.end()) {
      flat.erase(at);
      CHECK(other.erase(key) == 1);
    } else {
      CHECK_FALSE(other.contains(key));
    }
    CHECK(flat.size() == other.size());
    CHECK(flat.contains(key) == other.contains(key));
  }
  CHECK(std::map<int, int>(flat.begin(), flat.end()) == other);
  CHECK(std::is_sorted(flat.begin(), flat.end()));
  for (const auto& [key, value] : other) CHECK(flat.at(key) == value);
  CHECK_THROWS_AS((void)flat.at(1000), std::out_of_range);
  CHECK(FlatMap<int, int>().empty());
}

} // namespace egw
