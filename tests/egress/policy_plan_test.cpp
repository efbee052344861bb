// SPDX-License-Identifier: Apache-2.0
#include "egress/policy_plan.hpp"

#include <doctest/doctest.h>

#include "egress/policy.hpp"

using namespace egw;
using namespace egw::egress;

namespace {

const WallTime kNow = parse_rfc3339("2026-01-01T00:00:00Z");

struct Case {
  api::EgressPolicy policy;
  api::Namespace ns;
  std::map<std::string, api::EgressGateway> gateways;
  std::map<std::string, Refusal> refused;
  const api::EgressGateway* by_default = nullptr;
  std::vector<const CompiledPolicy*> ahead;

  Case() {
    policy.kind = api::PolicyKind::EgressPolicy;
    policy.meta.name = "app";
    policy.meta.namespace_ = "team";
    policy.meta.generation = 3;
    policy.spec.gateway = "eg1";
    policy.spec.pod_selector = api::LabelSelector{{{"app", "web"}}, {}};
    ns.meta.name = "team";
    gateways["eg1"].meta.name = "eg1";
  }
  Verdict verdict() { return judge({&policy, &ns, &gateways, by_default, &refused}); }
  api::PolicyStatus status(const Allocation* a = nullptr, const std::string& node = "") {
    const Verdict v = verdict();
    const auto gateway = gateways.find(v.gateway);
    return plan_policy_status({&policy, &v,
                               gateway == gateways.end() ? nullptr : &gateway->second.spec, a, node,
                               ahead, kNow});
  }
};

std::string text(const api::PolicyStatus& status, const char* type) {
  const auto* c = api::find_condition(status.conditions, type);
  return c == nullptr ? "" : c->status + " " + c->reason;
}

} // namespace

TEST_CASE("policy plan: accepted, and why not") {
  Case c;
  CHECK(c.verdict().accepted);
  c.policy.spec.dest_subnet = {"nonsense"};
  CHECK(c.verdict().refusal.reason == "Invalid");
  c.policy.spec.dest_subnet.clear();
  c.gateways.at("eg1").meta.deleting = true;
  CHECK(c.verdict().refusal.reason == "GatewayNotFound");
  c.gateways.clear();
  CHECK(c.verdict().refusal.reason == "GatewayNotFound");
  c.policy.meta.deleting = true;
  CHECK(c.verdict().refusal.reason == "Deleting");
}

TEST_CASE("policy plan: a gateway's scope") {
  Case c;
  auto& spec = c.gateways.at("eg1").spec;
  spec.scope_namespaces = {"other"};
  CHECK(c.verdict().refusal.reason == "NotInScope");
  spec.scope_namespace_selector = api::LabelSelector{{{"team", "a"}}, {}};
  CHECK(c.verdict().refusal.reason == "NotInScope");
  c.ns.meta.labels.set("team", "a");
  CHECK(c.verdict().accepted); // one of the two is enough
  spec.scope_namespace_selector.reset();
  CHECK_FALSE(c.verdict().accepted);
  spec.scope_namespaces->push_back("team");
  CHECK(c.verdict().accepted);
  spec.scope_namespaces = std::vector<std::string>{};
  CHECK(c.verdict().refusal.reason == "NotInScope"); // an empty list admits nobody
  c.policy.kind = api::PolicyKind::EgressClusterPolicy;
  c.policy.meta.namespace_.clear();
  CHECK(c.verdict().accepted);
}

TEST_CASE("policy plan: an empty gateway name") {
  Case c;
  c.policy.spec.gateway.clear();
  CHECK(c.verdict().refusal.reason == "NoDefaultGateway");
  c.gateways["eg2"].meta.name = "eg2";
  c.by_default = &c.gateways.at("eg2");
  CHECK(c.verdict() == Verdict{true, {}, "eg2", true});
  c.ns.meta.annotations.set(api::kLabelNamespaceDefault, "eg1");
  CHECK(c.verdict() == Verdict{true, {}, "eg1", true});
  c.ns.meta.labels.set(api::kLabelNamespaceDefault, "eg3");
  CHECK(c.verdict().refusal.reason == "GatewayNotFound");
  CHECK_FALSE(c.verdict().fill); // it could not be changed afterwards
}

TEST_CASE("policy plan: a refused gateway refuses newcomers") {
  Case c;
  c.refused["eg1"] = {"Invalid", "why"};
  CHECK(c.verdict().refusal.reason == "GatewayRefused");
  c.policy.status.eip_id = 7;
  CHECK(c.verdict().accepted);
}

TEST_CASE("policy plan: from Pending to Ready, and closed when it is refused later") {
  Case c;
  const Allocation none{0, "", "", {"PoolExhausted", "why"}};
  CHECK(text(c.status(&none), kAllocated) == "False PoolExhausted");
  CHECK(text(c.status(&none), kEnforced) == "True Accepted");
  const Allocation got{7, "10.0.0.1", "fd00::1", {}};
  CHECK(text(c.status(&got), kAllocated) == "True Allocated");
  CHECK(text(c.status(&got), kReady) == "False NoReadyNode");
  const auto ready = c.status(&got, "node1");
  CHECK(text(ready, kReady) == "True Ready");
  CHECK(ready.node == "node1");
  CHECK(ready.eip_id == 7);
  CHECK(api::find_condition(ready.conditions, kReady)->observed_generation == 3);

  c.policy.status = ready;
  CHECK(c.status(&got, "node1") == ready);
  c.gateways.clear();
  const auto closed = c.status();
  CHECK(text(closed, kEnforced) == "True Accepted");
  CHECK(text(closed, kAccepted) == "False GatewayNotFound");
  CHECK(text(closed, kAllocated) == "False GatewayNotFound");
  CHECK(closed.eip_id == 0);
  CHECK(closed.eip_ipv4.empty());
  CHECK(closed.node.empty());

  c.policy.status = {};
  const auto ignored = c.status();
  CHECK(text(ignored, kEnforced).empty());
  CHECK(text(ignored, kAllocated).empty());
  CHECK(text(ignored, kReady) == "False GatewayNotFound");
}

TEST_CASE("policy plan: the status names policies that come first") {
  Case c;
  const Allocation a{7, "10.0.0.1", "", {}};
  const auto alone = c.status(&a, "node1");
  CHECK(text(alone, kOverlapped).empty());
  std::vector<CompiledPolicy> others(5);
  for (std::size_t i = 0; i < others.size(); ++i) {
    others[i].key = {api::PolicyKind::EgressClusterPolicy, "", "p" + std::to_string(i)};
    others[i].priority = static_cast<std::int32_t>(10 * i + 10);
  }
  c.ahead = {&others[0]};
  c.policy.status = c.status(&a, "node1");
  CHECK(text(c.policy.status, kOverlapped) == "True OthersFirst");
  CHECK(text(c.policy.status, kReady) == "True Ready");
  CHECK(same_but_overlap(c.policy.status, alone));
  CHECK_FALSE(same_but_overlap(c.policy.status, c.status(&a)));
  for (std::size_t i = 1; i < others.size(); ++i) c.ahead.push_back(&others[i]);
  CHECK(api::find_condition(c.status(&a, "node1").conditions, kOverlapped)->message ==
        "of pods and destinations that several name, these decide first: EgressClusterPolicy p0 "
        "(priority 10), EgressClusterPolicy p1 (priority 20), EgressClusterPolicy p2 (priority 30) "
        "and 2 more");
  c.ahead.clear();
  CHECK(text(c.status(&a, "node1"), kOverlapped).empty());
}
