// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <variant>
#include <vector>

#include "base/queue.hpp"
#include "egress/agent_io.hpp"
#include "egress/node_plan.hpp"
#include "net/kernel.hpp"

namespace egw::cmd {

// Looks up and forgets connections on a thread of its own: that takes long, and what is written to
// the kernel next must not wait for it.
class AgentConnections {
 public:
  using Answer = std::function<void(egress::agent::Event)>;
  AgentConnections(egress::NodeOptions options, Answer answer);
  ~AgentConnections();
  AgentConnections(const AgentConnections&) = delete;
  AgentConnections& operator=(const AgentConnections&) = delete;

  void perform(egress::agent::ListConnections action) { queue_.push(std::move(action)); }
  void perform(egress::agent::Forget action) { queue_.push(std::move(action)); }
  void perform(egress::agent::CountConnections action) { queue_.push(action); }

  [[nodiscard]] std::uint64_t forgotten() const { return forgotten_; } // since the start

 private:
  using Work = std::variant<egress::agent::ListConnections, egress::agent::Forget,
                            egress::agent::CountConnections>;
  void run();
  [[nodiscard]] Result<std::vector<net::Connection>> find(
      const egress::agent::ListConnections& wanted);
  [[nodiscard]] egress::agent::Event carry_out(const egress::agent::ListConnections& action);
  [[nodiscard]] egress::agent::Event carry_out(const egress::agent::Forget& action);
  [[nodiscard]] egress::agent::Event carry_out(const egress::agent::CountConnections& action);

  const egress::NodeOptions options_;
  const Answer answer_;
  net::Conntrack conntrack_;
  std::atomic<std::uint64_t> forgotten_ = 0;
  Queue<Work> queue_;
  std::jthread thread_;
};

} // namespace egw::cmd
