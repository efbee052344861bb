// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "base/fd.hpp"
#include "egress/agent_io.hpp"
#include "net/claim.hpp"

namespace egw::cmd {

// Hears other hosts that claim an EIP of this node, on a thread of its own: a segment may have
// thousands of ARP packets a second, of which the core needs few.
class AgentClaims {
 public:
  using Tell = std::function<void(egress::agent::Event)>;
  explicit AgentClaims(Tell tell); // without the right to listen it logs that, and hears nothing
  ~AgentClaims();
  AgentClaims(const AgentClaims&) = delete;
  AgentClaims& operator=(const AgentClaims&) = delete;

  void watch(egress::agent::WatchClaims wanted);

 private:
  void run(net::ClaimListener& listener);
  [[nodiscard]] std::optional<egress::agent::Claimed> concerns_us(std::uint32_t link,
                                                                  const net::AddressClaim& claim);

  const Tell tell_;
  std::mutex mutex_;
  egress::agent::WatchClaims wanted_;
  std::map<Address, Time> told_; // when, of those
  Wakeup stop_;
  std::optional<net::ClaimListener> listener_;
  std::jthread thread_;
};

} // namespace egw::cmd
