// SPDX-License-Identifier: Apache-2.0
#include "egress/claims.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "egress/worlds.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;
using namespace std::chrono_literals;

namespace {

const Address kEip = ip("10.6.1.5");
const Mac kOther = *Mac::parse("02:00:00:00:00:01");
const Time kStart{1h};

} // namespace

TEST_CASE("claims: one is asked for, and believed when it lasts longer than a lease") {
  Claims claims;
  CHECK_FALSE(claims.deadline().has_value());
  claims.heard(kEip, kOther, "eth0", kStart);
  CHECK(claims.deadline() == kStart + 2s);
  CHECK(claims.due(kStart + 1999ms).empty());
  for (Time time = kStart + 2s; time < kStart + 12s; time += 2s) { // the one before may answer
    CHECK(claims.due(time).at("eth0") == std::vector{kEip});
    claims.heard(kEip, kOther, "eth0", time + 1ms);
    CHECK(claims.conflicts().empty());
  }
  CHECK(claims.due(kStart + 12s).size() == 1);
  claims.heard(kEip, kOther, "eth0", kStart + 12s);
  const std::vector<Claims::Conflict> wanted{{kEip, kOther, "eth0"}};
  CHECK(claims.conflicts() == wanted);
}

TEST_CASE("claims: one that is not heard again was none") {
  Claims claims;
  claims.heard(kEip, kOther, "eth0", kStart);
  claims.heard(kEip, kOther, "eth0", kStart + 3s);
  std::size_t asked = 0;
  Time time = kStart + 3s;
  while (const auto next = claims.deadline()) {
    time = std::max(time, *next);
    asked += claims.due(time).size();
  }
  CHECK(time == kStart + 8s);
  CHECK(asked == 3); // after 3, 5 and 7 seconds
  CHECK(claims.conflicts().empty());
}

TEST_CASE("claims: a conflict lasts until nobody answers any more") {
  Claims claims;
  for (Time time = kStart; time <= kStart + 12s; time += 2s) {
    claims.heard(kEip, kOther, "eth0", time);
  }
  Time time = kStart + 12s;
  for (int i = 0; i < 10; ++i) { // whoever it is answers
    time = claims.deadline().value();
    CHECK(claims.due(time).size() == 1);
    claims.heard(kEip, kOther, "eth0", time + 1ms);
    CHECK(claims.conflicts().size() == 1);
  }
  CHECK(time == kStart + 12s + 10 * 10s);
  const Time last = time + 1ms;
  while (claims.deadline()) {
    time = *claims.deadline();
    (void)claims.due(time);
  }
  CHECK(time == last + 25s);
  CHECK(claims.conflicts().empty());
}

TEST_CASE("claims: an address that is held no more is nobody's business") {
  Claims claims;
  claims.heard(kEip, kOther, "eth0", kStart);
  claims.heard(kEip, kOther, "eth0", kStart + 12s);
  CHECK(claims.addresses() == std::vector{kEip});
  claims.forget(kEip);
  CHECK(claims.conflicts().empty());
  CHECK_FALSE(claims.deadline().has_value());
}
