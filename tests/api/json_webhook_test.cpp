// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "api/admission_review.hpp"
#include "api/json.hpp"

using namespace egw;
using namespace egw::api;

TEST_CASE("Secret: values are decoded, and come back as they were with what people added") {
  const auto secret = decode_text<Secret>(R"({"apiVersion": "v1", "kind": "Secret",
    "metadata": {"name": "egw-webhook", "namespace": "egw-system", "resourceVersion": "7",
      "labels": {"a": "b"}, "annotations": {"c": "d"}},
    "type": "kubernetes.io/tls", "data": {"tls.crt": "Zm9v", "tls.key": "", "other": "AAE="}})");
  REQUIRE(secret.ok());
  CHECK(secret->data.at("tls.crt") == "foo");
  CHECK(secret->data.at("tls.key").empty());
  CHECK(secret->data.at("other") == std::string("\0\1", 2));
  CHECK(encode(*secret) == R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":"egw-webhook",)"
                           R"("namespace":"egw-system","resourceVersion":"7","labels":{"a":"b"},)"
                           R"("annotations":{"c":"d"}},"type":"kubernetes.io/tls",)"
                           R"("data":{"other":"AAE=","tls.crt":"Zm9v","tls.key":""}})");
}

TEST_CASE("Secret: no error shows what stands in it") {
  const auto secret = decode_text<Secret>(
      R"({"metadata": {"name": "a"}, "data": {"tls.key": "-----BEGIN PRIVATE KEY-----"}})");
  REQUIRE(secret.ok());
  CHECK(secret->data.at("tls.key").empty());
}

TEST_CASE("webhook configurations: the bundle of each webhook, also where there is none") {
  const auto both = decode_text<WebhookConfiguration>(R"({"kind": "MutatingWebhookConfiguration",
    "metadata": {"name": "egw"}, "webhooks": [{"name": "a", "clientConfig": {"caBundle": "Zm9v"}},
      {"name": "b", "clientConfig": {"url": "https://a"}}, {"name": "c"}]})");
  REQUIRE(both.ok());
  CHECK(both->ca_bundles == std::vector<std::string>{"Zm9v", "", ""});
  CHECK(decode_text<WebhookConfiguration>(R"({"kind": "ValidatingWebhookConfiguration",
    "metadata": {"name": "egw"}})")
            ->ca_bundles.empty());
  CHECK_FALSE(
      decode_text<WebhookConfiguration>(R"({"kind": "Secret", "metadata": {"name": "a"}})").ok());
}

TEST_CASE("a JSON patch as a list of its operations") {
  CHECK(encode(std::vector<PatchOperation>{}) == "[]");
  CHECK(encode(std::vector<PatchOperation>{{PatchOperation::Op::Replace, "/a/0", "b"}}) ==
        R"([{"op":"replace","path":"/a/0","value":"b"}])");
}
