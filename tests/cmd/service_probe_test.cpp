// SPDX-License-Identifier: Apache-2.0
#include "cmd/service_probe.hpp"

#include <doctest/doctest.h>

#include "k8s/request.hpp"

using namespace egw;
using namespace egw::cmd;

namespace {

Prefix cidr(const char* text) {
  return Prefix::parse(text).value();
}

Error refusal(const std::string& message, int code = 422) {
  return {message, code};
}

} // namespace

TEST_CASE("service probe: what is asked can change nothing") {
  ServiceProbe probe("egw-system");
  std::uint64_t tag = 6;
  const auto requests = probe.ask(tag);
  CHECK(tag == 8);
  REQUIRE(requests.size() == 2);
  for (const auto& request : requests) {
    CHECK(request.verb == k8s::Verb::Create);
    CHECK(request.key.namespace_ == "egw-system");
    const auto sent = k8s::write_request(request);
    REQUIRE(sent);
    CHECK(sent->target.find("dryRun=All") != std::string::npos);
    CHECK(probe.waits_for(request.tag));
  }
  CHECK(requests[0].body ==
        R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"egw-service-range-probe-ipv4",)"
        R"("namespace":"egw-system"},"spec":{"clusterIP":"0.0.0.0","ports":[{"port":1}]}})");
  CHECK(requests[1].body.find(R"("clusterIP":"::")") != std::string::npos);
  CHECK_FALSE(probe.waits_for(6));
}

TEST_CASE("service probe: both answers make one") {
  ServiceProbe probe("egw-system");
  std::uint64_t tag = 0;
  CHECK(probe.ask(tag).size() == 2);
  CHECK_FALSE(probe.answered(2, refusal("The range of valid IPs is fd00:96::/112")));
  CHECK_FALSE(probe.waits_for(2));
  auto told = probe.answered(1, refusal("The range of valid IPs is 10.96.0.0/16"));
  REQUIRE(told);
  CHECK(told->ranges == std::vector{cidr("fd00:96::/112"), cidr("10.96.0.0/16")});
  CHECK(told->problem.empty());

  CHECK(probe.ask(tag).size() == 2);
  CHECK_FALSE(probe.answered(3, refusal("The range of valid IPs is 10.96.0.0/16")));
  told = probe.answered(4, refusal("IPv6 is not configured on this cluster"));
  REQUIRE(told);
  CHECK(told->ranges.size() == 1);
  CHECK(told->problem.empty());
}

TEST_CASE("service probe: what goes wrong is told, with the remedy") {
  ServiceProbe probe("egw-system");
  std::uint64_t tag = 0;
  const auto both = [&](const Result<std::string>& answer) {
    CHECK(probe.ask(tag).size() == 2);
    CHECK_FALSE(probe.answered(tag - 1, answer));
    return probe.answered(tag, answer).value();
  };
  CHECK(both(refusal("services is forbidden", 403)).problem.find("manifests/service-probe") !=
        std::string::npos);
  CHECK(both(refusal("the server is away", 0)).problem == "the server is away");
  CHECK(both(refusal("later", 503)).problem == "later");
  CHECK(both(refusal("something else", 422)).problem.ends_with("something else"));
  CHECK(both(std::string("{}")).problem.find("::") != std::string::npos);
}

TEST_CASE("service probe: late answers to an earlier question do not count") {
  ServiceProbe probe("egw-system");
  std::uint64_t tag = 0;
  CHECK(probe.ask(tag).size() == 2);
  CHECK_FALSE(probe.answered(1, refusal("The range of valid IPs is 10.1.0.0/16")));
  CHECK(probe.ask(tag).size() == 2);
  CHECK(probe.waits_for(2));
  CHECK_FALSE(probe.answered(2, refusal("The range of valid IPs is fd01::/112")));
  CHECK_FALSE(probe.answered(3, refusal("The range of valid IPs is 10.2.0.0/16")));
  const auto told = probe.answered(4, refusal("The range of valid IPs is fd02::/112"));
  REQUIRE(told);
  CHECK(told->ranges == std::vector{cidr("10.2.0.0/16"), cidr("fd02::/112")});
  CHECK_FALSE(probe.answered(9, refusal("x")));
}
