// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "k8s/certificate.hpp"
#include "k8s/webhook_http.hpp"
#include "k8s/webhook_limits.hpp"

namespace egw::k8s {

struct WebhookMetrics {
  std::atomic<std::uint64_t> connections{0};  // gauge
  std::atomic<std::uint64_t> buffered{0};     // gauge: bytes of requests that are not whole yet
  std::atomic<std::uint64_t> accepted{0};     // connections
  std::atomic<std::uint64_t> tls_failures{0}; // handshakes refused by either side
  std::atomic<std::uint64_t> cut_off{0};      // connections whose time ran out, idle ones too
  std::atomic<std::uint64_t> displaced{0};    // connections that gave way to others
};

// An HTTPS server (TLS 1.2 and 1.3) that takes POSTs. One thread waits for all connections and a
// few answer, so that neither idle nor slow clients keep others out: cpp-httplib, which parses
// requests and writes answers here, would keep a thread for each.
class WebhookServer {
 public:
  // After each answer; the path is empty where there is no handler for it.
  using Observer = std::function<void(const std::string& path, int status, Duration took)>;
  struct Options {
    std::string host;         // an address; "::" for all
    int port = 0;             // 0: a free one
    WebhookHandlers handlers; // called from several threads
    Observer observer;        // may be empty; from several threads
    WebhookLimits limits;
  };

  // Listens, and ends each connection until there is a certificate. Throws std::system_error when
  // it cannot listen there.
  explicit WebhookServer(Options options);
  ~WebhookServer(); // stop()
  WebhookServer(const WebhookServer&) = delete;
  WebhookServer& operator=(const WebhookServer&) = delete;

  // For handshakes from now on; connections that stand go on. An error leaves what was before.
  [[nodiscard]] Result<void> use(const KeyPair& pair); // the certificate may be a chain
  // When the certificate in use ends; nothing while there is none.
  [[nodiscard]] std::optional<WallTime> expires() const;
  [[nodiscard]] int port() const;
  [[nodiscard]] const WebhookMetrics& metrics() const;

  void drain(); // each answer from now on is the last of its connection
  void stop();  // requests that came whole are answered, the rest is closed

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace egw::k8s
