// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "k8s/certificate_keeper.hpp"
#include "k8s/client.hpp"
#include "k8s/metrics.hpp"

namespace egw::k8s {

struct KeeperMetrics {
  std::atomic<std::uint64_t> secret_writes{0}, bundle_writes{0}; // that went well
  std::atomic<std::uint64_t> write_failures{0};                  // refused or without an answer
};

// Runs certificate_keeper.hpp's state machine on a thread of its own, with a watch of each object.
class CertificateKeeper {
 public:
  struct Options {
    KeeperConfig config;
    std::string directory; // of the files, where config.from_secret() is false
    std::string user_agent = "egw";
    // Both from its thread. `tell` comes after the log line, for an Event.
    std::function<Result<void>(const KeyPair&)> serve;
    std::function<void(const Tell&)> tell;
  };
  CertificateKeeper(Client& client, Options options);
  ~CertificateKeeper(); // stop()
  CertificateKeeper(const CertificateKeeper&) = delete;
  CertificateKeeper& operator=(const CertificateKeeper&) = delete;

  void lead(bool leads); // any thread
  void close();          // nothing begins any more; a request under way goes on
  void stop();           // and waits for it: Client::stop() shortens that

  struct View {
    struct WatchView {
      const char* kind = nullptr;
      const WatchMetrics* metrics = nullptr;
      std::optional<std::string> fault; // while the watch fails
    };
    std::vector<WatchView> watches;
    std::vector<std::string> troubles;                             // that stand
    std::array<std::optional<bool>, kWebhookKinds.size()> trusted; // see certificate_keeper.hpp
  };
  [[nodiscard]] View view() const; // any thread
  [[nodiscard]] const KeeperMetrics& metrics() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The requests of the actions: for the runner and tests.
[[nodiscard]] Write to_request(const WriteBundle& action);
[[nodiscard]] Write to_request(const api::Secret& secret, bool create);

} // namespace egw::k8s
