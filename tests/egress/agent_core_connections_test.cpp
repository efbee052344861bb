// SPDX-License-Identifier: Apache-2.0
#include "egress/agent_bench.hpp"

// What an agent makes of its node's kernel: the state it keeps, EIPs, connections.
using namespace egw;
using namespace egw::egress;
using namespace egw::egress::agent;
using namespace egw::egress::testing;

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

namespace {

// Two policies whose EIPs this node holds, and a pod of another node.
struct FarPod : Scene {
  FarPod() : Scene("node1") {
    place(world, "eg", "node1", entry(2));
    policies.push_back(policy("default", "other", "eg", 2));
  }
  // The world in which the pod is the policy's.
  [[nodiscard]] AgentWorld of(const api::EgressPolicy& mine) const {
    AgentWorld w = world;
    for (const auto& p : policies) {
      add(w, slice(p, p.key() == mine.key() ? far : std::vector<api::Endpoint>{}));
    }
    return w;
  }
  const std::vector<api::Endpoint> far{{"default", "far", "node2", {"10.244.2.9"}, {}}};
};

std::size_t sources(const Bench& b) {
  return b.kernel.tables.at(net::NftFamily::Ip).sets.at("sources").elements.size();
}

} // namespace

TEST_CASE("a remote pod of another EIP is shut out until its connections are forgotten") {
  const FarPod scene;
  const auto& [app, other] = std::pair(scene.policies[0], scene.policies[1]);
  Bench b;
  b.start(scene.of(app), scene.policies);
  b.pass(1s);
  REQUIRE(sources(b) == 1);
  const auto moves = [&](const api::EgressPolicy& from, const api::EgressPolicy& to, bool apart) {
    const SliceChanged gone{{"eg", false}, slice(from, {})},
        there{{"eg", false}, slice(to, scene.far)};
    if (apart) {
      b.send({gone});
      b.pass(2ms);
      b.send({there});
    } else {
      b.send({gone, there});
    }
    b.pass(6ms);
  };
  for (const bool apart : {false, true}) {
    CAPTURE(apart);
    b.connections = {connection("10.244.2.9", 0x00010000)};
    moves(app, other, apart);
    CHECK(b.connections.size() == 1);
    CHECK(sources(b) == 0);
    b.pass(50ms);
    CHECK(b.connections.empty());
    CHECK(sources(b) == 1);
    CHECK(b.core.settled());
    moves(other, app, false);
    b.pass(1s);
    REQUIRE(sources(b) == 1);
  }
  // By another policy with the same EIP nothing of it becomes another's.
  api::EgressPolicy same = app;
  same.spec.excluded_subnet = {"192.0.2.0/24"};
  b.send({Changed<api::EgressPolicy>{same}});
  CHECK(sources(b) == 1);
}

TEST_CASE(
    "a remote pod that an earlier run shut out stays so until its connections are forgotten") {
  const FarPod scene;
  const auto& [app, other] = std::pair(scene.policies[0], scene.policies[1]);
  Bench first;
  first.connections = {connection("10.244.2.9", 0x00010000)};
  first.start(scene.of(app), scene.policies);
  first.pass(1s);
  first.send({SliceChanged{{"eg", false}, slice(app, {})},
              SliceChanged{{"eg", false}, slice(other, scene.far)}});
  first.pass(6ms); // and it is killed
  REQUIRE(first.connections.size() == 1);
  REQUIRE(sources(first) == 0);

  Bench b(first.kernel);
  b.connections = first.connections;
  b.start(scene.of(other), scene.policies);
  CHECK(sources(b) == 0);
  CHECK(b.connections.size() == 1);
  b.pass(50ms);
  CHECK(b.connections.empty());
  CHECK(sources(b) == 1);
  CHECK(b.core.settled());
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
