// SPDX-License-Identifier: Apache-2.0
// A gateway's status that another write was faster with, while policies were told their EIPs.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/chrono.hpp"
#include "egress/harness.hpp"
#include "egress/policy.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;
using namespace std::chrono_literals;

namespace {

// One step at a time: what the core writes is handed out, and done when the test says so.
struct Steps {
  Harness h = cluster();

  std::vector<Write> step(std::vector<Event> events = {}) {
    for (std::size_t k = 0; k < kKinds; ++k) {
      while (auto event = h.api.next(static_cast<Kind>(k))) events.push_back(*std::move(event));
    }
    std::vector<Write> writes;
    for (Action& action : h.core->step(std::move(events), h.now)) {
      if (auto* write = std::get_if<Write>(&action)) writes.push_back(*std::move(write));
    }
    return writes;
  }
  std::vector<Event> perform(const std::vector<Write>& writes) {
    std::vector<Event> answers;
    for (const Write& write : writes) answers.emplace_back(h.api.write(write));
    return answers;
  }
  // Until there is nothing more to do now.
  void finish(std::vector<Write> writes) {
    while (!writes.empty()) writes = step(perform(writes));
  }
  void in_turn(const std::string& name) {
    h.policy("default", name, "eg1", "", "web",
             [](api::PolicySpec& spec) { spec.allocator = api::AllocatorPolicy::RoundRobin; });
  }
  std::int32_t told(const std::string& name) const {
    return h.policy("default", name).status.eip_id;
  }
};

bool writes_gateway(const std::vector<Write>& writes) {
  return std::ranges::any_of(writes,
                             [](const Write& w) { return key_of(w.object).kind == Kind::Gateway; });
}

} // namespace

TEST_CASE_FIXTURE(Steps, "controller: an EIP that a policy was told of goes to no other one") {
  in_turn("p2");
  const auto writes = step();
  REQUIRE(writes_gateway(writes));
  // Somebody edits the gateway, and another policy comes, of the same second and before it by name.
  auto gateway = h.gateway("eg1");
  gateway.spec.cluster_default = true;
  h.api.put(gateway);
  in_turn("p10");
  const auto answers = perform(writes);
  const auto id = told("p2");
  REQUIRE(id != 0);
  REQUIRE(find_entry(h.gateway("eg1").status, id).entry == nullptr);
  const auto again = step(answers);
  REQUIRE(writes_gateway(again));
  finish(again);
  h.settle();
  CHECK(told("p2") == id);
  CHECK(told("p10") != id);
  CHECK(h.policy("default", "p2").status.eip_ipv4 == "10.6.2.11");
}

TEST_CASE_FIXTURE(Steps,
                  "controller: no policy is told of an EIP while its gateway's writes fail") {
  in_turn("a");
  for (const Write& write : step()) {
    if (key_of(write.object).kind != Kind::Gateway) h.api.write(write);
    step(one(WriteDone{key_of(write.object), WriteDone::Outcome::Failed, {}}));
  }
  in_turn("b");
  h.advance(1s);
  const auto writes = step();
  REQUIRE(writes.size() == 1);
  REQUIRE(writes_gateway(writes));
  finish(writes);
  h.settle();
  CHECK(told("a") != 0);
  CHECK(told("b") != 0);
  CHECK(h.violations().empty());
}

TEST_CASE_FIXTURE(Steps, "controller: policies that come faster than statuses are written") {
  h.gateway("big", {"10.8.0.0/24"});
  h.settle();
  std::vector<Write> statuses;
  const auto is_status = [](const Write& w) { return key_of(w.object).kind == Kind::Policy; };
  for (int i = 99; i >= 10; --i) { // each before all that came, by name
    h.policy("default", fmt::format("p{}", i), "big", "", "web",
             [](api::PolicySpec& spec) { spec.allocator = api::AllocatorPolicy::RoundRobin; });
    // Gateways and blocks of ids are written at once, policies' statuses wait.
    for (auto writes = step(); !writes.empty();) {
      std::ranges::copy_if(writes, std::back_inserter(statuses), is_status);
      std::erase_if(writes, is_status);
      writes = step(perform(writes));
    }
    h.advance(10ms);
  }
  CHECK(statuses.size() == 90); // nobody is told that it waits for a block of ids
  finish(step(perform(statuses)));
  CHECK(h.settle() <= 1); // names in the gateway
  std::set<std::string> addresses;
  for (int i = 10; i < 100; ++i) {
    addresses.insert(h.policy("default", fmt::format("p{}", i)).status.eip_ipv4);
  }
  CHECK(addresses.size() == 90);
  CHECK_FALSE(addresses.contains(""));
  CHECK(h.violations().empty());
}

TEST_CASE_FIXTURE(Steps, "controller: a policy that waits long for an id says so") {
  in_turn("first");
  h.settle();
  // As if no block was to be had: the writes of EgressClusterInfo fail.
  for (int i = 0; i < 40; ++i) in_turn(fmt::format("p{:02}", i));
  const auto run = [&](Duration time) {
    for (const Time end = h.now.steady + time; h.now.steady < end; h.advance(100ms)) {
      for (auto writes = step(); !writes.empty();) {
        std::vector<Event> answers;
        for (const Write& w : writes) {
          const bool info = key_of(w.object).kind == Kind::ClusterInfo;
          answers.emplace_back(info ? WriteDone{key_of(w.object), WriteDone::Outcome::Failed, {}}
                                    : h.api.write(w));
        }
        writes = step(std::move(answers));
      }
    }
  };
  auto gateway = h.gateway("eg1");
  gateway.spec.ipv4_pool = {"10.6.2.10-10.6.2.99"};
  gateway.spec.ipv6_pool = {};
  h.api.put(gateway);
  run(5s);
  CHECK(told("p39") == 0);
  CHECK(h.policy("default", "p39").status.conditions.empty());
  run(10s);
  CHECK(h.condition(h.policy("default", "p39").status.conditions, kAllocated) ==
        "False WaitingForId");
  h.advance(30s);
  h.settle();
  CHECK(told("p39") != 0);
}
