// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

// Counters, written by the threads of this folder and read by whoever prints them. They only grow,
// except those called a gauge.
namespace egw::k8s {

struct ClientMetrics {
  std::atomic<std::uint64_t> requests{0};       // sent, each attempt counts
  std::atomic<std::uint64_t> retries{0};        // attempts after the first
  std::atomic<std::uint64_t> errors_network{0}; // no answer: connect, TLS, cut, timeout
  std::atomic<std::uint64_t> errors_4xx{0};     // without the two below
  std::atomic<std::uint64_t> conflicts{0};      // 409
  std::atomic<std::uint64_t> throttled{0};      // 429
  std::atomic<std::uint64_t> errors_5xx{0};
  std::atomic<std::uint64_t> rate_limited{0};    // had to wait for the rate limit, or gave up
  std::atomic<std::uint64_t> rate_limited_us{0}; // microseconds waited for it
  std::atomic<std::uint64_t> connections{0};     // opened
};

struct WatchMetrics {
  std::atomic<std::uint64_t> lists{0};         // complete lists: 1 is the first, more are relists
  std::atomic<std::uint64_t> watches{0};       // streams opened
  std::atomic<std::uint64_t> events{0};        // objects added, modified, deleted after the list
  std::atomic<std::uint64_t> gone{0};          // 410, as status or as ERROR event
  std::atomic<std::uint64_t> failures{0};      // refused, cut, garbage, stalled
  std::atomic<std::uint64_t> decode_errors{0}; // objects that could not be decoded
  std::atomic<std::uint64_t> stale{0};  // events or lists older than what was seen, not taken
  std::atomic<std::uint64_t> synced{0}; // gauge: 1 after the first complete list
  // gauge: wall time when the last complete list had come, microseconds since 1970; 0: none has
  std::atomic<std::int64_t> listed_us{0};
  std::atomic<std::int64_t> last_contact_ns{
      0}; // gauge: steady time of the last byte from the server
};

} // namespace egw::k8s
