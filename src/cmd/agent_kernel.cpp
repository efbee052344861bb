// SPDX-License-Identifier: Apache-2.0
#include "cmd/agent_kernel.hpp"

#include <poll.h>

#include <algorithm>
#include <array>

#include "base/log.hpp"
#include "cmd/guarded.hpp"
#include "k8s/http.hpp"
#include "net/diff.hpp"

namespace egw::cmd {

// The whole file is about these values.
// NOLINTNEXTLINE(google-build-using-namespace)
using namespace egress::agent;

namespace {

void trace(const net::Batch& batch) {
  if (!log::enabled(log::Level::Debug)) return;
  for (const auto& op : batch.before) log::debug("{}", net::to_string(op));
  for (const auto& op : batch.nft) log::debug("{}", net::to_string(op));
  for (const auto& op : batch.after) log::debug("{}", net::to_string(op));
}

// Connections with the API server whose own address has gone would only be missed much later.
void leave_lost_addresses(const net::Observation& seen) {
  const auto broken = k8s::HttpConnection::break_lost([&](const Address& own) {
    const auto is_own = [&](const Prefix& p) { return p.address == own; };
    return own.is_loopback() ||
           std::ranges::any_of(
               seen.host.addresses,
               [&](const auto& link) { return std::ranges::any_of(link.second, is_own); }) ||
           std::ranges::any_of(seen.state.addresses,
                               [&](const auto& a) { return is_own(a.first.prefix); });
  });
  if (broken > 0) {
    log::info(
        "{} connections with the API server came from an address that this host no longer "
        "has: made anew",
        broken);
  }
}

} // namespace

Event AgentKernel::perform(const Observe&) {
  const Time start = now().steady;
  auto seen = guarded<Result<net::Observation>>(
      [&]() -> Result<net::Observation> { return kernel_.observe(); });
  const Duration took = now().steady - start;
  stats_.looks.observe(took);
  log::debug("looked at the kernel in {:.1f} ms", milliseconds(took));
  if (seen) leave_lost_addresses(*seen);
  return Observed{std::move(seen)};
}

Event AgentKernel::perform(const Apply& action) {
  trace(action.batch);
  const Time start = now().steady;
  auto errors = guarded<std::vector<Error>>([&] { return kernel_.apply(action.batch); });
  const Duration took = now().steady - start;
  stats_.applies.observe(took);
  log::debug("applied in {:.1f} ms", milliseconds(took));
  stats_.refusals += errors.size();
  for (const Error& e : errors) log::error("{}", e.message);
  return Applied{std::move(errors)};
}

void AgentKernel::announce(const Announce& action) {
  const auto done =
      guarded<Result<void>>([&] { return kernel_.announce(action.link, action.addresses); });
  stats_.announced += action.addresses.size();
  if (!done) log::warn("{}", done.error().message); // it is repeated anyway
}

void AgentKernel::probe(const Probe& action) {
  const auto done = guarded<Result<void>>(
      [&] { return kernel_.probe(action.link, action.addresses, action.from); });
  if (!done) log::warn("{}", done.error().message); // as with announcements
}

ReadableThread::ReadableThread(int fd, std::function<void()> readable)
    : thread_([this, fd, call = std::move(readable)] { run(fd, call); }) {}

ReadableThread::~ReadableThread() {
  stop_.signal();
  thread_.join();
}

void ReadableThread::run(int fd, const std::function<void()>& readable) const {
  const auto wait = [&](int which) {
    std::array<pollfd, 2> fds{pollfd{which, POLLIN, 0}, pollfd{stop_.fd(), POLLIN, 0}};
    while (poll(fds.data(), fds.size(), -1) < 0) {
      if (errno != EINTR) check_errno(-1, "poll");
    }
    return (fds[1].revents & POLLIN) == 0;
  };
  while (wait(fd)) {
    readable();
    if (!wait(drained_.fd())) return;
    drained_.clear();
  }
}

} // namespace egw::cmd
