// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "base/chrono.hpp"
#include "base/clock.hpp"

namespace egw::k8s {

struct WebhookLimits {
  Duration handshake = std::chrono::seconds(5); // from accept to the end of the TLS handshake
  // From the first byte of a request to the last, and the same for its answer. An API server waits
  // 30 s at most, mostly 5.
  Duration request = std::chrono::seconds(10);
  // Between requests. API servers close what was idle for 90 s: whoever closes first must be they,
  // or a request may be on its way to a connection that ends, and is refused to its user.
  Duration idle = std::chrono::minutes(3);
  Duration linger = std::chrono::seconds(1); // for a client to read the last answer
  std::size_t max_body = 3U << 20U;
  // An API server keeps up to 25 idle ones. When there are more, the one whose time runs out first
  // gives way: those that shake hands or dawdle before those that are idle.
  std::size_t max_connections = 256;
  std::size_t max_buffered = 32U << 20U; // of all requests that are not whole yet
  int workers = 4;                       // threads that answer; none waits for a client
};

} // namespace egw::k8s
