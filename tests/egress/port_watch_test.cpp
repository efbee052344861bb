// SPDX-License-Identifier: Apache-2.0
#include "egress/port_watch.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "egress/ruleset.hpp"
#include "egress/worlds.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;
using namespace std::chrono_literals;
using Want = PortWatch::Want;

namespace {

const Time kStart{1h};
const Crowd kCrowd{1, 6, ip("203.0.113.9"), 443, 64000};

net::Connection connection(std::uint32_t mark, std::uint8_t protocol, const char* destination,
                           std::uint16_t port) {
  net::Connection c;
  c.protocol = protocol;
  c.reply.source = ip(destination);
  c.reply.source_port = port;
  c.mark = mark;
  return c;
}

std::vector<Crowd> crowds_of(const std::vector<net::Connection>& all, std::size_t at_least) {
  CrowdFinder finder({}, at_least);
  for (int times = 0; times < 2; ++times) { // one that was interrupted counts anew
    finder.begin();
    for (const auto& c : all) finder.first(c);
  }
  if (!finder.any()) return {};
  for (int times = 0; times < 2; ++times) {
    finder.begin();
    for (const auto& c : all) finder.second(c);
  }
  return finder.crowds();
}

} // namespace

TEST_CASE("ports: connections are counted by EIP, protocol and destination, at the holder") {
  const NodeOptions options;
  std::vector<net::Connection> all;
  const auto add = [&](std::size_t times, const net::Connection& c) {
    all.insert(all.end(), times, c);
  };
  add(5, connection(ct_mark_here(1, options), 6, "203.0.113.9", 443));
  add(7, connection(ct_mark_here(2, options), 6, "203.0.113.9", 443));
  add(4, connection(ct_mark_here(1, options), 17, "203.0.113.9", 443));
  add(9, connection(ct_mark_tunnelled(1, options), 6, "203.0.113.9", 443)); // another node's ports
  add(9, connection(0x3f, 6, "203.0.113.9", 443));                          // none of ours
  add(5, connection(ct_mark_here(1, options), 6, "2001:db8::9", 443));
  const std::vector<Crowd> wanted{{2, 6, ip("203.0.113.9"), 443, 7},
                                  {1, 6, ip("203.0.113.9"), 443, 5},
                                  {1, 6, ip("2001:db8::9"), 443, 5}};
  CHECK(crowds_of(all, 5) == wanted);
  CHECK(crowds_of(all, 8).empty());
}

TEST_CASE("ports: connections are looked at when the kernel's count has grown") {
  PortWatch watch;
  CHECK(watch.due(false, kStart) == Want::Nothing);
  CHECK_FALSE(watch.deadline().has_value());
  CHECK(watch.due(true, kStart) == Want::Failures);
  CHECK(watch.due(true, kStart + 1h) == Want::Nothing); // no answer yet
  watch.failures(17);                                   // from before
  CHECK(watch.deadline() == kStart + 10s);
  CHECK(watch.due(true, kStart + 9s) == Want::Nothing);
  CHECK(watch.due(true, kStart + 10s) == Want::Failures);
  watch.failures(17);
  CHECK(watch.due(true, kStart + 20s) == Want::Failures);
  watch.failures(18);
  CHECK(watch.due(true, kStart + 20s) == Want::Connections);
  watch.crowds(std::vector<Crowd>{}, kStart + 20s); // two packets that raced
  CHECK(watch.crowded().empty());
  CHECK(watch.due(true, kStart + 20s) == Want::Nothing);
  CHECK(watch.due(true, kStart + 30s) == Want::Failures);
  watch.failures(std::nullopt); // it could not be read
  CHECK(watch.due(true, kStart + 40s) == Want::Failures);
  watch.failures(19);
  CHECK(watch.due(true, kStart + 40s) == Want::Connections);
  watch.crowds(std::vector{kCrowd}, kStart + 40s);
  CHECK(watch.crowded() == std::vector{kCrowd});
}

TEST_CASE("ports: connections are looked at ever more rarely while nothing is found") {
  PortWatch watch;
  std::uint64_t count = 0;
  int looks = 0;
  Time time = kStart;
  for (; time < kStart + 2h; time = std::max(time, watch.deadline().value())) {
    switch (watch.due(true, time)) {
      case Want::Failures:
        watch.failures(++count); // it never rests
        break;
      case Want::Connections:
        ++looks;
        watch.crowds(std::vector<Crowd>{}, time);
        break;
      case Want::Nothing:
        break;
    }
  }
  CHECK(looks >= 12);
  CHECK(looks <= 20);
}

TEST_CASE("ports: a crowd is told of until none was seen for a minute, or the EIP has gone") {
  PortWatch watch;
  const auto crowded = [&](Time at, std::uint64_t count) {
    CHECK(watch.due(true, at) == Want::Failures);
    watch.failures(count - 1);
    CHECK(watch.due(true, at + 10s) == Want::Failures);
    watch.failures(count);
    CHECK(watch.due(true, at + 10s) == Want::Connections);
    watch.crowds(std::vector{kCrowd}, at + 10s);
  };
  crowded(kStart, 1);
  Time time = kStart + 10s;
  while (!watch.crowded().empty()) {
    REQUIRE(watch.deadline().has_value());
    time = *watch.deadline();
    if (watch.due(true, time) == Want::Failures) watch.failures(1);
  }
  CHECK(time == kStart + 70s);

  crowded(kStart + 1h, 2);
  CHECK(watch.due(true, kStart + 1h + 20s) == Want::Failures);
  CHECK(watch.due(false, kStart + 1h + 20s) == Want::Nothing);
  CHECK(watch.crowded().empty());
  CHECK_FALSE(watch.deadline().has_value());
  // The answer to a question from before is none for what is asked then.
  CHECK(watch.due(true, kStart + 1h + 21s) == Want::Nothing);
  watch.failures(5);
  CHECK(watch.due(true, kStart + 1h + 21s) == Want::Failures);
}
