// SPDX-License-Identifier: Apache-2.0
// A wall clock that is set while the controller runs: only what people read follows it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "base/chrono.hpp"
#include "egress/harness.hpp"
#include "egress/policy.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;
using namespace std::chrono_literals;

namespace {

void set_clock(Harness& h, std::chrono::hours by) {
  h.now.wall += by;
  h.api.wall = h.now.wall;
}

bool rests(const Harness& h, std::int32_t id) {
  return std::ranges::any_of(h.gateway("eg1").status.resting_ids,
                             [id](const auto& r) { return r.id == id; });
}

// The id of a policy that was there for a moment.
std::int32_t released(Harness& h) {
  h.policy("default", "gone", "eg1");
  h.settle();
  const auto id = h.policy("default", "gone").status.eip_id;
  REQUIRE(id != 0);
  h.api.remove({Kind::Policy, "default", "gone"});
  h.settle();
  REQUIRE(rests(h, id));
  return id;
}

std::int32_t next_id(Harness& h, const std::string& name) {
  h.policy("default", name, "eg1", "", "web",
           [](api::PolicySpec& spec) { spec.allocator = api::AllocatorPolicy::RoundRobin; });
  h.settle();
  return h.policy("default", name).status.eip_id;
}

} // namespace

TEST_CASE("controller: ids rest five minutes, whatever becomes of the wall clock") {
  for (const auto jump : {1h, -1h}) {
    CAPTURE(jump.count());
    Harness h = cluster();
    const auto id = released(h);
    h.advance(1min);
    set_clock(h, jump);
    CHECK(h.settle() == 0);
    CHECK(next_id(h, "soon") != id);
    CHECK(rests(h, id));
    h.advance(3min);
    set_clock(h, -jump);
    CHECK(next_id(h, "later") != id);
    set_clock(h, jump);
    h.advance(2min);
    CHECK(next_id(h, "after") == id);
  }
}

TEST_CASE("controller: blocks of ids rest five minutes, whatever becomes of the wall clock") {
  for (const auto jump : {1h, -1h}) {
    CAPTURE(jump.count());
    Harness h = cluster();
    const auto blocks = [&h]() -> const std::vector<api::IdBlock>& {
      return h.api.find<api::EgressClusterInfo>(Kind::ClusterInfo, "", "default")->status.id_blocks;
    };
    REQUIRE(blocks().size() == 1);
    const auto first = blocks()[0].first;
    h.api.remove({Kind::Gateway, "", "eg1"});
    h.settle();
    set_clock(h, jump);
    h.advance(4min);
    h.gateway("soon", {"10.6.3.0/28"});
    h.settle();
    CHECK(blocks().back().gateway == "soon");
    CHECK(blocks().back().first != first);
    h.advance(2min);
    h.gateway("later", {"10.6.4.0/28"});
    h.settle();
    CHECK(blocks().front().gateway == "later");
    CHECK(blocks().front().first == first);
  }
}

TEST_CASE("controller: a new leader goes by its own clock") {
  Harness h = cluster();
  const auto id = released(h);
  set_clock(h, -1h);
  h.restart(8);
  h.settle();
  h.advance(30min);
  CHECK(next_id(h, "a") != id);
  h.advance(36min);
  CHECK(next_id(h, "b") == id);
}

TEST_CASE("controller: conditions have the time at which they changed, by the clock of then") {
  Harness h = cluster();
  h.policy("default", "a", "eg1");
  h.settle();
  const auto since = [&h](const char* type) {
    return api::find_condition(h.policy("default", "a").status.conditions, type)->last_transition;
  };
  const auto accepted = since(kAccepted), ready = since(kReady);
  for (const auto jump : {1h, -2h}) {
    CAPTURE(jump.count());
    set_clock(h, jump);
    CHECK(h.settle() == 0);
    for (const bool up : {false, true}) {
      for (const char* name : {"node1", "node2", "node3"}) h.node(name, up);
      h.settle();
      CHECK(since(kReady) == std::chrono::floor<std::chrono::seconds>(h.now.wall));
      CHECK(since(kReady) != ready);
      CHECK(since(kAccepted) == accepted);
      h.advance(1s);
    }
  }
}

TEST_CASE("controller: what waits a second waits a second") {
  for (const auto jump : {1h, -1h}) {
    CAPTURE(jump.count());
    Harness h = cluster();
    h.policy("default", "a", "eg1", "10.6.2.11");
    h.settle();
    h.advance(1min);
    // Names in a gateway's status come once a second.
    const Time start = h.now.steady;
    for (const char* name : {"b", "c", "d"}) {
      h.policy("default", name, "eg1", "10.6.2.11");
      h.pump();
      set_clock(h, jump);
    }
    h.settle();
    CHECK(find_entry(h.gateway("eg1").status, h.policy("default", "a").status.eip_id)
              .entry->policies.size() == 4);
    CHECK(h.now.steady - start >= 1s);
    CHECK(h.now.steady - start <= 2s);
  }
}
