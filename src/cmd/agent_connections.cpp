// SPDX-License-Identifier: Apache-2.0
#include "cmd/agent_connections.hpp"

#include <bit>
#include <utility>

#include "base/log.hpp"
#include "cmd/guarded.hpp"
#include "egress/ruleset.hpp"

namespace egw::cmd {

namespace agent = egress::agent;

AgentConnections::AgentConnections(egress::NodeOptions options, Answer answer)
    : options_(std::move(options)), answer_(std::move(answer)), thread_([this] { run(); }) {}

AgentConnections::~AgentConnections() {
  queue_.close();
}

void AgentConnections::run() {
  while (!queue_.closed()) {
    for (const Work& work : queue_.take()) {
      answer_(std::visit([this](const auto& action) { return carry_out(action); }, work));
    }
  }
}

Result<std::vector<net::Connection>> AgentConnections::find(const agent::ListConnections& wanted) {
  if (wanted.all_marked) {
    return conntrack_.marked(options_.ct_mask, wanted.sources);
  }
  std::vector<std::uint32_t> marks;
  marks.reserve(wanted.eip_ids.size());
  for (const auto id : wanted.eip_ids) marks.push_back(egress::ct_mark_here(id, options_));
  const std::uint32_t id_mask = options_.ct_mask & ~std::bit_floor(options_.ct_mask);
  return conntrack_.find(wanted.sources, marks, id_mask);
}

agent::Event AgentConnections::carry_out(const agent::ListConnections& action) {
  const Time start = now().steady;
  auto found = guarded<Result<std::vector<net::Connection>>>([&] { return find(action); });
  if (found) {
    log::debug("{} connections looked up in {:.1f} ms", found->size(),
               milliseconds(now().steady - start));
  } else {
    log::warn("{}", found.error().message);
  }
  return agent::Connections{std::move(found)};
}

agent::Event AgentConnections::carry_out(const agent::Forget& action) {
  auto done = guarded<Result<void>>([&] { return conntrack_.forget(action.connections); });
  if (done) {
    forgotten_ += action.connections.size();
    log::debug("{} connections forgotten", action.connections.size());
  } else {
    log::warn("{}", done.error().message);
  }
  return agent::Forgotten{std::move(done)};
}

agent::Event AgentConnections::carry_out(const agent::CountConnections& action) {
  egress::CrowdFinder finder(options_, action.at_least);
  auto done = guarded<Result<void>>([&]() -> Result<void> {
    const auto begin = [&] { finder.begin(); };
    auto read = conntrack_.each(options_.ct_mask, begin, [&](const auto& c) { finder.first(c); });
    if (!read || !finder.any()) return read;
    return conntrack_.each(options_.ct_mask, begin, [&](const auto& c) { finder.second(c); });
  });
  if (!done) {
    log::warn("{}", done.error().message);
    return agent::Crowds{done.error()};
  }
  return agent::Crowds{finder.crowds()};
}

} // namespace egw::cmd
