// SPDX-License-Identifier: Apache-2.0
#include "egress/allocation.hpp"

#include <doctest/doctest.h>

using namespace egw;
using namespace egw::egress;

namespace {

api::Pools pools(const std::vector<std::string>& v4, const std::vector<std::string>& v6 = {}) {
  api::EgressGatewaySpec spec;
  spec.ipv4_pool = v4;
  spec.ipv6_pool = v6;
  return api::parse_pools(spec).value();
}

api::PolicySpec wants(const std::string& v4 = "", const std::string& v6 = "") {
  api::PolicySpec spec;
  spec.gateway = "eg1";
  spec.eip_ipv4 = v4;
  spec.eip_ipv6 = v6;
  return spec;
}

PoolState state_of(api::Pools p) {
  PoolState state;
  state.pools = std::move(p);
  return state;
}

std::string text(const EipChoice& choice) {
  if (const auto* shared = std::get_if<SharedEip>(&choice)) return "#" + std::to_string(shared->id);
  if (const auto* fresh = std::get_if<NewEip>(&choice)) return fresh->ipv4 + " " + fresh->ipv6;
  return std::get<Refusal>(choice).reason;
}

} // namespace

TEST_CASE("allocation: the default EIP is the lowest address, shared by all who name none") {
  PoolState state = state_of(pools({"10.0.0.5-10.0.0.9"}));
  CHECK(text(choose_eip(wants(), state)) == "10.0.0.5 ");
  const api::EipEntry entry{3, "10.0.0.5", "", {}};
  state.hold(entry, 1);
  CHECK(text(choose_eip(wants(), state)) == "#3");
  CHECK(text(choose_eip(wants("10.0.0.5"), state)) == "#3");
}

TEST_CASE("allocation: pairs of both families stay pairs") {
  PoolState state = state_of(pools({"10.0.0.5-10.0.0.7"}, {"fd00::5-fd00::7"}));
  CHECK(text(choose_eip(wants(), state)) == "10.0.0.5 fd00::5");
  // Named by one family: the other half is free, and not the default, which others may want.
  CHECK(text(choose_eip(wants("10.0.0.6"), state)) == "10.0.0.6 fd00::6");
  CHECK(text(choose_eip(wants("", "fd00::7"), state)) == "10.0.0.6 fd00::7");
  CHECK(text(choose_eip(wants("10.0.0.5"), state)) == "10.0.0.5 fd00::5");
  CHECK(text(choose_eip(wants("10.0.0.6", "fd00:0::7"), state)) == "10.0.0.6 fd00::7");

  const api::EipEntry six{2, "10.0.0.6", "fd00::6", {}}, seven{3, "10.0.0.7", "fd00::7", {}};
  state.hold(six, 1);
  CHECK(text(choose_eip(wants("", "fd00::6"), state)) == "#2");
  CHECK(text(choose_eip(wants("10.0.0.6", "fd00::7"), state)) == "PairMismatch");
  CHECK(text(choose_eip(wants("10.0.0.7", "fd00::6"), state)) == "PairMismatch");
  state.hold(seven, 1);
  CHECK(text(choose_eip(wants(), state)) == "10.0.0.5 fd00::5");
}

TEST_CASE("allocation: one family that has run out is a refusal that says so") {
  PoolState state = state_of(pools({"10.0.0.5-10.0.0.9"}, {"fd00::5-fd00::6"}));
  const api::EipEntry six{2, "10.0.0.6", "fd00::6", {}};
  state.hold(six, 1);
  const auto choice = choose_eip(wants("10.0.0.7"), state);
  CHECK(text(choice) == "PoolExhausted");
  CHECK(std::get<Refusal>(choice).message.find("IPv6") != std::string::npos);
}

TEST_CASE("allocation: what can't be had") {
  PoolState state = state_of(pools({"10.0.0.5-10.0.0.9"}));
  CHECK(text(choose_eip(wants("10.0.0.4"), state)) == "NotInPool");
  CHECK(text(choose_eip(wants("nonsense"), state)) == "NotInPool");
  CHECK(text(choose_eip(wants("", "fd00::1"), state)) == "NotInPool");
  state.taken.insert(Address::parse("10.0.0.6").value());
  CHECK(text(choose_eip(wants("10.0.0.6"), state)) == "HeldElsewhere");
  CHECK(text(choose_eip(wants(), PoolState{})) == "EmptyPool");
}

TEST_CASE("allocation: a /64 costs nothing") {
  PoolState state = state_of(pools({"10.0.0.0/8"}, {"fd00::/64"}));
  CHECK(text(choose_eip(wants("10.200.0.1"), state)) == "10.200.0.1 fd00::1");
}

TEST_CASE("allocation: whoever has an EIP keeps it, unless it names another") {
  const api::EipEntry entry{3, "10.0.0.5", "fd00::5", {}};
  CHECK(fits(wants(), entry));
  CHECK(fits(wants("10.0.0.5"), entry));
  CHECK(fits(wants("", "fd00::0:5"), entry));
  CHECK_FALSE(fits(wants("10.0.0.6"), entry));
  CHECK_FALSE(fits(wants("10.0.0.5", "fd00::6"), entry));
}

TEST_CASE("allocation: rr takes what nobody uses, the default EIP last, then the least used") {
  api::PolicySpec rr = wants();
  rr.allocator = api::AllocatorPolicy::RoundRobin;
  PoolState state = state_of(pools({"10.0.0.5-10.0.0.7"}, {"fd00::5-fd00::8"}));
  CHECK(text(choose_eip(rr, state)) == "10.0.0.6 fd00::6");
  state.hold({1, "10.0.0.6", "fd00::6", {}}, 2);
  CHECK(text(choose_eip(rr, state)) == "10.0.0.7 fd00::7");
  state.hold({2, "10.0.0.7", "fd00::7", {}}, 1);
  CHECK(text(choose_eip(rr, state)) == "10.0.0.5 fd00::8");
  state.hold({3, "10.0.0.5", "fd00::8", {}}, 1);
  CHECK(text(choose_eip(rr, state)) == "#2"); // one user, and the lower id
  state.eips.at(2).users = 3;
  CHECK(text(choose_eip(rr, state)) == "#3");
  // IPv4 has run out, so there is no further pair, though IPv6 has addresses.
  CHECK(state.pools.addresses.contains(Address::parse("fd00::5").value()));
  // What the policy names comes before its allocatorPolicy.
  rr.eip_ipv4 = "10.0.0.6";
  CHECK(text(choose_eip(rr, state)) == "#1");
}

TEST_CASE("allocation: rr with nothing to give says which family has run out") {
  api::PolicySpec rr = wants();
  rr.allocator = api::AllocatorPolicy::RoundRobin;
  PoolState state = state_of(pools({"10.0.0.5"}, {"fd00::5"}));
  state.taken = {Address::parse("fd00::5").value()};
  const auto choice = choose_eip(rr, state);
  REQUIRE(text(choice) == "PoolExhausted");
  CHECK(std::get<Refusal>(choice).message ==
        "gateway eg1 has no free IPv6 address: add addresses to spec.ippools");
}

TEST_CASE("allocation: an EIP that left the pool gets no new users") {
  api::PolicySpec rr = wants();
  rr.allocator = api::AllocatorPolicy::RoundRobin;
  PoolState state = state_of(pools({"10.0.0.5"}));
  state.hold({1, "10.0.0.9", "", {}}, 1);
  state.hold({2, "10.0.0.5", "", {}}, 7);
  CHECK(text(choose_eip(rr, state)) == "#2");
}

TEST_CASE("allocation: useNodeIP spreads over as many entries as there are nodes") {
  api::PolicySpec own = wants();
  own.use_node_ip = true;
  PoolState state; // an empty pool will do
  state.nodes = 2;
  CHECK(text(choose_eip(own, state)) == " ");
  state.hold({4, "", "", {}}, 1);
  CHECK(text(choose_eip(own, state)) == " ");
  state.hold({5, "", "", {}}, 1);
  CHECK(text(choose_eip(own, state)) == "#4");
  state.eips.at(4).users = 2;
  CHECK(text(choose_eip(own, state)) == "#5");
  state.hold({6, "", "", {}}); // of nobody: taken before a new one is made
  CHECK(text(choose_eip(own, state)) == "#6");
  state.nodes = 0; // no node is ready: one entry waits for one
  state.eips.clear();
  CHECK(text(choose_eip(own, state)) == " ");
  state.hold({7, "", "", {}}, 1);
  CHECK(text(choose_eip(own, state)) == "#7");

  CHECK(fits(own, {7, "", "", {}}));
  CHECK_FALSE(fits(own, {7, "10.0.0.5", "", {}}));
  CHECK_FALSE(fits(wants(), {7, "", "", {}}));
}

TEST_CASE("allocation: an EIP of one family becomes a pair when the gateway gets the other") {
  PoolState state = state_of(pools({"10.0.0.5-10.0.0.6"}, {"fd00::5-fd00::6"}));
  const api::EipEntry first{1, "10.0.0.5", "", {}}, second{2, "10.0.0.6", "", {}};
  state.hold(first, 1);
  state.hold(second, 1);
  // The default goes with the default.
  CHECK(complete_pair(first, Family::V6, state) == Address::parse("fd00::5").value());
  CHECK(complete_pair(second, Family::V6, state) == Address::parse("fd00::6").value());
  CHECK_FALSE(complete_pair(first, Family::V4, state));           // it has one
  CHECK_FALSE(complete_pair({3, "", "", {}}, Family::V4, state)); // a node's own address
  state.taken = {Address::parse("fd00::6").value()};
  CHECK_FALSE(complete_pair(second, Family::V6, state));
}
