// SPDX-License-Identifier: Apache-2.0
#include "base/memory.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace egw;

namespace {

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
  [[maybe_unused]] const long full = resident_kb();
  blocks.clear();
  release_memory();
// A sanitizer keeps what was freed, to tell who uses it.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK(resident_kb() < full - 15000);
#endif
  CHECK(static_cast<unsigned char>(last[kSize - 1]) == (kBlocks - 1) % 256);
}

TEST_CASE("a resting consumer gets everything, with and without a pause" *
          doctest::test_suite("threads")) {
  Queue<int> queue;
  RestingConsumer resting;
  std::thread producer([&] {
    queue.push(1);
    std::this_thread::sleep_for(RestingConsumer::kQuiet * 3 / 2); // a pause is what this is about
    queue.push(2);
    queue.close();
  });
  std::vector<int> got;
  for (;;) {
    const auto items = resting.take(queue, std::nullopt);
    if (items.empty()) break;
    got.insert(got.end(), items.begin(), items.end());
  }
  producer.join();
  CHECK(got == std::vector{1, 2});
  CHECK(resting.take(queue, now().steady + std::chrono::hours(1)).empty()); // closed: at once
}

TEST_CASE("a resting consumer keeps a deadline before its rest") {
  Queue<int> queue;
  RestingConsumer resting;
  const Time due = now().steady + std::chrono::milliseconds(5);
  CHECK(resting.take(queue, due).empty());
  CHECK(now().steady >= due);
  CHECK(now().steady < due + RestingConsumer::kQuiet);
}
