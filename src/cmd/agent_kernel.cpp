// SPDX-License-Identifier: Apache-2.0
#include "cmd/agent_kernel.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <bit>
#include <set>

#include "base/log.hpp"
#include "egress/ruleset.hpp"
#include "net/diff.hpp"

namespace egw::cmd {

// The whole file is about these values.
// NOLINTNEXTLINE(google-build-using-namespace)
using namespace egress::agent;

namespace {

// What `f` returns, or the error of the system call that must not have failed.
template <class R, class F>
R guarded(F f) {
  try {
    return f();
  } catch (const std::system_error& error) {
    return R{Error{error.what(), error.code().value()}};
  }
}

void trace(const net::Batch& batch) {
  if (!log::enabled(log::Level::Debug)) return;
  for (const auto& op : batch.before) log::debug("{}", net::to_string(op));
  for (const auto& op : batch.nft) log::debug("{}", net::to_string(op));
  for (const auto& op : batch.after) log::debug("{}", net::to_string(op));
}

} // namespace

Event AgentKernel::perform(const Observe&) {
  const Time start = now().steady;
  auto seen = guarded<Result<net::Observation>>(
      [&]() -> Result<net::Observation> { return kernel_.observe(); });
  stats_.looks.observe(now().steady - start);
  return Observed{std::move(seen)};
}

Event AgentKernel::perform(const Apply& action) {
  trace(action.batch);
  const Time start = now().steady;
  auto errors = guarded<std::vector<Error>>([&] { return kernel_.apply(action.batch); });
  stats_.applies.observe(now().steady - start);
  stats_.refusals += errors.size();
  for (const Error& e : errors) log::error("{}", e.message);
  return Applied{std::move(errors)};
}

Result<std::vector<net::Connection>> AgentKernel::list(const ListConnections& wanted) {
  const std::uint32_t id_mask = options_.ct_mask & ~std::bit_floor(options_.ct_mask);
  // Each dump walks the kernel's whole table: past a few of them one complete dump is cheaper.
  constexpr std::size_t kFew = 3;
  if (wanted.eip_ids.size() > kFew) {
    auto all = kernel_.connections_marked(0, 0);
    if (!all) return all;
    const std::set<Address> sources(wanted.sources.begin(), wanted.sources.end());
    std::set<std::uint32_t> marks;
    for (const auto id : wanted.eip_ids) marks.insert(egress::ct_mark_here(id, options_));
    std::erase_if(*all, [&](const net::Connection& c) {
      return !sources.contains(c.original.source) && !marks.contains(c.mark & id_mask);
    });
    return all;
  }
  auto found = wanted.sources.empty()
                   ? Result<std::vector<net::Connection>>(std::vector<net::Connection>{})
                   : kernel_.connections_from(wanted.sources);
  for (const auto id : wanted.eip_ids) {
    if (!found) return found;
    const auto more = kernel_.connections_marked(egress::ct_mark_here(id, options_), id_mask);
    if (!more) return more;
    for (const net::Connection& c : *more) {
      if (std::ranges::find(*found, c) == found->end()) found->push_back(c);
    }
  }
  return found;
}

Event AgentKernel::perform(const ListConnections& action) {
  auto found = guarded<Result<std::vector<net::Connection>>>([&] { return list(action); });
  if (!found) log::warn("{}", found.error().message);
  return Connections{std::move(found)};
}

Event AgentKernel::perform(const Forget& action) {
  auto done = guarded<Result<void>>([&] { return kernel_.forget(action.connections); });
  if (done) {
    stats_.forgotten += action.connections.size();
    log::debug("{} connections forgotten", action.connections.size());
  } else {
    log::warn("{}", done.error().message);
  }
  return Forgotten{std::move(done)};
}

void AgentKernel::announce(const Announce& action) {
  const auto done =
      guarded<Result<void>>([&] { return kernel_.announce(action.link, action.addresses); });
  stats_.announced += action.addresses.size();
  if (!done) log::warn("{}", done.error().message); // it is repeated anyway
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
