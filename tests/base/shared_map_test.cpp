// SPDX-License-Identifier: Apache-2.0
#include "base/shared_map.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

using egw::SharedMap;

namespace {

using Map = SharedMap<int, std::string>;
using Model = std::map<int, std::string>;

Model content(const Map& map) {
  Model all;
  int last = -1;
  for (const auto& [key, value] : map) {
    REQUIRE(key > last);
    last = key;
    all.emplace(key, value);
  }
  return all;
}

using Change = std::tuple<int, std::string, std::string>;
std::vector<Change> expected(const Model& a, const Model& b) {
  std::map<int, Change> all;
  for (const auto& [key, value] : a) {
    if (!b.contains(key)) all[key] = {key, value, "-"};
  }
  for (const auto& [key, value] : b) {
    if (!a.contains(key)) all[key] = {key, "-", value};
    if (a.contains(key) && a.at(key) != value) all[key] = {key, a.at(key), value};
  }
  std::vector<Change> out;
  for (const auto& [key, change] : all) out.push_back(change);
  return out;
}
std::vector<Change> found(const Map& a, const Map& b) {
  std::vector<Change> out;
  for_each_difference(a, b, [&](int key, const std::string* before, const std::string* after) {
    out.emplace_back(key, before != nullptr ? *before : "-", after != nullptr ? *after : "-");
  });
  return out;
}

} // namespace

TEST_CASE("a shared map does what a map does, and its copies stay as they are") {
  std::mt19937 random(7);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  for (const int keys : {5, 40, 3000}) {
    Map map;
    Model model;
    std::vector<std::pair<Map, Model>> copies;
    for (int step = 0; step < 4000; ++step) {
      const int key = below(keys);
      const std::string value = std::to_string(below(3));
      switch (below(step % 1000 < 500 ? 4 : 8)) {
        case 0:
          map[key] = model[key] = value;
          break;
        case 1:
          CHECK(map.try_emplace(key, value) == model.try_emplace(key, value).second);
          break;
        case 2:
          map.insert_or_assign(key, value);
          model.insert_or_assign(key, value);
          break;
        default:
          CHECK(map.erase(key) == model.erase(key));
      }
      REQUIRE(map.size() == model.size());
      const auto at = map.lower_bound(key);
      const auto there = model.lower_bound(key);
      REQUIRE((at == map.end()) == (there == model.end()));
      if (at != map.end()) CHECK(*at == std::pair<int, std::string>(*there));
      CHECK(map.contains(key) == model.contains(key));
      if (step % 200 == 0) copies.emplace_back(map, model);
    }
    CHECK(content(map) == model);
    for (const auto& [copy, was] : copies) {
      CHECK(content(copy) == was);
      CHECK(found(copy, map) == expected(was, model));
      CHECK((copy == map) == (was == model));
    }
  }
}

TEST_CASE("a shared map that was built otherwise is equal when it holds the same") {
  Map up, down;
  for (int i = 0; i < 500; ++i) up[i] = "x";
  for (int i = 499; i >= 0; --i) down[i] = "x";
  CHECK(up == down);
  down.at(250) = "y";
  CHECK_FALSE(up == down);
  CHECK(up.at(250) == "x");
  CHECK_THROWS_AS(static_cast<void>(up.at(500)), std::out_of_range);
  up.clear();
  CHECK(up.empty());
  CHECK(up.begin() == up.end());
  CHECK(Map{{1, "a"}, {2, "b"}}.size() == 2);
}
