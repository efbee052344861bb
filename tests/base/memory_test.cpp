// SPDX-License-Identifier: Apache-2.0
#include "base/memory.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace egw;

namespace {

// A sanitizer keeps what was freed, to tell who uses it.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature) // Clang
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#else
constexpr bool kSanitized = false;
#endif

long resident_kb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stol(line.substr(6));
  }
  return 0;
}

} // namespace

TEST_CASE("a released heap is small again, and the program goes on") {
  share_heap();
  constexpr std::size_t kBlocks = 20000, kSize = 1000;
  std::vector<std::unique_ptr<char[]>> blocks;
  for (std::size_t i = 0; i < kBlocks; ++i) {
    blocks.push_back(std::make_unique<char[]>(kSize));
    std::memset(blocks.back().get(), static_cast<int>(i), kSize);
  }
  const auto last = std::move(blocks.back()); // keeps the heap from shrinking at its end
  const long full = resident_kb();
  blocks.clear();
  release_memory();
  CHECK((kSanitized || resident_kb() < full - 15000));
  CHECK(static_cast<unsigned char>(last[kSize - 1]) == (kBlocks - 1) % 256);
}

TEST_CASE("a resting consumer gets everything, and rests once in a pause" *
          doctest::test_suite("threads")) {
  Queue<int> queue;
  std::promise<void> rested;
  int rests = 0;
  RestingConsumer resting(std::chrono::milliseconds(1), std::chrono::hours(1), [&] {
    if (++rests == 1) rested.set_value();
  });
  queue.push(1);
  std::thread producer([&] {
    rested.get_future().wait();
    queue.push(2);
    queue.close();
  });
  CHECK(resting.take(queue, std::nullopt) == std::vector{1});
  CHECK(resting.take(queue, std::nullopt) == std::vector{2});
  CHECK(rests == 1);
  producer.join();
  CHECK(resting.take(queue, now().steady + std::chrono::hours(1)).empty()); // closed: at once
  CHECK(rests == 1);
}

TEST_CASE("a resting consumer keeps a deadline before its rest") {
  Queue<int> queue;
  int rests = 0;
  RestingConsumer resting(std::chrono::hours(1), std::chrono::hours(1), [&] { ++rests; });
  const Time due = now().steady + std::chrono::milliseconds(5);
  CHECK(resting.take(queue, due).empty());
  CHECK(now().steady >= due);
  CHECK(rests == 0);
}

TEST_CASE("a consumer that has always work rests all the same, now and then") {
  Queue<int> queue;
  int rests = 0;
  RestingConsumer resting(std::chrono::hours(1), std::chrono::milliseconds(20), [&] { ++rests; });
  const Time begun = now().steady;
  std::size_t taken = 0;
  while (rests < 3 && now().steady - begun < std::chrono::seconds(10)) {
    queue.push(1);
    taken += resting.take(queue, std::nullopt).size();
  }
  CHECK(rests == 3);
  CHECK(now().steady - begun >= std::chrono::milliseconds(60));
  CHECK(taken > 3);
}
