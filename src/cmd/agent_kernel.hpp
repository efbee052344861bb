// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <thread>

#include "base/fd.hpp"
#include "cmd/agent_metrics.hpp"
#include "egress/agent_io.hpp"
#include "net/kernel.hpp"

namespace egw::cmd {

// Carries out what the core wants of the kernel; of the core thread alone.
class AgentKernel {
 public:
  AgentKernel(const egress::NodeOptions& options, AgentStats& stats)
      : stats_(stats), kernel_(options.ownership) {}

  // Failures of the system become values here: they are tried again like refusals.
  [[nodiscard]] egress::agent::Event perform(const egress::agent::Observe&);
  [[nodiscard]] egress::agent::Event perform(const egress::agent::Apply& action);
  void announce(const egress::agent::Announce& action);
  void probe(const egress::agent::Probe& action);

  [[nodiscard]] net::Lease lease() const { return kernel_.lease(); }
  [[nodiscard]] bool tables_are_bound() const { return kernel_.tables_are_bound(); }
  [[nodiscard]] int event_fd() const { return kernel_.event_fd(); }
  [[nodiscard]] bool drain_events() { return kernel_.drain_events(); }

 private:
  AgentStats& stats_;
  net::Kernel kernel_;
};

// Tells that a descriptor is readable, once; again after `drained`. Its own thread.
class ReadableThread {
 public:
  ReadableThread(int fd, std::function<void()> readable);
  ~ReadableThread();
  ReadableThread(const ReadableThread&) = delete;
  ReadableThread& operator=(const ReadableThread&) = delete;
  void drained() const { drained_.signal(); }

 private:
  void run(int fd, const std::function<void()>& readable) const;
  Wakeup stop_, drained_;
  std::jthread thread_;
};

} // namespace egw::cmd
