// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "egress/agent_core.hpp"
#include "egress/worlds.hpp"

namespace egw::egress::testing {

using namespace egw::egress::agent;
using namespace std::chrono_literals;

// A kernel that does what it is told, a clock that stands still unless told, and the core between
// them.
struct Bench {
  explicit Bench(net::State kernel_state = {});

  AgentOptions options{.node = "node1", .version = "v1", .plan = {}};
  AgentCore core{options};
  net::State kernel;
  net::Host node = host(1);
  std::vector<net::Connection> connections;
  std::uint64_t insert_failures = 0;
  std::vector<Crowd> crowds;
  std::vector<Error> refuse; // what the next Apply answers
  std::optional<Error> patch_error;
  bool answer_patches = true;
  Now now{Time{} + 1h, WallTime(std::chrono::seconds(1'000'000))};
  std::vector<Action> log;

  // Sends events and answers all actions until the core has nothing more to do at this time.
  void send(std::vector<Event> events);
  // The time of the next deadline comes.
  bool tick();
  void pass(Duration d);

  void start(const AgentWorld& w, const std::vector<api::EgressPolicy>& policies);
  static std::vector<Event> lists(const AgentWorld& w,
                                  const std::vector<api::EgressPolicy>& policies);

  template <class A>
  int count() const {
    return static_cast<int>(
        std::ranges::count_if(log, [](const Action& a) { return std::holds_alternative<A>(a); }));
  }
  template <class A>
  const A& last() const {
    for (auto a = log.rbegin(); a != log.rend(); ++a) {
      if (const auto* found = std::get_if<A>(&*a)) return *found;
    }
    throw std::runtime_error("no such action");
  }

 private:
  void answer(Observe& action, std::vector<Event>& events);
  void answer(Apply& action, std::vector<Event>& events);
  void answer(ListConnections& action, std::vector<Event>& events);
  void answer(Forget& action, std::vector<Event>& events);
  void answer(PatchEgressNode& action, std::vector<Event>& events);
  void answer(AskInsertFailures& action, std::vector<Event>& events);
  void answer(CountConnections& action, std::vector<Event>& events);
  template <class A>
  void answer(A&, std::vector<Event>&) {}
};

// node1 has a pod of "app"; node1 may hold EIP 1, which is on `holder`.
struct Scene {
  AgentWorld world = testing::world(3);
  std::vector<api::EgressPolicy> policies{policy("default", "app", "eg", 1)};
  explicit Scene(const std::string& holder);
  api::EgressGateway moved_to(const std::string& holder, std::int64_t term = 5) const;
};

net::Connection connection(const char* source, std::uint32_t mark);

} // namespace egw::egress::testing
