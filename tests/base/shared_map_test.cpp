// SPDX-License-Identifier: Apache-2.0
#include "base/shared_map.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/packed_items.hpp"

using egw::PackedItems;
using egw::PackedReader;
using egw::PackedRecords;
using egw::PackedWriter;
using egw::SharedMap;

namespace {

struct Codec {
  static PackedWriter encode(int key, const std::string& value) {
    PackedWriter to;
    to.u32(static_cast<std::uint32_t>(key));
    for (const char c : value) to.byte(static_cast<std::uint8_t>(c));
    return to;
  }
  static int key(std::span<const std::uint8_t> record) {
    return static_cast<int>(PackedReader(record).u32());
  }
  static std::string value(std::span<const std::uint8_t> record) {
    PackedReader from(record);
    static_cast<void>(from.u32());
    return {from.rest().begin(), from.rest().end()};
  }
};
using Plain = SharedMap<int, std::string>;
using Packed = SharedMap<int, std::string, PackedItems<int, std::string, Codec>>;
using Model = std::map<int, std::string>;

template <class Map>
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
template <class Map>
std::vector<Change> found(const Map& a, const Map& b) {
  std::vector<Change> out;
  for_each_difference(a, b, [&](int key, const std::string* before, const std::string* after) {
    out.emplace_back(key, before != nullptr ? *before : "-", after != nullptr ? *after : "-");
  });
  return out;
}

} // namespace

TEST_CASE_TEMPLATE("a shared map does what a map does, and its copies stay as they are", Map, Plain,
                   Packed) {
  std::mt19937 random(7);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  for (const int keys : {5, 40, 3000}) {
    Map map;
    Model model;
    std::vector<std::pair<Map, Model>> copies;
    for (int step = 0; step < 4000; ++step) {
      const int key = below(keys);
      // Few values, most of them short.
      const std::string value(static_cast<std::size_t>(below(100) == 0 ? 100 : below(3)), 'v');
      switch (below(step % 1000 < 500 ? 4 : 8)) {
        case 0:
          if constexpr (Map::kInPlace) {
            map[key] = model[key] = value;
          } else {
            CHECK(map.try_emplace(key) == model.try_emplace(key).second);
          }
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
      if (at != map.end()) {
        CHECK(*at == std::pair<int, std::string>(*there));
        CHECK(at->second == there->second);
      }
      CHECK(map.contains(key) == model.contains(key));
      if (map.contains(key)) CHECK(std::as_const(map).at(key) == model.at(key));
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
  Plain up, down;
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
  CHECK(Plain{{1, "a"}, {2, "b"}}.size() == 2);
}

TEST_CASE("a packed item that is too long is refused, and what was there stays") {
  Packed map;
  const std::string longest(PackedRecords::kMost - 4, 'x');
  map.emplace(1, longest);
  CHECK(map.find(1)->second == longest);
  CHECK_THROWS_AS(map.insert_or_assign(1, longest + "x"), std::length_error);
  CHECK(map.find(1)->second == longest);
  CHECK_THROWS_AS(static_cast<void>(map.at(2)), std::out_of_range);
}
