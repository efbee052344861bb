// SPDX-License-Identifier: Apache-2.0
#include "egress/agent_core.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>

#include "egress/worlds.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::agent;
using namespace egw::egress::testing;
using namespace std::chrono_literals;

namespace {

// A kernel that does what it is told, a clock that stands still unless told, and the core between
// them.
struct Bench {
  explicit Bench(net::State kernel_state = {}) : kernel(std::move(kernel_state)) {}

  AgentOptions options{.node = "node1", .version = "v1", .plan = {}};
  AgentCore core{options};
  net::State kernel;
  net::Host node = host(1);
  std::vector<net::Connection> connections;
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
    events.emplace_back(Listed<api::Pod>{values<api::Pod>(w.pods)});
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
    if (refuse.empty()) kernel = core.plan().state;
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

net::Connection connection(const char* source, std::uint32_t mark) {
  net::Connection c;
  c.protocol = 6;
  c.original = {ip(source), ip("8.8.8.8"), 4000, 80};
  c.reply = {ip("8.8.8.8"), ip(source), 80, 4000};
  c.mark = mark;
  return c;
}

} // namespace

TEST_CASE("nothing is written until every list is there, and then all at once") {
  const Scene scene("node2");
  auto events = Bench::lists(scene.world, scene.policies);
  for (std::size_t left_out = 0; left_out < events.size(); ++left_out) {
    Bench b;
    for (std::size_t i = 0; i < events.size(); ++i) {
      if (i != left_out) b.send({Event(events[i])});
    }
    b.pass(1min);
    INFO("without list ", left_out);
    CHECK(b.count<Apply>() == 0);
    CHECK(b.count<ConfirmPlacement>() == 0);
    CHECK(b.count<PatchEgressNode>() == 0);
    CHECK_FALSE(b.core.synced());
    CHECK_FALSE(b.core.waiting_for().empty());
    // Slices come only for a gateway that is known.
    if (left_out == 0) continue;
    b.send({Event(events[left_out])});
    CHECK(b.count<Apply>() == 1);
    CHECK(b.core.settled());
    CHECK(b.kernel == b.core.plan().state);
    CHECK(b.last<ConfirmPlacement>().confirmed);
    CHECK(b.core.waiting_for().empty());
  }
}

TEST_CASE("a restart finds the kernel as it should be and writes nothing") {
  const Scene scene("node1");
  Bench first;
  first.start(scene.world, scene.policies);
  CHECK(first.count<Announce>() == 1);

  Bench second(first.kernel);
  second.start(scene.world, scene.policies);
  CHECK(second.count<Apply>() == 0);
  CHECK(second.count<Announce>() > 0); // another node may have held it meanwhile
  CHECK(second.last<ConfirmPlacement>().confirmed);
  CHECK(second.core.settled());
}

TEST_CASE("a restart keeps the marks of the gateways in use, whatever became of others") {
  Scene scene("node3");
  Bench first;
  first.start(scene.world, scene.policies); // node3 has index 2
  auto p2 = policy("default", "app2", "eg", 2);
  scene.policies.push_back(p2);
  add(scene.world, pod("default", "b", {{"app", "app2"}}, {"10.244.1.6"}));
  place(scene.world, "eg", "node2", entry(2));
  Bench second(first.kernel);
  second.start(scene.world, scene.policies);
  CHECK(second.core.plan().marks.index ==
        std::map<std::string, std::uint32_t>{{"node2", 3}, {"node3", 2}});
}

TEST_CASE("a change by somebody else is repaired, our own state is not looked at again") {
  const Scene scene("node2");
  Bench b;
  b.start(scene.world, scene.policies);
  CHECK(b.count<Observe>() == 1);
  const net::State wanted = b.kernel;
  b.kernel.routes.clear();
  b.kernel.tables.erase(net::NftFamily::Ip);
  b.pass(1s);
  b.send({KernelChanged{}});
  CHECK(b.count<Observe>() == 2);
  CHECK(b.count<Apply>() == 2);
  CHECK(b.kernel == wanted);
  b.pass(50ms);
  CHECK_FALSE(b.core.deadline());
}

TEST_CASE("a storm of kernel events leads to few looks") {
  const Scene scene("node2");
  Bench b;
  b.start(scene.world, scene.policies);
  b.pass(1s);
  const int before = b.count<Observe>();
  for (int i = 0; i < 1000; ++i) {
    b.send({KernelChanged{}});
    b.pass(100us);
  }
  b.pass(1s);
  CHECK(b.count<Observe>() - before <= 7); // 100 ms of it
  CHECK(b.count<Observe>() - before >= 2);
  CHECK(b.count<Apply>() == 1);
}

TEST_CASE("a refusal becomes a condition, what stood stays, and it is tried again until it works") {
  const Scene scene("node2");
  Bench b;
  b.refuse = {{"add chain c_1 in ip egw: too large", 27}};
  b.start(scene.world, scene.policies);
  CHECK(b.count<Apply>() == 1);
  CHECK(b.kernel == net::State{});
  const auto& condition = b.last<PatchEgressNode>().node.status.conditions.at(0);
  CHECK(condition.type == kDatapathReady);
  CHECK(condition.status == "False");
  CHECK(condition.reason == "KernelRefused");
  CHECK(condition.message.find("too large") != std::string::npos);
  CHECK(b.last<Tell>().problems.size() == 1);

  b.refuse = {{"again", 27}};
  b.tick(); // looks and tries after the first wait
  CHECK(b.count<Observe>() == 2);
  CHECK(b.count<Apply>() == 2);
  const Duration second_wait = *b.core.deadline() - b.now.steady;
  CHECK(second_wait >= 200ms);
  b.tick();
  CHECK(b.core.settled());
  CHECK(b.kernel == b.core.plan().state);
  CHECK(b.last<PatchEgressNode>().node.status.conditions.at(0).status == "True");
  CHECK(b.last<Tell>().problems.empty());
  b.pass(50ms);
  CHECK_FALSE(b.core.deadline());
}

TEST_CASE("after many refusals a change in the API is tried soon, and the wait has a bound") {
  const Scene scene("node2");
  Bench b;
  b.refuse = {{"no", 1}};
  b.start(scene.world, scene.policies);
  for (int i = 0; i < 10; ++i) {
    b.refuse = {{"no", 1}};
    b.tick();
  }
  b.refuse.clear();
  CHECK(*b.core.deadline() - b.now.steady == 5s);
  b.pass(200ms);
  b.send({Changed<api::Pod>{pod("default", "b", {{"app", "app"}}, {"10.244.1.6"})}});
  CHECK(b.core.settled());
}

TEST_CASE("the kernel's silence about a look is a refusal like another") {
  const Scene scene("node2");
  Bench b;
  b.start(scene.world, scene.policies);
  b.pass(1s);
  auto actions = b.core.step({KernelChanged{}}, b.now);
  REQUIRE(actions.size() == 1);
  b.send({Observed{Error{"dump of routes: interrupted", 4}}});
  CHECK(b.last<Tell>().problems.size() == 1);
  b.tick();
  CHECK(b.last<Tell>().problems.empty());
  CHECK(b.core.settled());
}

TEST_CASE("an EIP that comes is announced at once and three times more, one that goes no longer") {
  const Scene scene("node2");
  Bench b;
  b.start(scene.world, scene.policies);
  CHECK(b.count<Announce>() == 0);
  b.pass(1s);
  b.send({Changed<api::EgressGateway>{scene.moved_to("node1")}});
  CHECK(b.last<Announce>() == Announce{"eth0", {ip("10.6.1.1"), ip("fd06:1::1")}});
  CHECK(b.count<Announce>() == 1);
  b.pass(10s);
  CHECK(b.count<Announce>() == 4);
  CHECK_FALSE(b.core.deadline());

  b.send({Changed<api::EgressGateway>{scene.moved_to("node2")}});
  b.pass(1s);
  b.send({Changed<api::EgressGateway>{scene.moved_to("node1")}});
  CHECK(b.count<Announce>() == 5);
  b.send({Changed<api::EgressGateway>{scene.moved_to("node3")}});
  b.pass(10s);
  CHECK(b.count<Announce>() == 5);
}

TEST_CASE("a write of a deposed leader is not believed, a new gateway of the same name is") {
  const Scene scene("node2");
  Bench b;
  b.start(scene.world, scene.policies);
  b.pass(1s);
  b.send({Changed<api::EgressGateway>{scene.moved_to("node1", 4)}});
  CHECK(b.count<Apply>() == 1);
  b.send({Listed<api::EgressGateway>{{scene.moved_to("node1", 4)}}});
  CHECK(b.count<Apply>() == 1);
  b.send({Changed<api::EgressGateway>{scene.moved_to("node1", 6)}});
  CHECK(b.count<Apply>() == 2);
  b.pass(1s);
  auto anew = scene.moved_to("node2", 1);
  anew.meta.uid = "another";
  b.send({Changed<api::EgressGateway>{anew}});
  CHECK(b.count<Apply>() == 3);
}

TEST_CASE("the first change acts at once, those right behind it wait a moment for company") {
  const Scene scene("node2");
  Bench b;
  b.start(scene.world, scene.policies);
  b.pass(1s);
  const auto add_pod = [&](int n) {
    b.send({Changed<api::Pod>{pod("default", "p" + std::to_string(n), {{"app", "app"}},
                                  {"10.244.1." + std::to_string(100 + n)})}});
  };
  add_pod(1);
  CHECK(b.count<Apply>() == 2);
  for (int n = 2; n < 10; ++n) add_pod(n);
  CHECK(b.count<Apply>() == 2);
  CHECK_FALSE(b.core.settled());
  CHECK(*b.core.deadline() - b.now.steady <= 5ms);
  b.tick();
  CHECK(b.count<Apply>() == 3);
  CHECK(b.core.settled());
}

TEST_CASE("fields that no plan is made of change nothing") {
  const Scene scene("node2");
  Bench b;
  b.start(scene.world, scene.policies);
  b.pass(1s);
  auto g = scene.world.gateways.at("eg");
  g.meta.resource_version = "77";
  g.status.ip_usage.ipv4_free = 3;
  g.status.node_list[1].eips[0].policies = {scene.policies[0].key()};
  auto p = scene.policies[0];
  p.status.node = "node2";
  p.meta.annotations = {{"a", "b"}};
  auto n = scene.world.nodes.at("node2");
  n.status.phase = api::NodePhase::Ready;
  auto not_accepted = policy("default", "new", "eg", 0);
  not_accepted.status.conditions.clear();
  b.send({Changed<api::EgressGateway>{g}, Changed<api::EgressPolicy>{p},
          Changed<api::EgressNode>{n}, Changed<api::EgressPolicy>{not_accepted}});
  CHECK(b.core.settled());
  CHECK_FALSE(b.core.deadline());
  CHECK(b.count<Observe>() == 1);
}

TEST_CASE("connections of pods that are newly selected, and of policies that go, are forgotten") {
  Scene scene("node2");
  Bench b;
  const auto before_policy = connection("10.244.1.5", 0);
  const auto other = connection("10.244.1.99", 0);
  b.connections = {before_policy, other};
  b.start(scene.world, scene.policies);
  b.pass(50ms);
  CHECK(b.connections == std::vector{other});
  CHECK(b.last<ListConnections>() ==
        ListConnections{{ip("10.244.1.5"), ip("fd44:0:0:1::5")}, {}, true});

  const auto tunnelled = connection("10.244.1.5", 0x80010000);
  b.connections = {tunnelled, other};
  b.pass(1s);
  b.send({Changed<api::Pod>{pod("default", "b", {{"app", "app"}}, {"10.244.1.6"})}});
  b.pass(50ms);
  CHECK(b.connections == std::vector{tunnelled, other}); // what is right is never touched
  CHECK(b.last<ListConnections>() == ListConnections{{ip("10.244.1.6")}, {}});
  b.pass(1s);
  b.send({PolicyGone{scene.policies[0].key()}});
  b.pass(50ms);
  CHECK(b.connections == std::vector{other});
  // What is late of them is held back from the moment on that no class has them any more.
  const auto& ops = b.last<Apply>().batch.nft;
  const auto* held = std::get_if<net::AddTimedElements>(&ops.at(ops.size() - 2));
  REQUIRE(held != nullptr);
  const net::Bytes five{10, 244, 1, 5}, six{10, 244, 1, 6};
  CHECK(*held == net::AddTimedElements{net::NftFamily::Ip, "released", {five, six}, 5 * 24h});
}

TEST_CASE("connections of an EIP that moves are told apart by its id") {
  const Scene scene("node2");
  Bench b;
  b.start(scene.world, scene.policies);
  const auto tunnelled = connection("10.244.1.5", 0x80010000);
  b.connections = {tunnelled};
  b.pass(1s);
  b.send({Changed<api::EgressGateway>{scene.moved_to("node3")}});
  b.pass(50ms);
  CHECK(b.connections == std::vector{tunnelled}); // through the tunnel as before
  b.pass(1s);
  b.send({Changed<api::EgressGateway>{scene.moved_to("node1")}});
  b.pass(50ms);
  CHECK(b.connections.empty()); // bound to itself: it can't be translated here
}

TEST_CASE("what an earlier run had no time to forget is forgotten after a restart") {
  const Scene scene("node2");
  Bench first;
  first.start(scene.world, scene.policies);
  Bench b(first.kernel); // nothing is to be changed
  const auto right = connection("10.244.1.5", 0x80010000);
  const auto foreign = connection("10.244.1.99", 0x1);
  b.connections = {right, connection("10.244.1.7", 0x00090000), foreign};
  b.start(scene.world, scene.policies);
  b.pass(50ms);
  CHECK(b.count<Apply>() == 0);
  CHECK(b.last<ListConnections>().all_marked);
  CHECK(b.connections == std::vector{right, foreign});
}

TEST_CASE(
    "one look-up of connections serves changes that come one after the other, yet not for ever") {
  const Scene scene("node2");
  Bench b;
  b.start(scene.world, scene.policies);
  b.pass(1s);
  const int before = b.count<ListConnections>();
  for (int n = 1; n <= 3; ++n) {
    b.send({Changed<api::Pod>{pod("default", "p" + std::to_string(n), {{"app", "app"}},
                                  {"10.244.1.1" + std::to_string(n)})}});
    b.pass(6ms);
  }
  CHECK(b.count<ListConnections>() == before);
  b.pass(10ms);
  CHECK(b.count<ListConnections>() == before + 1);
  CHECK(b.last<ListConnections>().sources.size() == 3);
  for (int n = 1; n <= 9; ++n) {
    b.send({Changed<api::Pod>{pod("default", "q" + std::to_string(n), {{"app", "app"}},
                                  {"10.244.1.2" + std::to_string(n)})}});
    b.pass(6ms);
  }
  CHECK(b.count<ListConnections>() == before + 2);
}

TEST_CASE("connections are not judged by a plan that the kernel refused") {
  const Scene scene("node2");
  Bench b;
  b.start(scene.world, scene.policies);
  b.pass(1s);
  const auto tunnelled = connection("10.244.1.5", 0x80010000);
  b.connections = {tunnelled};
  b.refuse = {Error{"add rule: no memory", ENOMEM}};
  b.send({PolicyGone{scene.policies[0].key()}});
  b.send({Connections{std::vector{tunnelled}}}); // an answer that was under way
  CHECK(b.connections == std::vector{tunnelled});
  CHECK(b.count<Forget>() == 0);
  b.pass(1s);
  CHECK(b.connections.empty());
}

TEST_CASE(
    "what the agent reports is written on change only, and again when it failed or was lost") {
  const Scene scene("node2");
  Bench b;
  b.patch_error = Error{"patch EgressNode node1: 503", 503};
  b.start(scene.world, scene.policies);
  b.pass(50ms);
  CHECK(b.count<PatchEgressNode>() == 1);
  b.patch_error.reset();
  b.tick();
  CHECK(b.count<PatchEgressNode>() == 2);
  const auto reported = b.last<PatchEgressNode>().node;
  CHECK(reported.status.parent == api::TunnelParent{"eth0", "10.6.0.1", "fd06::1"});
  CHECK(reported.status.agent.version == "v1");
  CHECK(reported.status.conditions.at(0).status == "True");
  b.send({Changed<api::EgressNode>{reported}});
  b.pass(1min);
  CHECK(b.count<PatchEgressNode>() == 2);
  b.send({Changed<api::EgressNode>{egress_node(1)}}); // somebody took it away
  CHECK(b.count<PatchEgressNode>() == 3);
  CHECK(b.count<Apply>() == 1); // our own report is no news
}

TEST_CASE("a report whose answer was lost, or whose object went, keeps nobody awake") {
  const Scene scene("node2");
  Bench b;
  b.patch_error = Error{"patch EgressNode node1: connection reset"};
  b.start(scene.world, scene.policies);
  b.pass(50ms);
  REQUIRE(b.core.deadline());
  SUBCASE("it has arrived") {
    b.send({Changed<api::EgressNode>{b.last<PatchEgressNode>().node}});
  }
  SUBCASE("the object is gone") {
    b.send({Gone<api::EgressNode>{{"", "node1"}}});
  }
  b.pass(10s);
  b.pass(50ms);
  CHECK((!b.core.deadline() || *b.core.deadline() > b.now.steady));
  b.pass(10s);
}

TEST_CASE("the watch's older word about our own node does not count") {
  const Scene scene("node2");
  Bench b;
  b.start(scene.world, scene.policies);
  auto mine = b.last<PatchEgressNode>().node;
  mine.meta.resource_version = "20";
  b.send({Changed<api::EgressNode>{mine}});
  auto late = egress_node(1);
  late.meta.resource_version = "9";
  const int patches = b.count<PatchEgressNode>();
  b.send({Changed<api::EgressNode>{late}});
  CHECK(b.count<PatchEgressNode>() == patches);
}

TEST_CASE("the placement is not confirmed while the kernel holds an EIP that is another's") {
  const Scene scene("node1");
  Bench b;
  b.start(scene.world, scene.policies);
  CHECK(b.last<ConfirmPlacement>().confirmed);
  b.pass(1s);
  b.refuse = {{"delete address: busy", 16}};
  b.send({Changed<api::EgressGateway>{scene.moved_to("node2")}});
  b.refuse = {{"delete address: busy", 16}};
  b.tick();
  CHECK_FALSE(b.last<ConfirmPlacement>().confirmed);
  b.tick();
  CHECK(b.last<ConfirmPlacement>().confirmed);
  CHECK(b.core.settled());
}

TEST_CASE("slices are watched for the gateways that this node may serve, and forgotten with them") {
  Scene scene("node1");
  add(scene.world, slice(scene.policies[0], {{"default", "r", "node2", {"10.244.2.5"}, {}}}));
  Bench b;
  b.start(scene.world, scene.policies);
  CHECK(b.last<WatchSlices>() == WatchSlices{{"eg"}});
  const net::RouteKey back{7700, Prefix::host(ip("10.244.2.5")), 1};
  CHECK(b.kernel.routes.contains(back));
  b.pass(1s);
  // Another scope's word does not concern it.
  b.send({SliceGone{{"eg", true}, {"default", "app-1"}}, SlicesListed{{"eg", true}, {}}});
  CHECK(b.kernel.routes.contains(back));
  b.send({SliceGone{{"eg", false}, {"default", "app-1"}}});
  CHECK_FALSE(b.kernel.routes.contains(back));
  b.pass(1s);
  b.send({SliceChanged{
      {"eg", false},
      slice_of(scene.world.slices.begin()->first, scene.world.slices.begin()->second)}});
  CHECK(b.kernel.routes.contains(back));
  b.pass(1s);
  auto elsewhere = scene.moved_to("node2");
  std::erase_if(elsewhere.status.node_list, [](const auto& n) { return n.name == "node1"; });
  b.send({Changed<api::EgressGateway>{elsewhere}});
  CHECK(b.last<WatchSlices>() == WatchSlices{{}});
  CHECK_FALSE(b.kernel.routes.contains(back));
  CHECK(b.core.world().slices.empty());
}

TEST_CASE("without EgressClusterInfo nothing is captured that may be inside the cluster") {
  const Scene scene("node2");
  Bench b;
  auto events = Bench::lists(scene.world, scene.policies);
  api::EgressClusterInfo empty;
  empty.meta.name = "default";
  events[4] = Listed<api::EgressClusterInfo>{{empty}};
  b.send(std::move(events));
  CHECK(b.count<Apply>() == 0);
  api::EgressClusterInfo info = scene.world.cluster;
  info.meta.name = "default";
  b.send({Changed<api::EgressClusterInfo>{info}});
  CHECK(b.count<Apply>() == 1);
  const net::State wanted = b.kernel;
  b.pass(1s);
  b.send({Gone<api::EgressClusterInfo>{{"", "default"}}, Listed<api::EgressClusterInfo>{{}}});
  CHECK(b.kernel == wanted);
}

TEST_CASE("after a stop nothing is done") {
  const Scene scene("node2");
  Bench b;
  b.start(scene.world, scene.policies);
  b.pass(1s);
  const auto done = b.log.size();
  b.send({Stop{}, KernelChanged{}, PolicyGone{scene.policies[0].key()}});
  CHECK(b.log.size() == done);
  CHECK_FALSE(b.core.deadline());
}
