// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/json.hpp"
#include "egress/controller_io.hpp"
#include "k8s/config.hpp"
#include "k8s/metrics.hpp"
#include "k8s/store.hpp"
#include "k8s/watch_group.hpp"

namespace egw::cmd {

// The controller's watches, one for each Kind, as the core's events.
class ControllerWatches {
 public:
  using Sink = std::function<void(egress::Event)>; // from the watches' threads

  ControllerWatches(const k8s::Config& config, Sink sink);
  ~ControllerWatches(); // stop()
  ControllerWatches(const ControllerWatches&) = delete;
  ControllerWatches& operator=(const ControllerWatches&) = delete;

  // Every watch is opened anew, at once. Returns the number of this round, which its events bear.
  std::uint64_t begin_round();
  void stop(); // the sink is not called afterwards

  struct View {
    egress::Kind kind{};
    const k8s::WatchMetrics* metrics = nullptr;
    std::optional<std::string> fault; // while the watch fails
    bool absent = false;              // a kind that the cluster may lack, and lacks
  };
  [[nodiscard]] std::vector<View> views() const;

 private:
  struct Running; // a watch of any type
  template <class T>
  struct Of;
  template <class T>
  void add(egress::Kind kind, const k8s::Config& config, const api::Resource& resource);
  void set_status(egress::Kind kind, const k8s::WatchStatus& status);

  Sink sink_;
  std::shared_ptr<k8s::WatchGroup> group_ = std::make_shared<k8s::WatchGroup>();
  std::uint64_t round_ = 0;
  mutable std::mutex mutex_;
  std::map<egress::Kind, std::string> faults_; // guarded by mutex_
  std::set<egress::Kind> absent_;              // guarded by mutex_
  std::vector<std::unique_ptr<Running>> running_;
};

} // namespace egw::cmd
