// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <doctest/doctest.h>

#include "k8s/support.hpp"
#include "k8s/watch.hpp"

namespace egw::test {

inline constexpr const char* kList = "/api/v1/nodes?!watch";

// The target of a watch of all nodes from that resourceVersion on.
inline std::string from(int version) {
  return fmt::format("/api/v1/nodes?watch=true&allowWatchBookmarks=true&resourceVersion={}",
                     version);
}

// A watch of nodes on a scripted API server, and what its sink holds.
struct WatchFixture {
  ScriptedServer server;
  NodeCache cache;
  k8s::WatchOptions options = quick_watch(api::resource<api::Node>());
  std::unique_ptr<k8s::Watch<api::Node>> watch;

  void list(int version, const std::vector<std::string>& items) {
    server.expect("GET", kList, Reply::body(200, list_json(version, items)));
  }
  void start() {
    watch = std::make_unique<k8s::Watch<api::Node>>(config_for(server), options, cache.sink());
  }
  // All that was scripted came, and nothing else.
  void finish() {
    CHECK(server.await_script(std::chrono::milliseconds(kPatience)));
    watch->stop();
    for (const auto& error : server.errors()) FAIL_CHECK(error);
  }
};

} // namespace egw::test
