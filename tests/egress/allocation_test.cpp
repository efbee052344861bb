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

void hold(PoolState& state, const api::EipEntry& entry) {
  for (const auto* text : {&entry.ipv4, &entry.ipv6}) {
    if (!text->empty()) state.held.emplace(Address::parse(*text).value(), &entry);
  }
}

std::string text(const EipChoice& choice) {
  if (const auto* shared = std::get_if<SharedEip>(&choice)) return "#" + std::to_string(shared->id);
  if (const auto* fresh = std::get_if<NewEip>(&choice)) return fresh->ipv4 + " " + fresh->ipv6;
  return std::get<Refusal>(choice).reason;
}

} // namespace

TEST_CASE("allocation: the default EIP is the lowest address, shared by all who name none") {
  PoolState state{pools({"10.0.0.5-10.0.0.9"}), {}, {}};
  CHECK(text(choose_eip(wants(), state)) == "10.0.0.5 ");
  const api::EipEntry entry{3, "10.0.0.5", "", {}};
  hold(state, entry);
  CHECK(text(choose_eip(wants(), state)) == "#3");
  CHECK(text(choose_eip(wants("10.0.0.5"), state)) == "#3");
}

TEST_CASE("allocation: pairs of both families stay pairs") {
  PoolState state{pools({"10.0.0.5-10.0.0.7"}, {"fd00::5-fd00::7"}), {}, {}};
  CHECK(text(choose_eip(wants(), state)) == "10.0.0.5 fd00::5");
  // Named by one family: the other half is free, and not the default, which others may want.
  CHECK(text(choose_eip(wants("10.0.0.6"), state)) == "10.0.0.6 fd00::6");
  CHECK(text(choose_eip(wants("", "fd00::7"), state)) == "10.0.0.6 fd00::7");
  CHECK(text(choose_eip(wants("10.0.0.5"), state)) == "10.0.0.5 fd00::5");
  CHECK(text(choose_eip(wants("10.0.0.6", "fd00:0::7"), state)) == "10.0.0.6 fd00::7");

  const api::EipEntry six{2, "10.0.0.6", "fd00::6", {}}, seven{3, "10.0.0.7", "fd00::7", {}};
  hold(state, six);
  CHECK(text(choose_eip(wants("", "fd00::6"), state)) == "#2");
  CHECK(text(choose_eip(wants("10.0.0.6", "fd00::7"), state)) == "PairMismatch");
  CHECK(text(choose_eip(wants("10.0.0.7", "fd00::6"), state)) == "PairMismatch");
  hold(state, seven);
  CHECK(text(choose_eip(wants(), state)) == "10.0.0.5 fd00::5");
}

TEST_CASE("allocation: one family that has run out is a refusal that says so") {
  PoolState state{pools({"10.0.0.5-10.0.0.9"}, {"fd00::5-fd00::6"}), {}, {}};
  const api::EipEntry six{2, "10.0.0.6", "fd00::6", {}};
  hold(state, six);
  const auto choice = choose_eip(wants("10.0.0.7"), state);
  CHECK(text(choice) == "PoolExhausted");
  CHECK(std::get<Refusal>(choice).message.find("IPv6") != std::string::npos);
}

TEST_CASE("allocation: what can't be had") {
  PoolState state{pools({"10.0.0.5-10.0.0.9"}), {}, {}};
  CHECK(text(choose_eip(wants("10.0.0.4"), state)) == "NotInPool");
  CHECK(text(choose_eip(wants("nonsense"), state)) == "NotInPool");
  CHECK(text(choose_eip(wants("", "fd00::1"), state)) == "NotInPool");
  state.taken.insert(Address::parse("10.0.0.6").value());
  CHECK(text(choose_eip(wants("10.0.0.6"), state)) == "HeldElsewhere");
  CHECK(text(choose_eip(wants(), PoolState{})) == "EmptyPool");
}

TEST_CASE("allocation: a /64 costs nothing") {
  PoolState state{pools({"10.0.0.0/8"}, {"fd00::/64"}), {}, {}};
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
