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
  explicit Bench(net::State kernel_state = {}) : kernel(std::move(kernel_state)) {}

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
  void send(std::vector<Event> events) {
    for (int turns = 0; turns < 20; ++turns) {
      auto actions = core.step(std::move(events), now);
      events.clear();
      for (Action& a : actions) {
        std::visit([&](auto& x) { answer(x, events); }, a);
        log.push_back(std::move(a));
      }
      const auto due = core.deadline();
      if (events.empty() && (!due || *due > now.steady)) return;
    }
    FAIL("the core does not come to rest");
  }
  // The time of the next deadline comes.
  bool tick() {
    const auto due = core.deadline();
    if (!due) return false;
    now.steady = std::max(now.steady, *due);
    send({});
    return true;
  }
  void pass(Duration d) {
    const Time until = now.steady + d;
    while (core.deadline() && *core.deadline() <= until) tick();
    now.steady = until;
  }

  void start(const AgentWorld& w, const std::vector<api::EgressPolicy>& policies) {
    for (auto& e : lists(w, policies)) send({std::move(e)});
  }
  static std::vector<Event> lists(const AgentWorld& w,
                                  const std::vector<api::EgressPolicy>& policies) {
    std::vector<Event> events;
    events.emplace_back(Listed<api::EgressGateway>{values<api::EgressGateway>(w.gateways)});
    events.emplace_back(Listed<api::EgressNode>{values<api::EgressNode>(w.nodes)});
    events.emplace_back(Listed<api::Namespace>{values<api::Namespace>(w.namespaces)});
    Listed<api::Pod> local;
    for (const auto& known : w.pods) local.items.push_back(pod_of(known));
    events.emplace_back(std::move(local));
    api::EgressClusterInfo info = w.cluster;
    info.meta.name = "default";
    events.emplace_back(Listed<api::EgressClusterInfo>{{info}});
    for (const auto kind : {api::PolicyKind::EgressGatewayPolicy, api::PolicyKind::EgressPolicy,
                            api::PolicyKind::EgressClusterPolicy}) {
      PoliciesListed list{kind, {}};
      for (const auto& p : policies) {
        if (p.kind == kind) list.items.push_back(p);
      }
      events.emplace_back(std::move(list));
    }
    for (const auto& [name, gateway] : w.gateways) {
      for (const auto& n : gateway.status.node_list) {
        if (n.name != "node1") continue;
        SlicesListed list{{name, false}, {}};
        for (const auto& [key, pods] : w.slices) {
          const auto of = std::ranges::find(policies, pods.policy_uid,
                                            [](const auto& p) { return p.meta.uid; });
          REQUIRE(of != policies.end());
          if (of->spec.gateway == name) list.items.push_back(slice_of(key, pods));
        }
        events.emplace_back(std::move(list));
        events.emplace_back(SlicesListed{{name, true}, {}});
      }
    }
    return events;
  }

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
  template <class T, class Map>
  static std::vector<T> values(const Map& map) {
    std::vector<T> all;
    for (const auto& [key, value] : map) all.push_back(value);
    return all;
  }
  void answer(Observe&, std::vector<Event>& events) {
    events.emplace_back(Observed{net::Observation{kernel, node}});
  }
  void answer(Apply& a, std::vector<Event>& events) {
    CHECK_FALSE(a.batch.empty());
    if (refuse.empty()) kernel = core.wanted();
    events.emplace_back(Applied{std::exchange(refuse, {})});
  }
  void answer(ListConnections& a, std::vector<Event>& events) {
    std::vector<net::Connection> found;
    for (const auto& c : connections) {
      const auto id = static_cast<std::int32_t>((c.mark >> 16) & 0x7fff);
      const bool wanted = std::ranges::count(a.sources, c.original.source) > 0 ||
                          std::ranges::count(a.eip_ids, id) > 0 ||
                          (a.all_marked && (c.mark & options.plan.ct_mask) != 0);
      if (wanted) found.push_back(c);
    }
    events.emplace_back(Connections{std::move(found)});
  }
  void answer(Forget& f, std::vector<Event>& events) {
    for (const auto& c : f.connections) std::erase(connections, c);
    events.emplace_back(Forgotten{{}});
  }
  void answer(PatchEgressNode& p, std::vector<Event>& events) {
    if (!answer_patches) return;
    if (patch_error) {
      events.emplace_back(PatchDone{*patch_error});
    } else {
      events.emplace_back(PatchDone{p.node});
    }
  }
  void answer(AskInsertFailures&, std::vector<Event>& events) {
    events.emplace_back(InsertFailures{insert_failures});
  }
  void answer(CountConnections&, std::vector<Event>& events) {
    events.emplace_back(Crowds{crowds});
  }
  template <class A>
  void answer(A&, std::vector<Event>&) {}
};

// node1 has a pod of "app"; node1 may hold EIP 1, which is on `holder`.
struct Scene {
  AgentWorld world = testing::world(3);
  std::vector<api::EgressPolicy> policies{policy("default", "app", "eg", 1)};
  explicit Scene(const std::string& holder) {
    add(world, pod("default", "a", {{"app", "app"}}, {"10.244.1.5", "fd44:0:0:1::5"}));
    world.gateways["eg"].meta.name = "eg";
    for (const char* node : {"node1", "node2", "node3"}) {
      world.gateways["eg"].status.node_list.push_back({node, "Ready", {}});
    }
    place(world, "eg", holder, entry(1));
    world.gateways["eg"].status.term = 5;
  }
  api::EgressGateway moved_to(const std::string& holder, std::int64_t term = 5) const {
    AgentWorld w = world;
    for (auto& n : w.gateways["eg"].status.node_list) n.eips.clear();
    w.gateways["eg"].status.unplaced.clear();
    place(w, "eg", holder, entry(1));
    w.gateways["eg"].status.term = term;
    return w.gateways["eg"];
  }
};

inline net::Connection connection(const char* source, std::uint32_t mark) {
  net::Connection c;
  c.protocol = 6;
  c.original = {ip(source), ip("8.8.8.8"), 4000, 80};
  c.reply = {ip("8.8.8.8"), ip(source), 80, 4000};
  c.mark = mark;
  return c;
}

} // namespace egw::egress::testing
