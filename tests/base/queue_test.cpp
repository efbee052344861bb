// SPDX-License-Identifier: Apache-2.0
#include "base/queue.hpp"

#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <thread>

namespace egw {

TEST_CASE("take returns everything in order of arrival") {
  Queue<int> q;
  q.push(1);
  q.push(2);
  CHECK(q.take() == std::vector{1, 2});
  q.push(3);
  CHECK(q.take() == std::vector{3});
}

TEST_CASE("a deadline that has passed returns at once") {
  Queue<int> q;
  CHECK(q.take(now().steady).empty());
  q.push(1);
  CHECK(q.take(now().steady - std::chrono::hours(1)) == std::vector{1});
}

TEST_CASE("a wait ends at its deadline and not before") {
  Queue<int> q;
  const Time deadline = now().steady + std::chrono::milliseconds(20);
  CHECK(q.take(deadline).empty());
  CHECK(now().steady >= deadline);
}

TEST_CASE("after close the rest is delivered and pushes are ignored") {
  Queue<int> q;
  q.push(1);
  CHECK_FALSE(q.closed());
  q.close();
  q.push(2);
  CHECK(q.closed());
  CHECK(q.take() == std::vector{1});
  CHECK(q.take().empty());
}

TEST_CASE("close ends a wait without a deadline" * doctest::test_suite("threads")) {
  Queue<int> q;
  std::jthread closer([&q] { q.close(); });
  CHECK(q.take().empty());
}

TEST_CASE("items that can only be moved") {
  Queue<std::unique_ptr<int>> q;
  q.push(std::make_unique<int>(5));
  CHECK(*q.take().at(0) == 5);
}

TEST_CASE("many producers: nothing is lost, and each one's order is kept" *
          doctest::test_suite("threads")) {
  constexpr int producers = 4;
  constexpr int each = 2000;
  Queue<std::pair<int, int>> q;
  std::array<int, producers> next{};
  int seen = 0;
  {
    std::vector<std::jthread> threads;
    threads.reserve(producers);
    for (int p = 0; p < producers; ++p) {
      threads.emplace_back([&q, p] {
        for (int i = 0; i < each; ++i) q.push({p, i});
      });
    }
    while (seen < producers * each) {
      for (const auto& [producer, number] : q.take()) {
        REQUIRE(next.at(static_cast<std::size_t>(producer))++ == number);
        ++seen;
      }
    }
  }
  CHECK(q.take(now().steady).empty());
}

} // namespace egw
