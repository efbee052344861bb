// SPDX-License-Identifier: Apache-2.0
// What people and the controller see of an agent: the conditions of its EgressNode, and the log.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "egress/agent_core.hpp"
#include "egress/cidr_lists.hpp"

namespace egw::egress {

// The whole file is about these values.
// NOLINTNEXTLINE(google-build-using-namespace)
using namespace agent;

namespace {

std::string join(const std::vector<std::string>& parts, const char* separator) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : separator) + part;
  return text;
}

// True where nothing is wrong.
api::Condition positive(const char* type, const char* right, const char* wrong,
                        const std::vector<std::string>& problems) {
  api::Condition c{.type = type, .status = "True", .reason = right, .message = ""};
  if (problems.empty()) return c;
  c.status = "False";
  c.reason = wrong;
  c.message = first_of(problems, "; ");
  return c;
}

} // namespace

std::vector<std::string> AgentCore::problems() const {
  std::vector<std::string> all = plan_->problems;
  for (const Error& e : refusals_) all.push_back(e.message);
  return all;
}

api::Condition AgentCore::datapath_ready() const {
  api::Condition c{.type = kDatapathReady, .status = "True", .reason = "Applied", .message = ""};
  if (!refusals_.empty()) {
    c.status = "False";
    c.reason = "KernelRefused";
    std::vector<std::string> all;
    all.reserve(refusals_.size());
    for (const Error& e : refusals_) all.push_back(e.message);
    c.message = first_of(all, "; ");
    c.message += ". What was in force before still is; the agent tries again by itself";
  } else if (!plan_->problems.empty()) {
    c.status = "False";
    c.reason = "Incomplete";
    c.message = join(plan_->problems, "; ");
  }
  return c;
}

std::vector<std::string> AgentCore::conflict_texts() const {
  std::vector<std::string> texts;
  for (const Claims::Conflict& c : claims_.conflicts()) {
    texts.push_back(fmt::format(
        "egress IP {} is used on {} by another host too, whose MAC is {}: give that host another "
        "address, or take this one out of the gateway's pool",
        c.address.to_string(), c.link, c.mac.to_string()));
  }
  return texts;
}

std::vector<std::string> AgentCore::crowd_texts() const {
  std::vector<std::string> texts;
  for (const Crowd& c : ports_.crowded()) {
    const auto held = plan_->held.find(c.eip_id);
    std::string eip = fmt::format("number {}", c.eip_id);
    if (held != plan_->held.end()) {
      const auto of = std::ranges::find(held->second, c.destination.family, &Address::family);
      if (of != held->second.end()) eip = of->to_string();
    }
    texts.push_back(
        fmt::format("egress IP {} has {} connections to {} port {} (protocol {}): the kernel drops "
                    "further ones for want of a port; spread the pods over more egress IPs, by "
                    "further policies or allocatorPolicy: rr",
                    eip, c.connections, c.destination.to_string(), c.port, c.protocol));
  }
  return texts;
}

// Whether there is something to say, and nothing under way.
bool AgentCore::may_report() const {
  return !patching_ && store_.own_node() && planned_ && (settled_ || !refusals_.empty());
}

void AgentCore::report(const Now& now, std::vector<Action>& out) {
  if (!may_report() || (patch_retry_.failed() && patch_retry_.at > now.steady)) return;
  const auto& own = store_.own_node();
  const api::Condition ready = datapath_ready();
  const api::Condition unique =
      positive(kEipsUnique, "Unique", "DuplicateAddress", conflict_texts());
  const api::Condition ports =
      positive(kPortsAvailable, "Available", "PortsExhausted", crowd_texts());
  const auto says = [&](const api::Condition& c) {
    const api::Condition* is = api::find_condition(own->status.conditions, c.type);
    return is != nullptr && is->status == c.status && is->reason == c.reason &&
           is->message == c.message;
  };
  const bool same = says(ready) && says(unique) && says(ports) &&
                    own->status.parent == plan_->parent &&
                    own->status.agent.version == options_.version;
  if (same) {
    patch_retry_ = {}; // what seemed to fail has arrived
    return;
  }
  api::EgressNode node = *own;
  node.status.parent = plan_->parent;
  node.status.agent = {};
  node.status.agent.version = options_.version;
  api::set_condition(node.status.conditions, ready, now.wall);
  api::set_condition(node.status.conditions, unique, now.wall);
  api::set_condition(node.status.conditions, ports, now.wall);
  patching_ = true;
  out.emplace_back(PatchEgressNode{std::move(node)});
}

void AgentCore::tell(std::vector<Action>& out) {
  Tell now{problems(), plan_->warnings};
  std::ranges::move(conflict_texts(), std::back_inserter(now.warnings));
  std::ranges::move(crowd_texts(), std::back_inserter(now.warnings));
  if (!synced_ || (!settled_ && refusals_.empty()) || told_ == now) return;
  told_ = now;
  out.emplace_back(std::move(now));
}

} // namespace egw::egress
