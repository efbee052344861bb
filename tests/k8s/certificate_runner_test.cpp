// SPDX-License-Identifier: Apache-2.0
#include "k8s/certificate_runner.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "api/json.hpp"
#include "base/base64.hpp"
#include "base/queue.hpp"
#include "k8s/support.hpp"

using namespace egw;
using namespace egw::k8s;
using namespace egw::test;

namespace {

constexpr const char* kSecrets = "/api/v1/namespaces/egw-system/secrets";
constexpr const char* kSecret = "/api/v1/namespaces/egw-system/secrets/egw-webhook";
const std::string kHooks = "/apis/admissionregistration.k8s.io/v1/";
const std::string kValidating = kHooks + "validatingwebhookconfigurations";
const std::string kMutating = kHooks + "mutatingwebhookconfigurations";

std::string end_of_list() {
  return R"({"metadata":{"resourceVersion":"5",)"
         R"("annotations":{"k8s.io/initial-events-end":"true"}}})";
}

api::Secret new_secret(const CertificatePolicy& policy) {
  const auto at = now().wall;
  auto secret = make_secret(nullptr, plan_certificates(nullptr, policy, at), policy, at).value();
  secret.meta.uid = "u";
  secret.meta.resource_version = "4";
  return secret;
}

std::string configuration(const std::string& kind, int version, const std::string& a,
                          const std::string& b = "") {
  return fmt::format(
      R"({{"kind":"{}","metadata":{{"name":"egw","resourceVersion":"{}"}},"webhooks":)"
      R"([{{"name":"a","clientConfig":{{"caBundle":"{}"}}}},)"
      R"({{"name":"b","clientConfig":{{"caBundle":"{}"}}}}]}})",
      kind, version, a, b);
}

struct Fixture {
  ScriptedServer server;
  Client client{config_for(server), quick_client()};
  CertificateKeeper::Options options;
  Queue<KeyPair> served;
  Queue<Tell> told;
  std::unique_ptr<CertificateKeeper> keeper;

  Fixture() {
    options.config = {{{"egw-system", "egw-webhook"}, {"egw-webhook.egw-system.svc"}}, "egw"};
    options.serve = [this](const KeyPair& pair) {
      served.push(pair);
      return Result<void>();
    };
    options.tell = [this](const Tell& what) { told.push(what); };
  }
  // What the watch of a kind brings: these objects, and no change.
  void list(const std::string& resource, const char* name,
            const std::vector<std::string>& objects) {
    auto reply = Reply::stream();
    for (const auto& object : objects) reply = Reply(std::move(reply)).event("ADDED", object);
    server.expect("GET",
                  fmt::format("{}?watch=true&sendInitialEvents=true&fieldSelector=metadata.name={}",
                              resource, name),
                  std::move(reply).event("BOOKMARK", end_of_list()).hold());
  }
  void start() { keeper = std::make_unique<CertificateKeeper>(client, options); }
  bool await_told(const std::string& reason, const std::string& part) {
    const auto end = now().steady + kPatience;
    while (now().steady < end) {
      for (const auto& what : told.take(end)) {
        if (what.reason == reason && what.message.find(part) != std::string::npos) return true;
      }
    }
    return false;
  }
  void finish() {
    CHECK(server.await_script(std::chrono::milliseconds(kPatience)));
    keeper->stop();
    for (const auto& error : server.errors()) FAIL_CHECK(error);
  }
};

} // namespace

TEST_SUITE("threads") {
  TEST_CASE_FIXTURE(Fixture,
                    "keeper: serves the Secret, and writes its authority and nothing else") {
    const auto secret = new_secret(options.config.policy);
    const auto bundle = base64_encode(secret.data.at("ca.crt"));
    list(kSecrets, "egw-webhook", {api::encode(secret)});
    list(kValidating, "egw", {configuration("ValidatingWebhookConfiguration", 7, bundle)});
    list(kMutating, "egw", {configuration("MutatingWebhookConfiguration", 8, "Cg==")});
    start();
    const auto first = served.take(now().steady + kPatience);
    REQUIRE(first.size() == 1);
    CHECK(first[0] == material_of(secret).serving);
    server.expect(
        "PATCH", kValidating + "/egw",
        Reply::body(200, configuration("ValidatingWebhookConfiguration", 9, bundle, bundle)));
    server.expect("PATCH", kMutating + "/egw", Reply::conflict("another version"));
    server.expect(
        "PATCH", kMutating + "/egw",
        Reply::body(200, configuration("MutatingWebhookConfiguration", 10, bundle, bundle)));
    keeper->lead(true);
    CHECK(await_told("WebhookTrusted", "MutatingWebhookConfiguration egw has the authority"));
    finish();
    std::vector<std::string> validating, mutating;
    for (const auto& request : server.requests()) {
      if (request.method != "PATCH") continue;
      CHECK(request.header("Content-Type") == "application/json-patch+json");
      (request.target.starts_with(kMutating) ? mutating : validating).push_back(request.body);
    }
    const auto add = [&](int i) {
      return fmt::format(
          R"({{"op":"add","path":"/webhooks/{}/clientConfig/caBundle","value":"{}"}})", i, bundle);
    };
    const std::string version = R"([{"op":"replace","path":"/metadata/resourceVersion","value":)";
    CHECK(validating == std::vector{version + R"("7"},)" + add(1) + "]"});
    const auto both = version + R"("8"},)" + add(0) + "," + add(1) + "]";
    CHECK(mutating == std::vector{both, both});
    CHECK(keeper->metrics().bundle_writes == 2);
    CHECK(keeper->metrics().write_failures == 1);
  }

  TEST_CASE_FIXTURE(Fixture,
                    "keeper: makes the Secret when it leads, with the version that it saw") {
    options.config.configurations.clear();
    auto stands = new_secret(options.config.policy);
    bool create = false;
    SUBCASE("none") {
      create = true;
      list(kSecrets, "egw-webhook", {});
    }
    SUBCASE("damaged") {
      stands.data["tls.key"] = "x";
      list(kSecrets, "egw-webhook", {api::encode(stands)});
    }
    const auto after = new_secret(options.config.policy);
    server.expect(create ? "POST" : "PUT", create ? kSecrets : kSecret,
                  Reply::body(200, api::encode(after)));
    start();
    keeper->lead(true);
    const auto got = served.take(now().steady + kPatience);
    REQUIRE(got.size() == 1);
    CHECK(got[0] == material_of(after).serving); // what the server answered
    finish();
    const auto request = server.await_request(create ? "POST" : "PUT", "/", 1s);
    REQUIRE(request);
    const auto sent = api::decode_text<api::Secret>(request->body);
    REQUIRE(sent);
    CHECK(sent->meta.resource_version == (create ? "" : "4"));
    CHECK(check_key(material_of(*sent).serving).ok());
    CHECK(keeper->metrics().secret_writes == 1);
  }

  TEST_CASE_FIXTURE(Fixture, "keeper: a watch that is refused is told, and stands in the view") {
    options.config.configurations.clear();
    server.allow("GET", kSecrets, Reply::status(403, "Forbidden", "secrets is forbidden"));
    start();
    CHECK(await_told("WebhookWatchFailed", "secrets is forbidden"));
    const auto view = keeper->view();
    REQUIRE(view.watches.size() == 1);
    CHECK(std::string(view.watches[0].kind) == "Secret");
    CHECK(view.watches[0].fault.value_or("").find("secrets is forbidden") != std::string::npos);
    CHECK_FALSE(view.trusted[0]);
    keeper->stop();
  }

  TEST_CASE_FIXTURE(Fixture, "keeper: files instead of a Secret; the end waits for no server") {
    const auto dir =
        std::filesystem::temp_directory_path() / fmt::format("egw-keeper-{}", getpid());
    std::filesystem::create_directories(dir);
    const auto material = material_of(new_secret(options.config.policy));
    std::ofstream(dir / "tls.crt") << material.serving.certificate;
    std::ofstream(dir / "tls.key") << material.serving.key;
    std::ofstream(dir / "ca.crt") << material.authorities;
    options.config.policy.secret.name.clear();
    options.directory = dir;
    list(kValidating, "egw", {configuration("ValidatingWebhookConfiguration", 7, "")});
    list(kMutating, "egw", {});
    server.expect("PATCH", kValidating + "/egw", Reply::stream().hold());
    start();
    keeper->lead(true);
    const auto got = served.take(now().steady + kPatience);
    REQUIRE(got.size() == 1);
    CHECK(got[0] == material.serving);
    CHECK(server.await_script(std::chrono::milliseconds(kPatience)));
    client.stop(); // as at the end of the process: requests under way return
    const auto begun = now().steady;
    keeper->stop();
    CHECK(now().steady - begun < 5s);
    std::filesystem::remove_all(dir);
  }
}
