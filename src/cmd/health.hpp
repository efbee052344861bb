// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cmd/options.hpp"

namespace egw::cmd {

// What the server asks its owner, from its own threads.
struct HealthQuestions {
  std::function<std::optional<std::string>()>
      metrics; // Prometheus' text; nothing: no answer in time
  std::function<std::optional<std::string>()> unhealthy; // why; nothing: it is healthy
  std::function<std::optional<std::string>()> unready;   // why; nothing: it is ready
};

// A small HTTP server: /metrics, /healthz and /readyz (200, or 503 with the reason). At most a few
// requests at a time; a client that is slow or silent is cut off.
class HealthServer {
 public:
  // Throws std::system_error when it can't listen there.
  HealthServer(const ListenAddress& address, HealthQuestions questions);
  ~HealthServer();
  HealthServer(const HealthServer&) = delete;
  HealthServer& operator=(const HealthServer&) = delete;

  [[nodiscard]] int port() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Says in the log where it listens; null without an address.
[[nodiscard]] std::unique_ptr<HealthServer> serve_health(
    const std::optional<ListenAddress>& address, HealthQuestions questions);

} // namespace egw::cmd
