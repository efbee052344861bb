// SPDX-License-Identifier: Apache-2.0
#include "egress/service_probe.hpp"

#include <doctest/doctest.h>

#include "egress/known_cluster.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;
using namespace std::chrono_literals;

TEST_CASE("refusals of a Service, as API servers word them") {
  const auto v4 = [](std::string_view text) { return range_in_refusal(text, Family::V4); };
  const auto v6 = [](std::string_view text) { return range_in_refusal(text, Family::V6); };
  // Recorded: 1.36 with dryRun=All, dual-stack; then IPv4 alone.
  CHECK(v4("create Service egw-system/p: Service \"p\" is invalid: spec.clusterIPs: Invalid value: "
           "[\"0.0.0.0\"]: failed to allocate IP 0.0.0.0: the provided IP (0.0.0.0) is not in the "
           "valid range. The range of valid IPs is 10.96.0.0/16 (422 Invalid)")
            ->range == cidr("10.96.0.0/16"));
  CHECK(v6("Service \"p\" is invalid: spec.clusterIPs: Invalid value: [\"::\"]: failed to allocate "
           "IP ::: the provided IP (::) is not in the valid range. The range of valid IPs is "
           "fd00:96::/112")
            ->range == cidr("fd00:96::/112"));
  const auto none =
      v6("Service \"p\" is invalid: spec.clusterIPs[0]: Invalid value: [\"::\"]: IPv6 is not "
         "configured on this cluster");
  REQUIRE(none);
  CHECK_FALSE(none->range);
  // Older ones.
  CHECK(
      v4("Service \"p\" is invalid: spec.clusterIPs: Invalid value: []string{\"1.1.1.1\"}: failed "
         "to allocated ip:1.1.1.1 with error:provided IP is not in the valid range. The range of "
         "valid IPs is 10.43.0.0/16")
          ->range == cidr("10.43.0.0/16"));
  // 1.36 without dryRun, a webhook, another family: no answer, and told as it came.
  CHECK_FALSE(
      v4("Service \"x\" is invalid: spec.clusterIPs: Invalid value: [\"0.0.0.0\"]: failed to "
         "allocate IP 0.0.0.0: the provided network does not match the current range"));
  CHECK_FALSE(v4("admission webhook \"x\" does not support dry run"));
  CHECK_FALSE(v4("The range of valid IPs is fd00:96::/112"));
  CHECK_FALSE(v4("The range of valid IPs is nothing"));
  CHECK_FALSE(v4("IPv6 is not configured on this cluster"));
  CHECK(v4("x").error().message.ends_with("names no range: x"));
}

TEST_CASE("probe: once, after a failure again and ever more rarely, anew when it is wanted anew") {
  ServiceProbe probe;
  Time now = Time{} + 1h;
  CHECK_FALSE(probe.ask(false, now));
  CHECK(probe.ask(true, now));
  CHECK_FALSE(probe.ask(true, now)); // under way
  CHECK_FALSE(probe.next());
  CHECK(probe.told() == nullptr);
  Duration last{};
  for (int i = 0; i < 20; ++i) {
    probe.answered({{}, "no"}, now);
    CHECK(probe.told()->problem == "no");
    CHECK_FALSE(probe.ask(true, now));
    const Duration wait = probe.next().value() - now;
    CHECK(wait >= last);
    CHECK(wait >= 10s);
    CHECK(wait <= 10min);
    last = wait;
    now += wait;
    CHECK(probe.ask(true, now));
  }
  CHECK(last == 10min);
  probe.answered({{cidr("10.96.0.0/16")}, ""}, now);
  CHECK_FALSE(probe.ask(true, now + 1000h));
  CHECK_FALSE(probe.next());
  CHECK(probe.told()->ranges.size() == 1);
  // Switched off, and on again.
  CHECK_FALSE(probe.ask(false, now));
  CHECK(probe.told() == nullptr);
  CHECK(probe.ask(true, now));
  CHECK_FALSE(probe.ask(false, now)); // the answer is still to come
  CHECK_FALSE(probe.ask(true, now));
  probe.answered({{}, ""}, now);
  CHECK(probe.told()->ranges.empty());
}
