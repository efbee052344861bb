// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/json.hpp"
#include "egress/agent_io.hpp"
#include "k8s/config.hpp"
#include "k8s/metrics.hpp"
#include "k8s/watch_group.hpp"

namespace egw::cmd {

// The agent's watches as the core's events.
class AgentWatches {
 public:
  using Sink = std::function<void(egress::agent::Event)>; // from the watches' threads

  AgentWatches(k8s::Config config, const std::string& node, Sink sink);
  ~AgentWatches(); // stop()
  AgentWatches(const AgentWatches&) = delete;
  AgentWatches& operator=(const AgentWatches&) = delete;

  // Endpoint slices of these gateways are watched from now on, and of no others.
  void slices_of(const std::set<std::string>& gateways);
  void stop(); // the sink is not called afterwards

  struct View {
    std::string name;
    const k8s::WatchMetrics* metrics; // lives until slices_of() or stop()
    std::optional<std::string> fault; // while the watch fails
  };
  [[nodiscard]] std::vector<View> views() const;

 private:
  struct Running; // a watch of any type
  template <class T>
  struct Of;
  template <class T, class Convert>
  std::unique_ptr<Running> make(std::string name, const api::Resource& resource, std::string labels,
                                std::string fields, const Convert& convert);
  template <class T>
  void add(const api::Resource& resource, const std::string& fields = "");
  void add_policies(api::PolicyKind kind);
  std::unique_ptr<Running> slices(const egress::agent::SliceScope& scope);
  void set_fault(const std::string& name, std::optional<std::string> fault);

  const k8s::Config config_;
  const Sink sink_;
  const std::shared_ptr<k8s::WatchGroup> group_ = std::make_shared<k8s::WatchGroup>();
  mutable std::mutex mutex_;
  std::map<std::string, std::string> faults_; // guarded by mutex_
  std::vector<std::unique_ptr<Running>> running_;
  std::map<egress::agent::SliceScope, std::unique_ptr<Running>> slices_;
};

} // namespace egw::cmd
