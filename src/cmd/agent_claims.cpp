// SPDX-License-Identifier: Apache-2.0
#include "cmd/agent_claims.hpp"

#include <poll.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/clock.hpp"
#include "base/log.hpp"

namespace egw::cmd {

// The whole file is about these values.
// NOLINTNEXTLINE(google-build-using-namespace)
using namespace egress::agent;

AgentClaims::AgentClaims(Tell tell) : tell_(std::move(tell)) {
  try {
    listener_.emplace();
  } catch (const std::system_error& e) {
    log::warn("{}: other hosts that use an EIP of this node are not noticed", e.what());
    return;
  }
  thread_ = std::jthread([this] { run(*listener_); });
}

AgentClaims::~AgentClaims() {
  stop_.signal();
}

void AgentClaims::watch(WatchClaims wanted) {
  const std::lock_guard lock(mutex_);
  wanted_ = std::move(wanted);
  told_.clear();
}

std::optional<Claimed> AgentClaims::concerns_us(std::uint32_t link,
                                                const net::AddressClaim& claim) {
  constexpr Duration pause = std::chrono::milliseconds(100); // one that is repeated says no more
  const std::lock_guard lock(mutex_);
  const auto on = wanted_.links.find(link);
  if (on == wanted_.links.end() || claim.mac == on->second.mac ||
      !on->second.addresses.contains(claim.address)) {
    return std::nullopt;
  }
  const Time time = now().steady;
  const auto [at, fresh] = told_.try_emplace(claim.address, time);
  if (!fresh && time - at->second < pause) return std::nullopt;
  at->second = time;
  return Claimed{claim.address, claim.mac, on->second.name};
}

void AgentClaims::run(net::ClaimListener& listener) {
  for (;;) {
    std::array<pollfd, 3> fds{pollfd{stop_.fd(), POLLIN, 0}, pollfd{listener.arp_fd(), POLLIN, 0},
                              pollfd{listener.advertisement_fd(), POLLIN, 0}}; // -1 is passed over
    if (poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) check_errno(-1, "poll");
    if ((fds[0].revents & POLLIN) != 0) return;
    listener.drain([&](std::uint32_t link, const net::AddressClaim& claim) {
      if (auto claimed = concerns_us(link, claim)) tell_(*std::move(claimed));
    });
  }
}

} // namespace egw::cmd
