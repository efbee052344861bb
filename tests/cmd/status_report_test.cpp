// SPDX-License-Identifier: Apache-2.0
#include "cmd/status_report.hpp"

#include <doctest/doctest.h>

#include "example_cluster.hpp"

using namespace egw;
using namespace egw::cmd;
using Problem = StatusReport::Problem;

namespace {

StatusReport report(const ClusterLists& lists) {
  return make_report(lists, example_now());
}

Problem only_problem(const ClusterLists& lists) {
  const auto r = report(lists);
  REQUIRE(r.problems.size() == 1);
  CHECK_FALSE(r.ok());
  return r.problems.front();
}

} // namespace

TEST_CASE("all is well") {
  const auto r = report(example_cluster());
  CHECK(r.ok());
  CHECK(r.problem_count() == 0);
  CHECK(r.notes.empty());
  CHECK(r.leader == "controller-1");
  REQUIRE(r.gateways.size() == 1);
  REQUIRE(r.gateways[0].holders.size() == 2);
  REQUIRE(r.gateways[0].holders[0].eips.size() == 1);
  const StatusReport::Eip& eip = r.gateways[0].holders[0].eips[0];
  CHECK(eip.users ==
        std::vector<std::string>{"EgressPolicy default/app", "EgressPolicy default/web"});
  REQUIRE(r.policies.size() == 2);
  CHECK(r.policies[0].key.name == "app"); // in order
  CHECK(r.policies[0].pods == 2);
  REQUIRE(r.nodes.size() == 3);
  CHECK(r.nodes[0].name == "n1");
  CHECK(r.nodes[0].gateways == std::vector<std::string>{"eg1"});
  CHECK(r.nodes[2].gateways.empty());
}

TEST_CASE("the same cause for many policies is told once, and counted for each") {
  auto c = example_cluster();
  for (auto& p : c.policies) {
    p.status = {};
    p.status.conditions = {condition("Accepted", "False", "GatewayMissing", "no gateway eg9"),
                           condition("Ready", "False", "GatewayMissing", "ignored")};
  }
  const auto r = report(c);
  CHECK(r.problems ==
        std::vector<Problem>{{{"EgressPolicy default/web", "EgressPolicy default/app"},
                              "GatewayMissing: no gateway eg9"}});
  CHECK(r.problem_count() == 2);
}

TEST_CASE("a policy that no controller has seen, and one that selects nobody") {
  auto c = example_cluster();
  c.policies[0].status = {};
  CHECK(only_problem(c).text == "not judged by a controller yet");

  c = example_cluster();
  c.slices.pop_back();
  const auto r = report(c);
  CHECK(r.ok());
  REQUIRE(r.notes.size() == 1);
  CHECK(r.notes[0].objects == std::vector<std::string>{"EgressPolicy default/web"});
}

TEST_CASE("slices without the label count by their owner") {
  auto c = example_cluster();
  for (auto& s : c.slices) {
    s.meta.owners = {{api::kApiVersion, "EgressPolicy", "x",
                      std::string(*s.meta.labels.find(api::kLabelPolicyUid)), true}};
    s.meta.labels = {};
  }
  CHECK(report(c).policies[0].pods == 2);
}

TEST_CASE("a node that is not ready, with the most telling condition") {
  auto c = example_cluster();
  c.nodes[0].status.phase = api::NodePhase::Failed;
  c.nodes[0].status.conditions = {
      condition("Ready", "False", "Failed", "see DatapathReady"),
      condition("DatapathReady", "False", "NoVxlan", "no module vxlan")};
  const auto p = only_problem(c);
  CHECK(p.objects == std::vector<std::string>{"EgressNode n2"});
  CHECK(p.text.starts_with("NoVxlan: no module vxlan; see `kubectl describe node n2`"));
}

TEST_CASE("a gateway whose EIPs stand nowhere") {
  auto c = example_cluster();
  c.gateways[0].status.unplaced = {
      {9, "10.6.1.60", "", {{api::PolicyKind::EgressPolicy, "a", "b"}}}};
  CHECK(only_problem(c).text.starts_with("1 of its EIPs stand nowhere"));
  CHECK(report(c).gateways[0].unplaced[0].users == std::vector<std::string>{"EgressPolicy a/b"});

  c.gateways[0].status.conditions = {condition("Ready", "False", "NoReadyNode", "label a node")};
  CHECK(only_problem(c).text == "NoReadyNode: label a node"); // once, by the controller's own words
}

TEST_CASE("controllers: none, silent, handed over") {
  auto c = example_cluster();
  c.leases.clear();
  CHECK(only_problem(c).text.starts_with("no controller leads"));

  c = example_cluster();
  c.leases[0].renewed = example_now() - std::chrono::seconds(29); // within the clocks' difference
  CHECK(report(c).ok());
  c.leases[0].renewed = example_now() - std::chrono::seconds(31);
  CHECK(only_problem(c).text.starts_with("controller controller-1 led last, 31 s ago"));
  CHECK(report(c).leader.empty());

  api::Lease other = c.leases[0];
  other.holder = "controller-2";
  other.renewed = example_now();
  c.leases.push_back(other);
  CHECK(report(c).leader == "controller-2");
  c.leases = {other};
  c.leases[0].holder = "";
  CHECK(only_problem(c).text.starts_with("no controller leads"));
}

TEST_CASE("cluster info: missing, and what is wrong with it, each told once") {
  auto c = example_cluster();
  c.infos.clear();
  CHECK(only_problem(c).objects == std::vector<std::string>{"EgressClusterInfo default"});

  c = example_cluster();
  c.infos[0].status.conditions = {
      condition("Detected", "False", "NotAllFound", "see conditions PodCIDR and ServiceCIDR"),
      condition("PodCIDR", "False", "NothingFound", "put them into spec.extraCidr"),
      condition("ServiceCIDR", "False", "NotFound", "add it"),
      condition("Watching", "True", "Watching")};
  const auto r = report(c);
  REQUIRE(r.problems.size() == 2);
  CHECK(r.problems[0].text == "NothingFound: put them into spec.extraCidr");
  CHECK(r.problems[1].text == "NotFound: add it");
  CHECK(r.notes.empty());

  c.infos[0].status.conditions = {condition("Detected", "False", "Invalid", "spec.extraCidr[0]"),
                                  condition("ServiceCIDR", "Unknown", "Asking", "soon")};
  CHECK(only_problem(c).text == "Invalid: spec.extraCidr[0]");
}

TEST_CASE("cluster info: what is inside the cluster, merged, and from where") {
  auto c = example_cluster();
  auto& s = c.infos[0].status;
  s.node_ip = {{"n1", {{"10.6.0.10"}, {"fd06::1"}}}, {"n2", {{"10.6.0.11"}, {}}}};
  s.pod_cidr = {{"calico/pool", {{"10.244.0.0/16"}, {}}}, {"n1", {{"10.244.1.0/24"}, {}}}};
  s.pod_cidr_mode = "calico+k8s";
  s.cluster_ip = {{"10.96.0.0/16"}, {"fd00:96::/112"}};
  s.conditions.push_back(condition("ServiceCIDR", "True", "Flags"));
  using Inside = StatusReport::Inside;
  CHECK(report(c).inside ==
        std::vector<Inside>{{"nodes", "Nodes", {"10.6.0.10/31"}, {"fd06::1"}},
                            {"pods", "calico+k8s", {"10.244.0.0/16"}, {}},
                            {"services", "Flags", {"10.96.0.0/16"}, {"fd00:96::/112"}}});
}

TEST_CASE("an object that cannot be read is not passed over") {
  auto c = example_cluster();
  c.broken = {Error{"spec.priority: \"x\" is not an integer of 32 bits"}};
  CHECK(only_problem(c).text.starts_with("unreadable: spec.priority"));
  CHECK(report(c).problem_count() == 1);
}

TEST_CASE("what holds but should be known is a note") {
  auto c = example_cluster();
  c.policies[0].status.conditions.push_back(
      condition("Overlapped", "True", "OthersFirst", "others decide first"));
  auto r = report(c);
  CHECK(r.ok());
  REQUIRE(r.notes.size() == 1);
  CHECK(r.notes[0].text == "OthersFirst: others decide first");
}
