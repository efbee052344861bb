// SPDX-License-Identifier: Apache-2.0
#include "cmd/controller_webhook.hpp"

#include <doctest/doctest.h>

#include "cmd/controller_options.hpp"

using namespace egw;
using namespace egw::cmd;
using namespace std::chrono_literals;

namespace {

WebhookSettings settings(const WebhookArguments& arguments = {}) {
  return parse(arguments).value().value();
}

} // namespace

TEST_CASE("options: of the webhook") {
  const auto s = settings();
  CHECK(s.address == ListenAddress{"::", 5822});
  CHECK(s.secret == "egw-webhook");
  CHECK(s.service == "egw-webhook");
  CHECK(s.configurations == "egw-webhook");
  CHECK(s.names.empty());
  CHECK(s.directory.empty());
  CHECK(s.inject);
  CHECK(s.drain == Duration::zero());

  WebhookArguments a;
  a.names = "egw.example,10.0.0.1,fd00::1";
  a.directory = "/certs";
  a.inject = "false";
  a.drain = "5s";
  const auto other = settings(a);
  CHECK(other.names == std::vector<std::string>{"egw.example", "10.0.0.1", "fd00::1"});
  CHECK(other.directory == "/certs");
  CHECK_FALSE(other.inject);
  CHECK(other.drain == 5s);
  a.address.clear();
  CHECK_FALSE(parse(a).value().has_value());
}

TEST_CASE("options: of the webhook, refused with name, value and remedy") {
  const auto refused = [](auto change, const char* option, const char* value) {
    ControllerArguments arguments;
    change(arguments.webhook);
    const auto result = parse(arguments);
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().message.starts_with(option));
    CHECK(result.error().message.find(value) != std::string::npos);
  };
  refused([](auto& w) { w.address = "5822"; }, "--webhook-address: ", "'5822'");
  refused([](auto& w) { w.secret = ""; }, "--webhook-secret: ", "''");
  refused([](auto& w) { w.secret = "A"; }, "--webhook-secret: ", "'A'");
  refused([](auto& w) { w.secret = "10.0.0.1"; }, "--webhook-secret: ", "'10.0.0.1'");
  refused([](auto& w) { w.service = "a.b"; }, "--webhook-service: ", "'a.b'");
  refused([](auto& w) { w.service = std::string(64, 'a'); }, "--webhook-service: ", "aaa'");
  refused([](auto& w) { w.configuration = "a/b"; }, "--webhook-configuration: ", "'a/b'");
  refused([](auto& w) { w.names = "a,,b"; }, "--webhook-names: ", "''");
  refused([](auto& w) { w.names = "*.a"; }, "--webhook-names: ", "'*.a'");
  refused([](auto& w) { w.inject = "yes"; }, "--webhook-ca-injection: ", "'yes'");
  refused([](auto& w) { w.drain = "0s"; }, "--webhook-drain: ", "'0s'");
}

TEST_CASE("webhook: what certificate it has, and where") {
  WebhookArguments a;
  a.service = "hook";
  a.names = "10.0.0.1";
  const auto config = keeper_config(settings(a), "egw-system");
  CHECK(config.policy.secret.to_string() == "egw-system/egw-webhook");
  CHECK(config.policy.names == std::vector<std::string>{"hook.egw-system.svc",
                                                        "hook.egw-system.svc.cluster.local",
                                                        "10.0.0.1"});
  CHECK(config.configurations == "egw-webhook");
  CHECK(config.policy.serving_lifetime == std::chrono::hours(24 * 365));
  CHECK(config.policy.authority_lifetime == std::chrono::hours(24 * 3650));
  a.directory = "/certs";
  a.inject = "false";
  const auto files = keeper_config(settings(a), "egw-system");
  CHECK_FALSE(files.from_secret());
  CHECK_FALSE(files.injects());
}
