// SPDX-License-Identifier: Apache-2.0
#include "egress/claims.hpp"

#include <doctest/doctest.h>

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

TEST_CASE("claims: one is asked for, and believed when it is heard again") {
  Claims claims;
  CHECK_FALSE(claims.deadline().has_value());
  claims.heard(kEip, kOther, "eth0", kStart);
  CHECK(claims.conflicts().empty());
  CHECK(claims.deadline() == kStart + 500ms);
  CHECK(claims.due(kStart + 499ms).empty());
  // The one before, which had not heard yet.
  claims.heard(kEip, kOther, "eth0", kStart + 100ms);
  CHECK(claims.conflicts().empty());
  const auto asked = claims.due(kStart + 500ms);
  CHECK(asked.at("eth0") == std::vector{kEip});
  claims.heard(kEip, kOther, "eth0", kStart + 501ms);
  const std::vector<Claims::Conflict> wanted{{kEip, kOther, "eth0"}};
  CHECK(claims.conflicts() == wanted);
}

TEST_CASE("claims: one that is not heard again was none") {
  Claims claims;
  claims.heard(kEip, kOther, "eth0", kStart);
  std::size_t asked = 0;
  Time time = kStart;
  while (const auto next = claims.deadline()) {
    REQUIRE(*next > time);
    time = *next;
    asked += claims.due(time).size();
  }
  CHECK(time == kStart + 5s);
  CHECK(asked == 9);
  CHECK(claims.conflicts().empty());
}

TEST_CASE("claims: a conflict lasts until nobody answers any more") {
  Claims claims;
  claims.heard(kEip, kOther, "eth0", kStart);
  claims.heard(kEip, kOther, "eth0", kStart + 1s);
  Time time = kStart + 1s;
  for (int i = 0; i < 10; ++i) { // whoever it is answers
    time = claims.deadline().value();
    CHECK(claims.due(time).size() == 1);
    claims.heard(kEip, kOther, "eth0", time + 1ms);
    CHECK(claims.conflicts().size() == 1);
  }
  CHECK(time == kStart + 1s + 10 * 10s);
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
  claims.heard(kEip, kOther, "eth0", kStart + 1s);
  CHECK(claims.addresses() == std::vector{kEip});
  claims.forget(kEip);
  CHECK(claims.conflicts().empty());
  CHECK_FALSE(claims.deadline().has_value());
}
