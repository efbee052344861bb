// SPDX-License-Identifier: Apache-2.0
// Connections that a change decides otherwise: when an agent looks for them, and what waits for it.
#include <algorithm>
#include <utility>

#include "egress/agent_core.hpp"

namespace egw::egress {

// The whole file is about these values.
// NOLINTNEXTLINE(google-build-using-namespace)
using namespace agent;

void AgentCore::handle(Connections& event, const Now& now) {
  listing_ = false;
  if (event.connections) {
    listing_ = true;
    connections_ = std::move(event.connections).value();
    return;
  }
  to_list_.merge(std::move(listed_));
  listed_ = {};
  fail(list_retry_, now.steady);
}

void AgentCore::handle(Forgotten& event, const Now& now) {
  listing_ = false;
  if (event.result) {
    list_retry_ = {};
    open_again(std::exchange(listed_, {}).rebound, now.steady);
  } else {
    to_list_.merge(std::exchange(listed_, {}));
    fail(list_retry_, now.steady);
  }
}

void AgentCore::look_up_later(Affected affected, Time now) {
  if (affected.empty()) return;
  if (to_list_.empty()) list_latest_ = now + options_.list_latest;
  list_at_ = std::min(now + options_.list_rest, list_latest_);
  to_list_.merge(std::move(affected));
}

// None of their connections is left that the kernel's rules bind otherwise.
void AgentCore::open_again(const std::set<Address>& pods, Time now) {
  bool fewer = false;
  for (const Address& pod : pods) {
    if (in_apply_.rebound.contains(pod) || to_list_.rebound.contains(pod)) continue;
    fewer = closed_to_.erase(pod) > 0 || fewer;
  }
  if (fewer && wanted_.get() != &plan_->state) dirty_ = dirty_.value_or(now);
}

// When connections are to be looked up; nothing while that is under way, or the kernel not as
// planned.
std::optional<Time> AgentCore::list_due() const {
  if (listing_ || to_list_.empty() || !settled_) return std::nullopt;
  return list_retry_.failed() ? std::max(list_at_, list_retry_.at) : list_at_;
}

void AgentCore::connections(Time now, std::vector<Action>& out) {
  // Judged by what the kernel does now: a plan that it refused may call wrong what is right.
  if (connections_ && kernel_ && !applying_) {
    auto found = stale(*std::exchange(connections_, std::nullopt), plan_->classifier);
    if (!found.empty()) {
      out.emplace_back(Forget{std::move(found)});
      return;
    }
    listing_ = false;
    list_retry_ = {};
    open_again(std::exchange(listed_, {}).rebound, now);
  }
  const auto due = list_due();
  if (!due || *due > now) return;
  listing_ = true;
  listed_ = std::exchange(to_list_, {});
  out.emplace_back(ListConnections{{listed_.pods.begin(), listed_.pods.end()},
                                   {listed_.eip_ids.begin(), listed_.eip_ids.end()},
                                   listed_.all_marked});
}

} // namespace egw::egress
