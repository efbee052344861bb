// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/json.hpp"
#include "apiserver/scripted_server.hpp"
#include "base/chrono.hpp"
#include "k8s/client.hpp"
#include "k8s/config.hpp"
#include "k8s/watch.hpp"

namespace egw::test {

using namespace std::chrono_literals;

// What is awaited comes within milliseconds; this is when a test gives up.
inline constexpr auto kPatience = std::chrono::seconds(10);

inline k8s::Config config_for(const ScriptedServer& server, bool tls = true) {
  k8s::Config config;
  config.host = "127.0.0.1";
  config.port = server.port();
  config.tls = tls;
  if (tls) config.ca_pem = server.certificates().ca;
  config.origin = "test";
  config.namespace_ = "default";
  return config;
}

inline k8s::ClientOptions quick_client() {
  k8s::ClientOptions options;
  options.retry = {1ms, 4ms};
  options.qps = 1e6;
  options.burst = 1000;
  return options;
}

inline k8s::WatchOptions quick_watch(const api::Resource& resource) {
  k8s::WatchOptions options;
  options.resource = &resource;
  options.streaming = false;
  options.backoff = {1ms, 4ms};
  options.healthy_after = 5s;
  return options;
}

inline std::string node_json(const std::string& name, int version, const std::string& uid = "u",
                             const std::string& ip = "192.0.2.1") {
  return fmt::format(R"({{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{}","uid":"{}",)"
                     R"("resourceVersion":"{}"}},)"
                     R"("status":{{"addresses":[{{"type":"InternalIP","address":"{}"}}]}}}})",
                     name, uid, version, ip);
}

inline std::string list_json(int version, const std::vector<std::string>& items,
                             const std::string& next = "") {
  return fmt::format(
      R"({{"kind":"NodeList","apiVersion":"v1","metadata":{{"resourceVersion":"{}"{}}},)"
      R"("items":[{}]}})",
      version, next.empty() ? "" : fmt::format(R"(,"continue":"{}")", next), fmt::join(items, ","));
}

inline std::string bookmark_json(int version, bool end_of_list = false) {
  return fmt::format(
      R"({{"kind":"Node","apiVersion":"v1","metadata":{{"resourceVersion":"{}"{}}}}})", version,
      end_of_list ? R"(,"annotations":{"k8s.io/initial-events-end":"true"})" : "");
}

// Takes a watch's events into a store, as a core does, and keeps what it was told.
class NodeCache {
 public:
  k8s::WatchSink<api::Node> sink() {
    return [this](k8s::WatchEvent<api::Node> event) { take(std::move(event)); };
  }

  // Waits until it holds exactly these: "name@version", in order of names.
  [[nodiscard]] bool await(const std::vector<std::string>& wanted) {
    return await_that([&] { return synced_ && names_locked() == wanted; });
  }
  [[nodiscard]] bool await_error(const std::string& part) {
    return await_that([&] {
      for (const auto& error : errors_) {
        if (error.find(part) != std::string::npos) return true;
      }
      return false;
    });
  }
  [[nodiscard]] bool await_healthy() {
    return await_that([&] { return healthy_; });
  }
  [[nodiscard]] bool await_replaced(int count) {
    return await_that([&] { return replaced_ >= count; });
  }
  // The server has answered in that round: with all that there is, or with what was missed; or it
  // has refused.
  [[nodiscard]] bool await_round(std::uint64_t round) {
    return await_that([&] { return answered_round_ && *answered_round_ >= round; });
  }
  [[nodiscard]] std::optional<std::uint64_t> answered_round() {
    std::lock_guard lock(mutex_);
    return answered_round_;
  }
  [[nodiscard]] bool await_error_of_round(std::uint64_t round) {
    return await_that([&] { return failed_round_ && *failed_round_ >= round; });
  }
  [[nodiscard]] std::vector<std::string> names() {
    std::lock_guard lock(mutex_);
    return names_locked();
  }
  [[nodiscard]] std::vector<std::string> errors() {
    std::lock_guard lock(mutex_);
    return errors_;
  }
  [[nodiscard]] std::vector<std::string> broken() {
    std::lock_guard lock(mutex_);
    return broken_;
  }
  [[nodiscard]] std::size_t largest_piece() {
    std::lock_guard lock(mutex_);
    return largest_;
  }
  [[nodiscard]] int changes() {
    std::lock_guard lock(mutex_);
    return changes_;
  }

 private:
  void take(k8s::WatchEvent<api::Node> event) {
    std::lock_guard lock(mutex_);
    if (const auto* status = std::get_if<k8s::WatchStatus>(&event)) {
      if (status->expired) {
        answered_round_.reset();
        changed_.notify_all();
        return;
      }
      healthy_ = !status->error;
      if (status->error) {
        errors_.push_back(status->error->message);
        failed_round_ = status->round;
      } else {
        answered_round_ = status->round;
      }
    }
    if (const auto* broken = std::get_if<k8s::Broken>(&event))
      broken_.push_back(broken->error.message);
    if (const auto* list = std::get_if<k8s::Replaced<api::Node>>(&event)) {
      ++replaced_;
      largest_ = std::max(largest_, list->items.size());
      synced_ = synced_ || list->ends;
      if (list->ends) answered_round_ = list->round;
    }
    changes_ += static_cast<int>(store_.apply(std::move(event)).size());
    changed_.notify_all();
  }
  [[nodiscard]] bool await_that(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, condition);
  }
  [[nodiscard]] std::vector<std::string> names_locked() const {
    std::vector<std::string> names;
    for (const auto& [key, node] : store_.items()) {
      names.push_back(key.name + "@" + node.meta.resource_version);
    }
    return names;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  k8s::Store<api::Node> store_;
  std::vector<std::string> errors_, broken_;
  int replaced_ = 0, changes_ = 0;
  std::size_t largest_ = 0;
  bool healthy_ = true, synced_ = false;
  std::optional<std::uint64_t> answered_round_, failed_round_;
};

using Names = std::vector<std::string>;

} // namespace egw::test
