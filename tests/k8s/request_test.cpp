// SPDX-License-Identifier: Apache-2.0
#include "k8s/request.hpp"

#include <doctest/doctest.h>

#include "k8s/status.hpp"

using namespace egw;
using namespace egw::k8s;

namespace {

constexpr api::Resource kPods{"", "v1", "pods", "Pod", true};
constexpr api::Resource kGateways{"g.io", "v1beta1", "gateways", "Gateway", false};

Write write(Verb verb, const api::Resource& resource, const api::NamespacedName& key) {
  Write w;
  w.verb = verb;
  w.resource = &resource;
  w.key = key;
  w.body = "{}";
  return w;
}

} // namespace

TEST_CASE("paths") {
  CHECK(resource_path(kPods, {"ns", "p"}) == "/api/v1/namespaces/ns/pods/p");
  CHECK(resource_path(kPods, {"", ""}) == "/api/v1/pods");
  CHECK(resource_path(kPods, {"ns", ""}) == "/api/v1/namespaces/ns/pods");
  CHECK(resource_path(kGateways, {"", "a/../b?x"}) == "/apis/g.io/v1beta1/gateways/a%2F..%2Fb%3Fx");
  CHECK(list_target(kPods, {"ns", "a=b", "spec.nodeName=n", false, 500}, "c/d=") ==
        "/api/v1/namespaces/ns/pods?labelSelector=a%3Db&fieldSelector=spec.nodeName%3Dn&limit=500"
        "&continue=c%2Fd%3D");
}

TEST_CASE("the request of each verb") {
  auto create = write_request(write(Verb::Create, kPods, {"ns", "p"}));
  REQUIRE(create);
  CHECK(std::string(create->method) == "POST");
  CHECK(create->target == "/api/v1/namespaces/ns/pods");

  auto w = write(Verb::Update, kGateways, {"", "g"});
  w.status = true;
  w.field_manager = "me";
  const auto update = write_request(w);
  REQUIRE(update);
  CHECK(std::string(update->method) == "PUT");
  CHECK(update->target == "/apis/g.io/v1beta1/gateways/g/status?fieldManager=me");
  CHECK(describe(w) == "update status of Gateway g");

  w.verb = Verb::Apply;
  const auto apply = write_request(w);
  REQUIRE(apply);
  CHECK(std::string(apply->method) == "PATCH");
  CHECK(apply->target == "/apis/g.io/v1beta1/gateways/g/status?fieldManager=me&force=true");
  CHECK(apply->content_type == "application/apply-patch+yaml");

  w.verb = Verb::MergePatch;
  const auto patch = write_request(w);
  REQUIRE(patch);
  CHECK(patch->content_type == "application/merge-patch+json");
  w.verb = Verb::JsonPatch;
  const auto operations = write_request(w);
  REQUIRE(operations);
  CHECK(std::string(operations->method) == "PATCH");
  CHECK(operations->content_type == "application/json-patch+json");

  auto r = write(Verb::Remove, kPods, {"ns", "p"});
  r.uid = "u\"1";
  r.resource_version = "7";
  const auto remove = write_request(r);
  REQUIRE(remove);
  CHECK(std::string(remove->method) == "DELETE");
  CHECK(remove->body == R"({"apiVersion":"v1","kind":"DeleteOptions","preconditions":)"
                        R"({"uid":"u\"1","resourceVersion":"7"}})");
}

TEST_CASE("what makes no request is refused before it is sent") {
  const auto message = [](const Write& w) {
    const auto request = write_request(w);
    return request ? std::string() : request.error().message;
  };
  CHECK(message(write(Verb::Update, kPods, {"ns", ""})).find("no name") != std::string::npos);
  CHECK(message(write(Verb::Update, kPods, {"", "p"})).find("no namespace") != std::string::npos);
  CHECK(message(write(Verb::Apply, kGateways, {"", "g"})).find("field manager") !=
        std::string::npos);
  auto no_change = write(Verb::Remove, kPods, {"ns", "p"});
  no_change.dry_run = true;
  CHECK(message(no_change).find("dry run") != std::string::npos);
  auto create = write(Verb::Create, kGateways, {"", "g"});
  create.dry_run = true;
  CHECK(write_request(create)->target.ends_with("?dryRun=All"));
  create.status = true;
  CHECK(message(create).find("status") != std::string::npos);
  create.resource = nullptr;
  CHECK(message(create).find("no resource") != std::string::npos);
}

TEST_CASE("the server's Status, and what is none") {
  const auto status = parse_status(
      R"({"kind":"Status","message":"pods \"p\" not found","reason":"NotFound","code":404,)"
      R"("details":{"retryAfterSeconds":3}})",
      404);
  CHECK(status.code == 404);
  CHECK(status.reason == "NotFound");
  CHECK(status.retry_after == std::chrono::seconds(3));
  CHECK(refusal("get Pod ns/p", status).message ==
        "get Pod ns/p: pods \"p\" not found (404 NotFound)");
  CHECK(refusal("x", status).code == 404);

  CHECK(parse_status("<html>\n<b>Bad\x01 gateway</b>", 502).message ==
        "<html> <b>Bad  gateway</b>");
  CHECK(parse_status("", 500).message == "no reason given");
  CHECK(parse_status(std::string(100000, '['), 500).code == 500);
}
