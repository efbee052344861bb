// SPDX-License-Identifier: Apache-2.0
#include "egress/world.hpp"

#include <doctest/doctest.h>

#include "egress/ledger.hpp"

using namespace egw;
using namespace egw::egress;

namespace {

api::EgressGateway gateway(const std::string& name, const std::string& version,
                           const std::string& role = "gateway") {
  api::EgressGateway g;
  g.meta.name = name;
  g.meta.uid = "uid-" + name;
  g.meta.resource_version = version;
  g.spec.node_selector.match_labels = {{"role", role}};
  return g;
}

api::Node node(const std::string& name, const std::string& version, const std::string& role) {
  api::Node n;
  n.meta.name = name;
  n.meta.resource_version = version;
  n.meta.labels = {{"role", role}};
  return n;
}

} // namespace

TEST_CASE("world: an older version never replaces a newer one, and a version alone is no change") {
  World w;
  CHECK(w.put(gateway("a", "10")));
  CHECK_FALSE(w.put(gateway("a", "11")));
  CHECK(w.find({Kind::Gateway, "", "a"})->resource_version == "11");
  CHECK_FALSE(w.put(gateway("a", "9", "other")));
  CHECK(w.put(gateway("a", "100", "other")));
  CHECK(w.gateways.at("a").spec.node_selector.match_labels == api::Labels{{"role", "other"}});
}

TEST_CASE("world: of pods and nodes only what is used is kept") {
  World w;
  auto n = node("n1", "1", "gateway");
  w.put(n);
  n.meta.annotations.set("heartbeat", "2");
  n.meta.resource_version = "2";
  CHECK_FALSE(w.put(n));
  CHECK(w.nodes.at("n1").meta.annotations.empty());
}

TEST_CASE("world: deletions of the past say nothing about the present") {
  World w;
  auto g = gateway("a", "20");
  g.meta.uid = "new";
  w.put(g);
  CHECK_FALSE(w.erase({{Kind::Gateway, "", "a"}, "old", "15"}));
  CHECK_FALSE(w.erase({{Kind::Gateway, "", "a"}, "new", "15"}));
  CHECK(w.erase({{Kind::Gateway, "", "a"}, "new", "21"}));
  CHECK(w.gateways.empty());
  CHECK_FALSE(w.erase({{Kind::Gateway, "", "a"}, "new", "22"}));
}

TEST_CASE("world: a list replaces, but knows nothing of what came after it") {
  World w;
  w.put(gateway("gone", "5"));
  w.put(gateway("fresh", "30"));
  w.put(gateway("kept", "6"));
  w.put(gateway("broken", "7"));
  const auto changes = w.replace(
      {Kind::Gateway, {gateway("kept", "6"), gateway("new", "8")}, {{"", "broken"}}, "25"});
  CHECK(changes.size() == 2);
  CHECK(w.gateways.size() == 4);
  CHECK_FALSE(w.gateways.contains("gone"));
  CHECK(w.unreadable({Kind::Gateway, "", "broken"}));
  CHECK(w.unreadable_gateways() == std::set<std::string>{"broken"});
  CHECK_FALSE(w.current());
  for (std::size_t i = 0; i < kKinds; ++i) {
    if (static_cast<Kind>(i) != Kind::Gateway) w.replace({static_cast<Kind>(i), {}, {}, "26"});
  }
  CHECK(w.current());
  // Lists of policies leave the other kinds of policies alone.
  api::EgressPolicy p;
  p.kind = api::PolicyKind::EgressPolicy;
  p.meta.name = "p";
  p.meta.namespace_ = "ns";
  w.put(p);
  w.replace({Kind::GatewayPolicy, {}, {}, "30"});
  CHECK(w.policies.size() == 1);
  w.replace({Kind::Policy, {}, {}, "30"});
  CHECK(w.policies.empty());
}

TEST_CASE("world: which nodes belong to which gateways") {
  World w;
  w.put(node("n1", "1", "gateway"));
  w.put(gateway("a", "2"));
  w.put(node("n2", "3", "gateway"));
  w.put(node("n3", "4", "other"));
  CHECK(w.nodes_of("a") == std::set<std::string>{"n1", "n2"});
  CHECK(w.gateways_of("n2") == std::set<std::string>{"a"});
  w.put(node("n2", "5", "other"));
  CHECK(w.nodes_of("a") == std::set<std::string>{"n1"});
  w.put(gateway("a", "6", "other"));
  CHECK(w.nodes_of("a") == std::set<std::string>{"n2", "n3"});
  CHECK(w.gateways_of("n1").empty());
  w.erase({{Kind::Node, "", "n3"}, "", "7"});
  CHECK(w.nodes_of("a") == std::set<std::string>{"n2"});
  auto empty = gateway("a", "8");
  empty.spec.node_selector = {};
  w.put(empty);
  CHECK(w.nodes_of("a").empty());
}

TEST_CASE("ledger: counts by node, holders by address, replaced gateway by gateway") {
  Ledger ledger;
  api::EgressGatewayStatus a, b;
  a.node_list = {{"n1", "Ready", {{1, "10.0.0.1", "fd00::1", {}}, {2, "10.0.0.2", "", {}}}}};
  a.resting_ids = {{9, {}}};
  b.node_list = {{"n1", "Ready", {{33, "10.0.0.2", "", {}}}}, {"n2", "Ready", {}}};
  b.unplaced = {{34, "10.0.0.9", "", {}}};
  ledger.replace("a", a);
  ledger.replace("b", b);
  CHECK(ledger.eips_elsewhere("n1", "a") == 1);
  CHECK(ledger.eips_elsewhere("n1", "b") == 2);
  CHECK(ledger.eips_elsewhere("n1", "c") == 3);
  CHECK(ledger.ids("a") == std::set<std::int32_t>{1, 2, 9});
  CHECK(ledger.holders().at(Address::parse("10.0.0.2").value()) == std::set<std::string>{"a", "b"});
  ledger.replace("a", {});
  CHECK(ledger.eips_elsewhere("n1", "c") == 1);
  CHECK(ledger.holders().size() == 2);
  ledger.remove("b");
  CHECK(ledger.holders().empty());
  CHECK(ledger.eips_elsewhere("n1", "") == 0);
}
