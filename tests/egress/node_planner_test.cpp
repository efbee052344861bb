// SPDX-License-Identifier: Apache-2.0
#include "egress/node_planner.hpp"

#include <doctest/doctest.h>

#include <array>
#include <random>
#include <string>

#include "egress/agent_world.hpp"
#include "egress/classifier.hpp"
#include "egress/rounds.hpp"
#include "egress/worlds.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::agent;
using namespace egw::egress::testing;

namespace {

class Random {
 public:
  Random(std::uint32_t seed, bool slices) : engine_(seed), slices_(slices) {}
  int below(int n) { return static_cast<int>(engine_() % static_cast<unsigned>(n)); }
  bool chance(int percent) { return below(100) < percent; }
  std::string one(const std::vector<std::string>& of) {
    return of[static_cast<std::size_t>(below(static_cast<int>(of.size())))];
  }

  // Few addresses and labels for many pods: they take them from each other.
  api::Pod pod() {
    api::Labels labels{{"app", "a" + std::to_string(below(4))}};
    if (chance(50)) labels = {{"app", "a" + std::to_string(below(4))}, {"tier", "x"}};
    std::vector<std::string> ips;
    if (chance(80)) ips.push_back("10.244.1." + std::to_string(1 + below(8)));
    if (chance(50)) ips.push_back("fd44:0:0:1::" + std::to_string(1 + below(8)));
    api::Pod p =
        testing::pod(one({"default", "other"}), "p" + std::to_string(below(12)), labels, ips);
    p.meta.created = WallTime(std::chrono::seconds(below(3)));
    p.host_network = chance(5);
    if (chance(5)) p.phase = api::PodPhase::Succeeded;
    return p;
  }
  api::EgressPolicy policy() {
    const int id = 1 + below(6);
    api::EgressPolicy p =
        testing::policy(one({"default", "other"}), "p" + std::to_string(below(8)), "eg", id);
    p.spec.pod_selector = api::LabelSelector{{{"app", "a" + std::to_string(below(4))}}, {}};
    if (chance(30)) p.spec.pod_selector = api::LabelSelector{{{"tier", "x"}}, {}};
    if (chance(2)) p.spec.pod_selector = api::LabelSelector{};
    if (chance(10)) {
      p.kind = api::PolicyKind::EgressClusterPolicy;
      p.meta.namespace_ = "";
      p.spec.namespace_selector = api::LabelSelector{};
    }
    if (chance(60)) p.spec.dest_subnet = {one({"192.0.2.0/24", "198.51.100.0/24", "10.0.0.0/8"})};
    if (chance(20)) p.spec.dest_subnet.emplace_back("2001:db8::/32");
    if (p.spec.dest_subnet.empty() && chance(30)) p.spec.excluded_subnet = {"203.0.113.0/24"};
    if (chance(30)) p.spec.priority = 1 + below(3);
    if (chance(5)) p.status.conditions.clear();
    return p;
  }
  api::EgressEndpointSlice slice() {
    const auto policy =
        testing::policy(one({"default", "other"}), "p" + std::to_string(below(8)), "eg", 1);
    std::vector<api::Endpoint> endpoints;
    for (int n = below(4); n > 0; --n) {
      // Few of them on this node, or on one that nobody knows; one is a pod's of this node.
      const std::string i = std::to_string(2 + below(2));
      const std::string node = chance(4) ? one({"node1", "node9"}) : "node" + i;
      api::Endpoint e{"default", "far", node, {}, {}};
      if (chance(80)) e.ipv4.push_back("10.244." + i + "." + std::to_string(1 + below(12)));
      if (chance(5)) e.ipv4 = {"10.244.1.8"};
      if (chance(50)) e.ipv6.push_back("fd44:0:0:" + i + "::" + std::to_string(1 + below(12)));
      endpoints.push_back(std::move(e));
    }
    return testing::slice(policy, endpoints);
  }
  // One of the EIPs is elsewhere, another address, or gone; the node under test seldom has it.
  Event moved_eip(api::EgressGateway gateway) {
    const std::int32_t id = 1 + below(8);
    const auto is_it = [&](const auto& e) { return e.id == id; };
    for (auto& node : gateway.status.node_list) std::erase_if(node.eips, is_it);
    std::erase_if(gateway.status.unplaced, is_it);
    if (chance(80)) {
      api::EipEntry e = entry(id);
      if (chance(10)) e.ipv6 = "";
      if (chance(2)) e.ipv4 = entry(1).ipv4; // another one's, perhaps
      const std::string node = chance(10) ? "node1" : one({"node2", "node2", "node3", ""});
      for (auto& has : gateway.status.node_list) {
        if (has.name == node) has.eips.push_back(e);
      }
      if (node.empty()) gateway.status.unplaced.push_back(e);
    }
    return Changed<api::EgressGateway>{gateway};
  }
  Event event(const AgentWorld& world) {
    if (chance(12)) return moved_eip(world.gateways.at("eg"));
    if (chance(2)) {
      api::EgressGateway g = world.gateways.at("eg");
      g.spec.when_no_gateway = chance(50) ? api::WhenNoGateway::Bypass : api::WhenNoGateway::Drop;
      return Changed<api::EgressGateway>{g};
    }
    switch (below(slices_ ? 12 : 6)) {
      case 6:
      case 7:
        return SliceChanged{{"eg", false}, last_slice_ = slice()};
      case 11: { // written again, with a pod less
        api::EgressEndpointSlice again = last_slice_;
        if (!again.endpoints.empty()) again.endpoints.pop_back();
        return SliceChanged{{"eg", false}, again};
      }
      case 8:
      case 9:
      case 10:
        return SliceGone{{"eg", false},
                         {one({"default", "other"}), "p" + std::to_string(below(8)) + "-1"}};
      case 0:
        return Gone<api::Pod>{{one({"default", "other"}), "p" + std::to_string(below(12))}};
      case 1:
        return PolicyGone{{api::PolicyKind::EgressPolicy, one({"default", "other"}),
                           "p" + std::to_string(below(8))}};
      case 2:
        return Changed<api::EgressPolicy>{policy()};
      default:
        return Changed<api::Pod>{pod()};
    }
  }

 private:
  std::mt19937 engine_;
  bool slices_; // pods of other nodes come and go as well
  api::EgressEndpointSlice last_slice_ =
      testing::slice(testing::policy("default", "p0", "eg", 1), {});
};

void take(Store& store, Event event) {
  std::visit([&](auto& e) { static_cast<void>(store.take(e)); }, event);
}

Store begin(bool slices) {
  AgentWorld w = world(3);
  for (int id = 1; id <= 6; ++id) {
    // Two here, two on each of the others' nodes, one nowhere.
    place(w, "eg", id <= 2 ? "node1" : id <= 4 ? "node2" : id == 5 ? "node3" : "", entry(id));
  }
  w.namespaces["other"].meta.name = "other";
  Store store("node1");
  for (const auto& [name, node] : w.nodes) take(store, Changed<api::EgressNode>{node});
  for (const auto& [name, ns] : w.namespaces) take(store, Changed<api::Namespace>{ns});
  for (const auto& [name, gateway] : w.gateways) take(store, Changed<api::EgressGateway>{gateway});
  w.cluster.meta.name = "default";
  take(store, Changed<api::EgressClusterInfo>{w.cluster});
  // Pods of other nodes, one at an address that own pods take as well.
  for (const char* name : {"p0", "p1"}) {
    if (!slices) continue;
    const auto p = testing::policy("default", name, "eg", 1);
    take(store, SliceChanged{{"eg", false},
                             slice(p, {{"default", "far", "node2", {"10.244.2.5"}, {}},
                                       {"default", "near", "node3", {"10.244.1.8"}, {}}})});
  }
  return store;
}

void check_equal(const NodePlan& is, const NodePlan& wanted) {
  REQUIRE(is.state == wanted.state);
  CHECK(is.held == wanted.held);
  CHECK(is.marks == wanted.marks);
  CHECK(is.problems == wanted.problems);
  CHECK(is.warnings == wanted.warnings);
  CHECK(is.pods_starting == wanted.pods_starting);
  const RulesetInput &a = is.classifier.data->input, &b = wanted.classifier.data->input;
  CHECK(is.classifier.data->pods == wanted.classifier.data->pods);
  REQUIRE(a.classes.size() == b.classes.size());
  for (const auto& [id, pod_class] : a.classes) {
    REQUIRE(b.classes.contains(id));
    CHECK(pod_class->name == b.classes.at(id)->name);
  }
  REQUIRE(a.eips.size() == b.eips.size());
  for (const auto& [id, place] : a.eips) {
    REQUIRE(b.eips.contains(id));
    CHECK(place.where == b.eips.at(id).where);
    CHECK(place.gateway == b.eips.at(id).gateway);
  }
}

} // namespace

TEST_CASE("a plan made from the one before is the one made from the beginning") {
  std::array<int, 2> partial{}, all{}; // without slices, with them
  for (std::uint32_t seed = 1; seed <= rounds(12); ++seed) {
    const bool slices = seed % 2 == 0;
    Random random(seed, slices);
    Store store = begin(slices);
    NodePlanner planner;
    Marks marks;
    for (int turn = 0; turn < 150; ++turn) {
      INFO("seed ", seed, " turn ", turn);
      for (int n = random.below(4); n >= 0; --n) take(store, random.event(store.world()));
      const auto plan =
          planner.plan(store.world(), host(1), marks, NodeOptions{}, store.take_changes());
      check_equal(*plan, plan_node(store.world(), host(1), marks, NodeOptions{}));
      marks = plan->marks;
      ++all.at(slices);
      partial.at(slices) += planner.was_partial() ? 1 : 0;
    }
  }
  for (const bool slices : {false, true}) {
    MESSAGE(partial.at(slices) << " of " << all.at(slices)
                               << " plans were made from the one before");
    CHECK(partial.at(slices) > all.at(slices) / 3);
  }
}

TEST_CASE("another host, other marks and the first remote pod are planned from the beginning") {
  Store store = begin(false);
  NodePlanner planner;
  const auto plan = [&](const net::Host& h, const Marks& marks) {
    auto made = planner.plan(store.world(), h, marks, NodeOptions{}, store.take_changes());
    check_equal(*made, plan_node(store.world(), h, marks, NodeOptions{}));
    return made;
  };
  const auto policy = testing::policy("default", "app", "eg", 3);
  take(store, Changed<api::Pod>{pod("default", "a", {{"app", "app"}}, {"10.244.1.5"})});
  take(store, Changed<api::EgressPolicy>{policy});
  const Marks marks = plan(host(1), {})->marks;
  CHECK_FALSE(planner.was_partial());
  CHECK(plan(host(1), marks) != nullptr);
  CHECK(planner.was_partial());
  net::Host moved = host(1);
  moved.addresses["eth0"].push_back({ip("10.6.0.99"), 16});
  CHECK(plan(moved, marks) != nullptr);
  CHECK_FALSE(planner.was_partial());
  CHECK(plan(moved, {{{"node2", 5}}})->marks.index.at("node2") == 5);
  CHECK_FALSE(planner.was_partial());
  // EIP 1 is here.
  const auto held = testing::policy("default", "held", "eg", 1);
  const auto remote = [&](const char* address) {
    take(store,
         SliceChanged{{"eg", false}, slice(held, {{"default", "b", "node2", {address}, {}}})});
    return plan(moved, {{{"node2", 5}}})->state;
  };
  take(store, Changed<api::EgressPolicy>{held});
  const net::State one = remote("10.244.2.5");
  CHECK(one.routes.contains({7700, Prefix::host(ip("10.244.2.5")), 1}));
  CHECK_FALSE(planner.was_partial());
  api::EgressPolicy more = testing::policy("default", "more", "eg", 1);
  take(store, Changed<api::EgressPolicy>{more});
  take(store,
       SliceChanged{{"eg", false}, slice(more, {{"default", "c", "node2", {"10.244.2.9"}, {}}})});
  const net::State two = plan(moved, {{{"node2", 5}}})->state;
  CHECK(planner.was_partial());
  CHECK(two.routes.contains({7700, Prefix::host(ip("10.244.2.9")), 1}));
  // A slice that comes, and is written again before the next plan.
  const auto twice = testing::policy("default", "twice", "eg", 1);
  take(store, Changed<api::EgressPolicy>{twice});
  const api::Endpoint first{"default", "d", "node2", {"10.244.2.10"}, {}},
      second{"default", "e", "node2", {"10.244.2.11"}, {}};
  take(store, SliceChanged{{"eg", false}, slice(twice, {first})});
  take(store, SliceChanged{{"eg", false}, slice(twice, {first, second})});
  const net::State both = plan(moved, {{{"node2", 5}}})->state;
  CHECK(planner.was_partial());
  CHECK(both.routes.contains({7700, Prefix::host(ip("10.244.2.10")), 1}));
  const net::State moved_pod = remote("10.244.2.6");
  CHECK(planner.was_partial());
  CHECK_FALSE(moved_pod.routes.contains({7700, Prefix::host(ip("10.244.2.5")), 1}));
}
