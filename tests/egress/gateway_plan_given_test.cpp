// SPDX-License-Identifier: Apache-2.0
// An EIP that a policy was given is its own from then on, whatever its status or the gateway's say.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/chrono.hpp"
#include "egress/gateway_case.hpp"
#include "egress/policy_plan.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;

namespace {

struct Given : GatewayCase {
  std::map<api::PolicyKey, Allocation> given;

  Given() { in.given = &given; }
  api::EgressPolicy& policy_named(const std::string& name) {
    api::EgressPolicy& p = policy_in_turn();
    p.meta.name = name;
    return p;
  }
  // Plans, and the API server takes the gateway's status alone.
  GatewayPlan write_gateway() {
    GatewayPlan p = plan();
    gateway.status = p.status;
    given = p.allocations;
    return p;
  }
  // Plans, and the write of it fails.
  GatewayPlan fail() {
    GatewayPlan p = plan();
    given = p.allocations;
    return p;
  }
  const Allocation& of(const std::string& name) {
    return given.at({api::PolicyKind::EgressPolicy, "default", name});
  }
};

} // namespace

TEST_CASE_FIXTURE(Given, "gateway plan: who comes later takes nobody's EIP, though statuses lag") {
  std::map<std::string, Allocation> first;
  for (int i = 40; i > 10; --i) { // each before all that came, by name
    const std::string name = fmt::format("in-turn-{}", i);
    policy_named(name);
    write_gateway();
    first[name] = of(name);
    CHECK(first[name].id != 0);
    for (const auto& [other, allocation] : first) CHECK(of(other) == allocation);
  }
  std::set<std::string> addresses;
  for (const auto& [name, allocation] : first) addresses.insert(allocation.ipv4);
  CHECK(addresses.size() == first.size());
  // In any order in which the statuses come.
  for (auto& p : policies) p.status.eip_id = p.meta.name < "in-turn-25" ? of(p.meta.name).id : 0;
  CHECK(plan().status == gateway.status);
  CHECK(plan().allocations == given);
}

TEST_CASE_FIXTURE(Given,
                  "gateway plan: what was given is given again when the write of it failed") {
  policy_named("b");
  policy_named("c");
  fail();
  const auto b = of("b"), c = of("c");
  CHECK(b.ipv4 == "10.0.0.2");
  policy_named("a");
  SUBCASE("by the plan before") {}
  SUBCASE("by an earlier leader") {
    for (auto& p : policies) {
      if (p.meta.name == "a") continue;
      p.status.eip_id = of(p.meta.name).id;
      p.status.eip_ipv4 = of(p.meta.name).ipv4;
    }
    given.clear();
  }
  write_gateway();
  CHECK(of("b") == b);
  CHECK(of("c") == c);
  CHECK(of("a").ipv4 == "10.0.0.4");
  CHECK(find_entry(gateway.status, b.id).entry->ipv4 == b.ipv4);
  CHECK(find_entry(gateway.status, of("a").id).entry->ipv4 == "10.0.0.4");
}

TEST_CASE_FIXTURE(Given, "gateway plan: policies of one EIP get it together again") {
  policy("10.0.0.50");
  policy("10.0.0.50");
  policy("");
  policy("");
  const auto before = fail().allocations;
  policies.insert(policies.begin(), policies.back());
  policies.front().meta.name = "a";
  const auto after = write_gateway().allocations;
  for (const auto& [key, allocation] : before) CHECK(after.at(key) == allocation);
  CHECK(after.at(policies.front().key()) == before.at(policies.back().key()));
}

TEST_CASE_FIXTURE(Given, "gateway plan: what was given is not given again when it can't be") {
  policy_named("b");
  fail();
  const auto b = of("b");
  const auto address = Address::parse(b.ipv4).value();
  std::string refusal;
  SUBCASE("the address has left the pool") {
    gateway.spec.ipv4_pool = {"10.0.0.50-10.0.0.60"};
  }
  SUBCASE("another gateway holds the address") {
    in.taken = {address};
  }
  SUBCASE("another gateway uses the id") {
    in.foreign_ids = {b.id};
  }
  SUBCASE("the block is another gateway's") {
    in.blocks = {65};
  }
  SUBCASE("the id rests") {
    gateway.status.resting_ids = {{b.id, kNow + std::chrono::minutes(1)}};
  }
  SUBCASE("another entry has the id") {
    gateway.status.node_list = {{"node1", "Ready", {{b.id, "10.0.0.77", "", {}}}}};
    policy("10.0.0.77").status.eip_id = b.id;
  }
  SUBCASE("another entry has the address") {
    gateway.status.node_list = {{"node1", "Ready", {{b.id + 1, b.ipv4, "", {}}}}};
    policy(b.ipv4).status.eip_id = b.id + 1;
  }
  SUBCASE("the policy wants another one") {
    policies[0].spec.allocator = api::AllocatorPolicy::Default;
    policies[0].spec.eip_ipv4 = "10.0.0.9";
  }
  SUBCASE("the gateway is refused") {
    in.refusal = Refusal{"PoolOverlap", ""};
    refusal = "PoolOverlap";
  }
  write_gateway();
  CHECK(of("b").refusal.reason == refusal);
  CHECK((of("b").id == 0) == !refusal.empty());
  CHECK((of("b").id != b.id || of("b").ipv4 != b.ipv4));
  const auto again = given;
  write_gateway();
  CHECK(given == again);
}

TEST_CASE_FIXTURE(Given, "gateway plan: a gateway that is full gives nothing again") {
  gateway.spec.ipv4_pool = {"10.0.0.0/16"};
  in.blocks.clear();
  for (int i = 0; i < 40; ++i) in.blocks.push_back(1 + 32 * i);
  for (int i = 0; i < 1000; ++i) policy_in_turn();
  write_gateway();
  api::EgressPolicy& more = policy_in_turn();
  more.status.eip_id = 1200;
  more.status.eip_ipv4 = "10.0.99.1";
  write_gateway();
  const auto refused = given.at(policies.back().key());
  CHECK(refused.id == 0);
  CHECK(refused.refusal.reason == "GatewayFull");
}
