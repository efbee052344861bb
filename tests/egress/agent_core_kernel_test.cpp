// SPDX-License-Identifier: Apache-2.0
#include "egress/agent_bench.hpp"

// What an agent makes of its node's kernel: the state it keeps, EIPs, connections.
using namespace egw;
using namespace egw::egress;
using namespace egw::egress::agent;
using namespace egw::egress::testing;

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

TEST_CASE("while the map of pods is made anew, for other room, nobody who is not known gets out") {
  const Scene scene("node2");
  Bench first;
  first.start(scene.world, scene.policies);
  net::State left = first.kernel;
  left.tables.at(net::NftFamily::Ip).sets.at("pods").size = 64;
  Bench second(left);
  second.start(scene.world, scene.policies);
  const auto set = [&](const char* name) {
    return second.kernel.tables.at(net::NftFamily::Ip).sets.at(name);
  };
  CHECK(second.count<Apply>() == 1); // both in one transaction
  CHECK(set("pods").size == 1024);
  CHECK(set("unknown").elements.size() == 1);
  second.pass(1s);
  CHECK(second.count<Apply>() == 2);
  CHECK(set("unknown").elements.empty());
  CHECK(second.kernel == first.kernel);
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

  b.send({Changed<api::EgressGateway>{scene.moved_to("node2")}});
  b.pass(1s);
  b.send({Changed<api::EgressGateway>{scene.moved_to("node1")}});
  CHECK(b.count<Announce>() == 5);
  b.send({Changed<api::EgressGateway>{scene.moved_to("node3")}});
  b.pass(10s);
  CHECK(b.count<Announce>() == 5);
}

TEST_CASE("an EIP that another host uses too is told of until that ends") {
  const Scene scene("node1");
  const Mac other = *Mac::parse("02:00:00:00:00:99");
  const Address eip = ip("10.6.1.1");
  Bench b;
  b.start(scene.world, scene.policies);
  const auto unique = [&] {
    const auto& conditions = b.last<PatchEgressNode>().node.status.conditions;
    return *api::find_condition(conditions, kEipsUnique);
  };
  CHECK(unique().status == "True");
  // Its claims are to be heard on its link, and it is asked for whenever it is announced.
  const auto& watched = b.last<WatchClaims>().links;
  REQUIRE(watched.size() == 1);
  CHECK(watched.begin()->second.name == "eth0");
  CHECK(watched.begin()->second.addresses == std::set{eip, ip("fd06:1::1")});
  CHECK(b.last<Probe>() == Probe{"eth0", {eip, ip("fd06:1::1")}, ip("fd06::1")});
  b.pass(10s);
  const auto claimed = [&] { // as an answer to each question
    for (int i = 0; i <= 6; ++i) {
      CHECK(unique().status == "True");
      b.send({Claimed{eip, other, "eth0"}});
      if (i < 6) b.pass(2s);
    }
  };
  b.send({Claimed{ip("10.6.1.77"), other, "eth0"}}); // none of ours
  claimed();
  CHECK(b.last<Probe>() == Probe{"eth0", {eip}, ip("fd06::1")});
  CHECK(unique().status == "False");
  CHECK(unique().reason == "DuplicateAddress");
  CHECK(unique().message.find("10.6.1.1 is used on eth0 by another host too, whose MAC is "
                              "02:00:00:00:00:99") != std::string::npos);
  CHECK(b.last<Tell>().warnings == std::vector{unique().message});
  // It holds its EIP on, and does not shout.
  const int announced = b.count<Announce>();
  b.pass(24s);
  CHECK(b.core.conflicts().size() == 1);
  CHECK(b.core.plan().state.addresses.contains({"eth0", Prefix::host(eip)}));
  b.pass(2s);
  CHECK(unique().status == "True");
  CHECK(b.count<Announce>() == announced);

  // One that goes elsewhere is not ours to tell of.
  claimed();
  CHECK(unique().status == "False");
  b.send({Changed<api::EgressGateway>{scene.moved_to("node2")}});
  b.pass(1s);
  CHECK(unique().status == "True");
  CHECK(b.last<WatchClaims>().links.empty());
  CHECK_FALSE(b.core.deadline());
}

TEST_CASE("an EIP without a port left for a destination is told of for as long as that lasts") {
  const Scene scene("node1");
  Bench b;
  b.start(scene.world, scene.policies);
  b.pass(10s);
  const auto ports = [&] {
    const auto& conditions = b.last<PatchEgressNode>().node.status.conditions;
    return *api::find_condition(conditions, kPortsAvailable);
  };
  CHECK(ports().status == "True");
  CHECK(b.count<CountConnections>() == 0);
  b.insert_failures = 3;
  b.crowds = {{1, 6, ip("203.0.113.9"), 443, 64000}};
  b.pass(10s);
  CHECK(b.count<CountConnections>() == 1);
  CHECK(ports().status == "False");
  CHECK(ports().reason == "PortsExhausted");
  CHECK(ports().message.starts_with(
      "egress IP 10.6.1.1 has 64000 connections to 203.0.113.9 port 443 (protocol 6)"));
  CHECK(b.last<Tell>().warnings == std::vector{ports().message});
  CHECK(b.core.crowded().size() == 1);
  b.pass(55s);
  CHECK(ports().status == "False");
  b.pass(10s);
  CHECK(ports().status == "True");
  CHECK(b.count<CountConnections>() == 1);
}

TEST_CASE("every five minutes a node asks for its EIPs") {
  const Scene scene("node1");
  Bench b;
  b.start(scene.world, scene.policies);
  b.pass(10s);
  const int before = b.count<Probe>();
  b.pass(60min);
  CHECK(b.count<Probe>() == before + 12);
  CHECK(b.last<Probe>() == Probe{"eth0", {ip("10.6.1.1"), ip("fd06:1::1")}, ip("fd06::1")});
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
