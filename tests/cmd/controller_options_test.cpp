// SPDX-License-Identifier: Apache-2.0
#include "cmd/controller_options.hpp"

#include <doctest/doctest.h>

using namespace egw;
using namespace egw::cmd;
using namespace std::chrono_literals;

TEST_CASE("options: durations") {
  CHECK(*parse_duration("15s") == 15s);
  CHECK(*parse_duration("250ms") == 250ms);
  CHECK(*parse_duration("2m") == 2min);
  for (const char* text : {"", "s", "15", "-1s", "0s", "1.5s", "15 s", "9999999s", "1h", "ms"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_duration(text).ok());
  }
}

TEST_CASE("options: addresses to listen on") {
  CHECK(*parse_listen_address(":5820") == ListenAddress{"::", 5820});
  CHECK(*parse_listen_address("127.0.0.1:0") == ListenAddress{"127.0.0.1", 0});
  CHECK(*parse_listen_address("[::1]:80") == ListenAddress{"::1", 80});
  for (const char* text : {"", "5820", "host:1", "127.0.0.1:", "127.0.0.1:70000", "::1:80",
                           "[127.0.0.1]:80", "[]:80", "127.0.0.1:-1"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_listen_address(text).ok());
  }
}

TEST_CASE("options: of the controller") {
  ControllerArguments a;
  a.identity = "pod-1";
  const auto s = parse(a);
  REQUIRE(s);
  CHECK(s->core.tunnel.v4.to_string() == "172.31.0.0/16");
  CHECK(s->metrics->port == 5820);
  CHECK(s->leader.lease_duration == 15s);
  // Each start is another one.
  CHECK(s->leader.identity.starts_with("pod-1_"));
  CHECK(s->leader.identity != parse(a)->leader.identity);
  a.metrics_address.clear();
  CHECK_FALSE(parse(a)->metrics);

  const auto refused = [](auto change, const char* names) {
    ControllerArguments wrong;
    change(wrong);
    const auto result = parse(wrong);
    CHECK_FALSE(result.ok());
    if (!result) CHECK(result.error().message.find(names) != std::string::npos);
  };
  refused([](auto& w) { w.tunnel_ipv4_subnet = "172.31.0.1/16"; }, "--tunnel-ipv4-subnet");
  refused([](auto& w) { w.tunnel_ipv4_subnet = "fd00::/64"; }, "fd00::/64");
  refused([](auto& w) { w.tunnel_ipv6_subnet = "fd00::/128"; }, "fd00::/128");
  refused([](auto& w) { w.lease_duration = "soon"; }, "--lease-duration");
  refused([](auto& w) { w.log_level = "loud"; }, "loud");
  refused([](auto& w) { w.metrics_address = "here"; }, "--metrics-address");
}
