// SPDX-License-Identifier: Apache-2.0
// A stand-by leads: it acts once every watch has been opened anew.
#include <doctest/doctest.h>

#include "egress/controller_core.hpp"
#include "egress/harness.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;

namespace {

// What a stand-by knows whose watch of policies stands still.
std::vector<Event> lists_without_policies(Harness& h) {
  auto lists = h.api.lists();
  for (Event& event : lists) {
    auto& list = std::get<Replaced>(event);
    if (list.kind == Kind::Policy) list.objects.clear();
  }
  return lists;
}

} // namespace

TEST_CASE("controller: what a new leader has not seen since it leads is not taken away") {
  Harness h = cluster();
  h.policy("default", "missed", "eg1");
  h.settle();
  auto lists = h.api.lists(); // with the policy and its EIP
  ControllerCore standby({});
  CHECK(standby.step(lists_without_policies(h), h.now).empty());
  CHECK(standby.step(one(LeaderChanged{8, 1}), h.now).empty());
  CHECK_FALSE(standby.active());
  for (std::size_t i = 0; i < lists.size(); ++i) {
    std::get<Replaced>(lists[i]).round = 1;
    CHECK_FALSE(standby.active());
    const auto actions = standby.step(one(lists[i]), h.now);
    if (i + 1 < lists.size()) CHECK(actions.empty());
    for (const Action& action : actions) {
      const auto* write = std::get_if<Write>(&action);
      if (write == nullptr || write->verb == WriteVerb::UpdateStatus) continue;
      FAIL_CHECK("it writes ", to_string(write->verb));
    }
  }
  CHECK(standby.active());
}

TEST_CASE("controller: a new leader waits for what its watches missed") {
  Harness h = cluster();
  h.policy("default", "missed", "eg1");
  h.settle();
  ControllerCore standby({});
  CHECK(standby.step(lists_without_policies(h), h.now).empty());
  CHECK(standby.step(one(LeaderChanged{8, 1}), h.now).empty());
  CHECK_FALSE(standby.deadline());
  for (std::size_t i = 0; i < kKinds; ++i) {
    CHECK_FALSE(standby.deadline());
    CHECK(standby.step(one(Reopened{static_cast<Kind>(i), 1}), h.now).empty());
  }
  // The server had answered, but does not know the way on: a list is needed.
  CHECK(standby.step(one(FellBehind{Kind::Policy}), h.now).empty());
  CHECK_FALSE(standby.deadline());
  CHECK(standby.step(one(Reopened{Kind::Policy, 1}), h.now).empty());
  REQUIRE(standby.deadline());
  CHECK(*standby.deadline() == h.now.steady + ControllerOptions{}.catch_up);
  CHECK(standby.step(one(Upsert{h.policy("default", "missed")}), h.now).empty());
  h.advance(ControllerOptions{}.catch_up);
  for (const Action& action : standby.step({}, h.now)) {
    const auto* write = std::get_if<Write>(&action);
    if (write == nullptr || write->verb == WriteVerb::UpdateStatus) continue;
    FAIL_CHECK("it writes ", to_string(write->verb));
  }
  CHECK(standby.active());
}

TEST_CASE("controller: what becomes known to a leader late is looked at as a whole") {
  Harness h = cluster();
  h.policy("default", "a", "eg1");
  h.settle();
  ControllerCore core({});
  static_cast<void>(core.step(h.api.lists(), h.now));
  static_cast<void>(core.step(one(LeaderChanged{8, 1}), h.now));
  static_cast<void>(core.step(one(Access{Kind::Gateway, "forbidden"}), h.now));
  for (std::size_t i = 0; i < kKinds; ++i) {
    const auto kind = static_cast<Kind>(i);
    if (kind != Kind::Gateway) static_cast<void>(core.step(one(Reopened{kind, 1}), h.now));
  }
  h.advance(ControllerOptions{}.catch_up);
  static_cast<void>(core.step({}, h.now));
  CHECK(core.active());
  const auto verdicts = core.counters().verdicts;
  static_cast<void>(core.step(one(Reopened{Kind::Gateway, 1}), h.now));
  CHECK(core.counters().verdicts > verdicts);
}

TEST_CASE("controller: a kind that is denied keeps nobody from leading") {
  Harness h = cluster();
  ControllerCore core({});
  static_cast<void>(core.step(h.api.lists(), h.now));
  static_cast<void>(core.step(one(LeaderChanged{8, 1}), h.now));
  for (Event event : h.api.lists()) {
    auto& list = std::get<Replaced>(event);
    list.round = 1;
    if (list.kind != Kind::IpPool) static_cast<void>(core.step(one(std::move(event)), h.now));
  }
  CHECK_FALSE(core.active());
  static_cast<void>(core.step(one(Access{Kind::IpPool, "forbidden"}), h.now));
  CHECK(core.active());
}

TEST_CASE("controller: a new leader that may not read policies keeps the EIPs of those it knew") {
  Harness h = cluster();
  h.policy("default", "missed", "eg1");
  h.settle();
  ControllerCore core({});
  const auto step = [&](Event event) {
    for (const Action& action : core.step(one(std::move(event)), h.now)) {
      const auto* write = std::get_if<Write>(&action);
      if (write == nullptr || key_of(write->object).kind != Kind::Gateway) continue;
      CHECK(find_entry(std::get<api::EgressGateway>(write->object).status,
                       h.policy("default", "missed").status.eip_id)
                .entry != nullptr);
    }
  };
  for (Event& event : lists_without_policies(h)) step(std::move(event));
  step(LeaderChanged{8, 1});
  step(Access{Kind::Policy, "forbidden"});
  for (Event event : h.api.lists()) {
    auto& list = std::get<Replaced>(event);
    list.round = 1;
    if (list.kind != Kind::Policy) step(std::move(event));
  }
  CHECK(core.active());
}

// An API server that has just started refuses what it has not read the roles for.
TEST_CASE("controller: whatever is refused for a moment, a leader that comes back takes nothing") {
  for (std::size_t refused = 0; refused < kKinds; ++refused) {
    CAPTURE(to_string(static_cast<Kind>(refused)));
    Harness h = cluster();
    h.policy("default", "a", "eg1");
    h.pod("default", "pod1", "node1", "10.244.1.1");
    h.settle();
    const std::int32_t id = h.policy("default", "a").status.eip_id;
    ControllerCore core({});
    std::vector<Write> writes;
    const auto step = [&](std::vector<Event> events) {
      for (Action& action : core.step(std::move(events), h.now)) {
        if (auto* write = std::get_if<Write>(&action)) writes.push_back(*std::move(write));
      }
    };
    step(h.api.lists());
    step(one(LeaderChanged{8, 1}));
    step(one(LostLeadership{}));
    step(one(LeaderChanged{9, 2}));
    step(one(Access{static_cast<Kind>(refused), "forbidden"}));
    for (std::size_t i = 0; i < kKinds; ++i) {
      if (i != refused) step(one(Reopened{static_cast<Kind>(i), 2}));
    }
    h.advance(ControllerOptions{}.catch_up);
    step({});
    CHECK(core.active());
    step(one(Access{static_cast<Kind>(refused), std::nullopt}));
    step(one(Reopened{static_cast<Kind>(refused), 2}));
    for (const Write& write : writes) {
      CHECK(write.verb != WriteVerb::Remove);
      if (key_of(write.object).kind != Kind::Gateway) continue;
      const auto& status = std::get<api::EgressGateway>(write.object).status;
      CHECK(find_entry(status, id).node == h.policy("default", "a").status.node);
    }
  }
}
