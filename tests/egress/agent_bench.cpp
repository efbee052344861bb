// SPDX-License-Identifier: Apache-2.0
#include "egress/agent_bench.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <utility>

namespace egw::egress::testing {

namespace {

template <class T, class Map>
std::vector<T> values(const Map& map) {
  std::vector<T> all;
  for (const auto& [key, value] : map) all.push_back(value);
  return all;
}

} // namespace

Bench::Bench(net::State kernel_state) : kernel(std::move(kernel_state)) {}

void Bench::send(std::vector<Event> events) {
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

bool Bench::tick() {
  const auto due = core.deadline();
  if (!due) return false;
  now.steady = std::max(now.steady, *due);
  send({});
  return true;
}

void Bench::pass(Duration d) {
  const Time until = now.steady + d;
  while (core.deadline() && *core.deadline() <= until) tick();
  now.steady = until;
}

void Bench::start(const AgentWorld& w, const std::vector<api::EgressPolicy>& policies) {
  for (auto& e : lists(w, policies)) send({std::move(e)});
}

std::vector<Event> Bench::lists(const AgentWorld& w,
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
        const auto of =
            std::ranges::find(policies, pods.policy_uid, [](const auto& p) { return p.meta.uid; });
        REQUIRE(of != policies.end());
        if (of->spec.gateway == name) list.items.push_back(slice_of(key, pods));
      }
      events.emplace_back(std::move(list));
      events.emplace_back(SlicesListed{{name, true}, {}});
    }
  }
  return events;
}

void Bench::answer(Observe&, std::vector<Event>& events) {
  events.emplace_back(Observed{net::Observation{kernel, node}});
}

void Bench::answer(Apply& a, std::vector<Event>& events) {
  CHECK_FALSE(a.batch.empty());
  if (refuse.empty()) kernel = core.wanted();
  events.emplace_back(Applied{std::exchange(refuse, {})});
}

void Bench::answer(ListConnections& a, std::vector<Event>& events) {
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

void Bench::answer(Forget& f, std::vector<Event>& events) {
  for (const auto& c : f.connections) std::erase(connections, c);
  events.emplace_back(Forgotten{{}});
}

void Bench::answer(PatchEgressNode& p, std::vector<Event>& events) {
  if (!answer_patches) return;
  if (patch_error) {
    events.emplace_back(PatchDone{*patch_error});
  } else {
    events.emplace_back(PatchDone{p.node});
  }
}

void Bench::answer(AskInsertFailures&, std::vector<Event>& events) {
  events.emplace_back(InsertFailures{insert_failures});
}

void Bench::answer(CountConnections&, std::vector<Event>& events) {
  events.emplace_back(Crowds{crowds});
}

Scene::Scene(const std::string& holder) {
  add(world, pod("default", "a", {{"app", "app"}}, {"10.244.1.5", "fd44:0:0:1::5"}));
  world.gateways["eg"].meta.name = "eg";
  for (const char* node : {"node1", "node2", "node3"}) {
    world.gateways["eg"].status.node_list.push_back({node, "Ready", {}});
  }
  place(world, "eg", holder, entry(1));
  world.gateways["eg"].status.term = 5;
}

api::EgressGateway Scene::moved_to(const std::string& holder, std::int64_t term) const {
  AgentWorld w = world;
  for (auto& n : w.gateways["eg"].status.node_list) n.eips.clear();
  w.gateways["eg"].status.unplaced.clear();
  place(w, "eg", holder, entry(1));
  w.gateways["eg"].status.term = term;
  return w.gateways["eg"];
}

net::Connection connection(const char* source, std::uint32_t mark) {
  net::Connection c;
  c.protocol = 6;
  c.original = {ip(source), ip("8.8.8.8"), 4000, 80};
  c.reply = {ip("8.8.8.8"), ip(source), 80, 4000};
  c.mark = mark;
  return c;
}

} // namespace egw::egress::testing
