// SPDX-License-Identifier: Apache-2.0
#include "egress/agent_bench.hpp"

// What the API server tells an agent, and what the agent tells it.
using namespace egw;
using namespace egw::egress;
using namespace egw::egress::agent;
using namespace egw::egress::testing;

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

TEST_CASE("an agent keeps of a gateway what decides about packets") {
  const Scene scene("");
  Bench b;
  b.start(scene.world, scene.policies);
  b.pass(1s);
  const auto decide = [&] {
    const auto& [key, found] = *scene.world.pods.begin();
    return b.core.plan().classifier.decide(*found.ips.begin(), ip("192.0.2.1")).kind;
  };
  using Kind = Classifier::Decision::Kind;
  CHECK(decide() == Kind::Drop);
  auto gateway = scene.moved_to("", 5);
  gateway.spec.when_no_gateway = api::WhenNoGateway::Bypass;
  b.send({Changed<api::EgressGateway>{gateway}});
  b.pass(1s);
  CHECK(decide() == Kind::Untouched);
  gateway = scene.moved_to("node2", 5);
  gateway.spec.when_no_gateway = api::WhenNoGateway::Bypass;
  b.send({Changed<api::EgressGateway>{gateway}});
  b.pass(1s);
  CHECK(decide() == Kind::Tunnel);
}
