// SPDX-License-Identifier: Apache-2.0
#include "api/admission_review.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>

#include "api/json.hpp"
#include "api/json_parse.hpp"
#include "base/base64.hpp"

using namespace egw;
using namespace egw::api;

namespace {

constexpr auto kPhase = AdmissionPhase::Validating;

// A review as an API server writes it; members of the request may be replaced.
struct Review {
  std::map<std::string, std::string> members{
      {"uid", R"("705ab4f5-6393-11e8-b7cc-42010a800002")"},
      {"kind",
       R"({"group":"egressgateway.spidernet.io","version":"v1beta1","kind":"EgressGateway"})"},
      {"resource", R"({"group":"egressgateway.spidernet.io","version":"v1beta1",)"
                   R"("resource":"egressgateways"})"},
      {"requestKind",
       R"({"group":"egressgateway.spidernet.io","version":"v1beta1","kind":"EgressGateway"})"},
      {"operation", R"("CREATE")"},
      {"name", R"("eg1")"},
      {"userInfo", R"({"username":"jane","uid":"014fbff9a07c","groups":["system:authenticated"]})"},
      {"object", R"({"apiVersion":"egressgateway.spidernet.io/v1beta1","kind":"EgressGateway",)"
                 R"("metadata":{"name":"eg1"},"spec":{"ippools":{"ipv4":["10.6.1.55"]}}})"},
      {"oldObject", "null"},
      {"dryRun", "false"},
      {"options", R"({"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"})"}};

  Review& with(const std::string& member, const std::string& json) {
    members[member] = json;
    return *this;
  }
  Review& of_kind(const std::string& kind, const std::string& version = "v1beta1",
                  const std::string& group = kGroup) {
    return with("kind", fmt::format(R"({{"group":"{}","version":"{}","kind":"{}"}})", group,
                                    version, kind));
  }
  [[nodiscard]] std::string text() const {
    std::string out;
    for (const auto& [name, json] : members) {
      if (!json.empty()) out += fmt::format("{}\"{}\":{}", out.empty() ? "" : ",", name, json);
    }
    return fmt::format(
        R"({{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{{}}}}})", out);
  }
  [[nodiscard]] AdmissionReview decoded() const { return decode_review(text(), kPhase).value(); }
  [[nodiscard]] std::string error() const {
    const auto result = decode_review(text(), kPhase);
    return result ? "" : result.error().message;
  }
};

std::string object(const std::string& kind, const std::string& rest) {
  return fmt::format(R"({{"apiVersion":"{}","kind":"{}",{}}})", kApiVersion, kind, rest);
}

rapidjson::Document parsed(const std::string& text) {
  rapidjson::Document document;
  REQUIRE(parse_json(document, text).ok());
  return document;
}

} // namespace

TEST_CASE("a request is read with its object") {
  const auto review = Review().with("dryRun", "true").decoded();
  CHECK_FALSE(review.answer);
  const AdmissionRequest& request = review.request;
  CHECK(request.phase == kPhase);
  CHECK(request.uid == "705ab4f5-6393-11e8-b7cc-42010a800002");
  CHECK(request.kind == GroupVersionKind{kGroup, kVersion, "EgressGateway"});
  CHECK(request.resource == GroupVersionResource{kGroup, kVersion, "egressgateways"});
  CHECK(request.subresource.empty());
  CHECK(request.operation == AdmissionOperation::Create);
  CHECK(request.name == "eg1");
  CHECK(request.namespace_.empty());
  CHECK(request.username == "jane");
  CHECK(request.dry_run);
  const auto* gateway = std::get_if<EgressGateway>(&request.object);
  REQUIRE(gateway != nullptr);
  CHECK(gateway->spec.ipv4_pool == std::vector<std::string>{"10.6.1.55"});
  CHECK(std::holds_alternative<std::monostate>(request.old_object));
}

TEST_CASE("each of our kinds becomes its own type, before and after a change") {
  for (const auto kind : {PolicyKind::EgressGatewayPolicy, PolicyKind::EgressPolicy,
                          PolicyKind::EgressClusterPolicy}) {
    const std::string name = to_string(kind);
    const auto review =
        Review()
            .of_kind(name)
            .with("operation", R"("UPDATE")")
            .with("namespace", R"("team-a")")
            .with("object", object(name, R"("metadata":{"name":"p"},"spec":{"priority":7})"))
            .with("oldObject", object(name, R"("metadata":{"name":"p"},"spec":{"priority":8})"))
            .decoded();
    CHECK_FALSE(review.answer);
    const auto* now = std::get_if<EgressPolicy>(&review.request.object);
    const auto* before = std::get_if<EgressPolicy>(&review.request.old_object);
    REQUIRE((now != nullptr && before != nullptr));
    CHECK(now->kind == kind);
    CHECK(now->meta.namespace_ == "team-a");
    CHECK(now->spec.priority == 7);
    CHECK(before->spec.priority == 8);
  }
  const auto info = Review()
                        .of_kind("EgressClusterInfo")
                        .with("object", object("EgressClusterInfo", R"("metadata":{"name":"x"})"))
                        .decoded();
  CHECK(std::holds_alternative<EgressClusterInfo>(info.request.object));
}

TEST_CASE("a name that is not made yet is empty, and no mistake") {
  const auto nameless = [](const char* meta) {
    return Review()
        .with("name", "")
        .with("object", object("EgressGateway", fmt::format(R"("metadata":{})", meta)))
        .decoded();
  };
  for (const char* meta : {R"({"generateName":"eg-"})", R"({"generateName":"eg-","name":""})"}) {
    const auto review = nameless(meta);
    CHECK_FALSE(review.answer);
    CHECK(std::get<EgressGateway>(review.request.object).meta.name.empty());
  }
  CHECK(nameless("{}").answer->message == "metadata.name is missing");
  CHECK(nameless(R"({"generateName":7})").answer->message == "metadata.name is missing");
}

TEST_CASE("a deletion has the object that goes, and is never kept from it by what stands there") {
  auto review = Review().with("operation", R"("DELETE")").with("object", "null");
  review.with("oldObject", object("EgressGateway", R"("metadata":{"name":"eg1"})"));
  CHECK(std::get<EgressGateway>(review.decoded().request.old_object).meta.name == "eg1");
  for (const char* old : {"null", "", "7", R"({"metadata":{"name":"eg1"},"spec":7})"}) {
    const auto decoded = review.with("oldObject", old).decoded();
    CHECK_FALSE(decoded.answer);
    CHECK(std::holds_alternative<std::monostate>(decoded.request.old_object));
  }
}

TEST_CASE("an object that stands there broken can be repaired") {
  const auto review = Review()
                          .with("operation", R"("UPDATE")")
                          .with("oldObject", R"({"metadata":{"name":"eg1"},"spec":[]})")
                          .decoded();
  CHECK_FALSE(review.answer);
  CHECK(std::holds_alternative<EgressGateway>(review.request.object));
  CHECK(std::holds_alternative<std::monostate>(review.request.old_object));
}

TEST_CASE("what is not ours is allowed and not looked at") {
  const char* garbage = R"({"spec":7})";
  for (const char* kind : {"EgressNode", "EgressEndpointSlice", "Gateway"}) {
    CHECK(Review().of_kind(kind).with("object", garbage).decoded().answer == AdmissionResponse{});
  }
  const auto of_other_group =
      Review().of_kind("EgressGateway", "v1", "example.com").with("object", garbage).decoded();
  CHECK(of_other_group.answer == AdmissionResponse{});
  const auto status = Review().with("subResource", R"("status")").with("object", garbage).decoded();
  CHECK(status.answer == AdmissionResponse{});
  CHECK(status.request.subresource == "status");
  CHECK(Review().with("operation", R"("CONNECT")").decoded().answer == AdmissionResponse{});
}

TEST_CASE("an object that cannot be decoded is refused by field and value") {
  const auto message = [](const std::string& json) {
    const auto review = Review().with("object", json).decoded();
    REQUIRE(review.answer);
    CHECK_FALSE(review.answer->allowed);
    CHECK(review.answer->code == 422);
    CHECK(review.answer->reason == "Invalid");
    return review.answer->message;
  };
  CHECK(message(object("EgressGateway",
                       R"("metadata":{"name":"a"},"spec":{"nodeSelector":{"limit":"five"}})")) ==
        "spec.nodeSelector.limit: \"five\" is not an integer of 32 bits");
  CHECK(message(object("EgressGateway", R"("metadata":{"name":"a"},"spec":{"ippools":[]})")) ==
        "spec.ippools: a list is not an object");
  CHECK(message(object("EgressPolicy", R"("metadata":{"name":"a"})")) ==
        "kind: \"EgressPolicy\" is not EgressGateway");
  CHECK(message("[]") == "a list is not an object");
  const auto later = Review().of_kind("EgressGateway", "v2").decoded();
  CHECK(later.answer->message ==
        "apiVersion: egressgateway.spidernet.io/v2 is not served by this controller: use "
        "egressgateway.spidernet.io/v1beta1");
}

TEST_CASE("what is no review is an error that names the place") {
  CHECK(Review().error().empty());
  CHECK(Review().with("uid", "").error() == "request.uid is missing");
  CHECK(Review().with("uid", R"("")").error() == "request.uid: \"\" must have 1 to 256 characters");
  CHECK(Review()
            .with("uid", "\"" + std::string(257, 'u') + "\"")
            .error()
            .starts_with("request.uid: \"uuu"));
  CHECK(Review().with("uid", "7").error() == "request.uid: 7 is not a string");
  CHECK(Review().with("kind", "").error() == "request.kind.version is missing");
  CHECK(Review().with("kind", R"("EgressGateway")").error() ==
        "request.kind: \"EgressGateway\" is not an object");
  CHECK(Review().with("resource", "{}").error() == "request.resource.version is missing");
  CHECK(Review().with("operation", "").error() == "request.operation is missing");
  CHECK(Review().with("operation", R"("create")").error() ==
        "request.operation: \"create\" is none of \"CREATE\", \"UPDATE\", \"DELETE\", \"CONNECT\"");
  CHECK(Review().with("dryRun", R"("no")").error() ==
        "request.dryRun: \"no\" is not true or false");
  CHECK(Review().with("userInfo", "[]").error() == "request.userInfo: a list is not an object");
  CHECK(Review().with("object", "").error() == "request.object is missing");
  CHECK(Review().with("operation", R"("UPDATE")").with("object", "null").error() ==
        "request.object is missing");

  const auto error = [](std::string_view body) {
    return decode_review(body, kPhase).error().message;
  };
  CHECK(error("") == "not JSON: The document is empty. (byte 0)");
  CHECK(error("[]") == "a list is not an object");
  CHECK(error("{}") == "apiVersion is missing");
  CHECK(error(R"({"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"})") ==
        "apiVersion: \"admission.k8s.io/v1beta1\" is not \"admission.k8s.io/v1\"");
  CHECK(error(R"({"apiVersion":"admission.k8s.io/v1","kind":"Review"})") ==
        "kind: \"Review\" is not \"AdmissionReview\"");
  CHECK(error(R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"})") ==
        "request is missing");
  CHECK(error(R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":7})") ==
        "request: 7 is not an object");
  CHECK(error(Review().text() + "x").starts_with("not JSON"));
}

TEST_CASE("size and depth of a review are bounded") {
  std::string deep(1'000'000, '[');
  CHECK_FALSE(decode_review(Review().with("object", deep).text(), kPhase).ok());
  std::string closed = std::string(200, '[') + std::string(200, ']');
  CHECK(Review().with("options", closed).error().starts_with("JSON is nested deeper than 100"));
  CHECK(Review()
            .with("name", "\"" + std::string(kMaxReview, 'n') + "\"")
            .error()
            .find("more than 3145728") != std::string::npos);
}

TEST_CASE("a gateway of a megabyte, before and after, is read") {
  EgressGateway gateway;
  gateway.meta.name = "full";
  gateway.status.node_list = {{"node1", "Ready", {}}};
  auto& eips = gateway.status.node_list[0].eips;
  for (int i = 0; i < 17'000; ++i) eips.push_back({i, "10.255.255.255", "fd00::ffff:ffff", {}});
  const std::string text = encode(gateway);
  REQUIRE(text.size() > 1'000'000);
  const auto review = Review()
                          .with("operation", R"("UPDATE")")
                          .with("object", text)
                          .with("oldObject", text)
                          .decoded();
  CHECK(std::get<EgressGateway>(review.request.object) ==
        std::get<EgressGateway>(review.request.old_object));
  CHECK(std::get<EgressGateway>(review.request.object).status.node_list[0].eips.size() == 17'000);
}

TEST_CASE("answers: allowed, refused, with warnings") {
  AdmissionRequest request;
  request.uid = "u-1";
  CHECK(encode_review(request, {}) ==
        R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",)"
        R"("response":{"uid":"u-1","allowed":true}})");
  AdmissionResponse refused = refusal("spec.ippools: \"x\" overlaps", 409, "Conflict");
  refused.warnings = {"one", "two"};
  CHECK(encode_review(request, refused) ==
        R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",)"
        R"("response":{"uid":"u-1","allowed":false,"status":{"status":"Failure","code":409,)"
        R"("reason":"Conflict","message":"spec.ippools: \"x\" overlaps"},)"
        R"("warnings":["one","two"]}})");
}

TEST_CASE("answers: a patch goes with what is allowed in the mutating phase") {
  AdmissionRequest request;
  request.uid = "u-1";
  AdmissionResponse response;
  using Op = PatchOperation::Op;
  response.patch = {{Op::Add, "/spec/egressIP", EmptyObject{}},
                    {Op::Add, "/spec/egressIP/ipv4", "10.6.1.\"55"},
                    {Op::Replace, "/spec/priority", std::int64_t{1000}},
                    {Op::Add, json_pointer({"metadata", "labels", "a~/b"}), true}};
  CHECK(encode_review(request, response).find("patch") == std::string::npos);
  request.phase = AdmissionPhase::Mutating;
  const auto answer = parsed(encode_review(request, response));
  CHECK(std::string(answer["response"]["patchType"].GetString()) == "JSONPatch");
  CHECK(base64_decode(answer["response"]["patch"].GetString()).value() ==
        R"([{"op":"add","path":"/spec/egressIP","value":{}},)"
        R"({"op":"add","path":"/spec/egressIP/ipv4","value":"10.6.1.\"55"},)"
        R"({"op":"replace","path":"/spec/priority","value":1000},)"
        R"({"op":"add","path":"/metadata/labels/a~0~1b","value":true}])");
  response.allowed = false;
  CHECK(encode_review(request, response).find("patch") == std::string::npos);
}

TEST_CASE("rules are asked for what is ours and decoded, and for nothing else") {
  int asked = 0;
  const AdmissionRules rules = [&](const AdmissionRequest& request) {
    ++asked;
    return refusal(fmt::format("{} {}", to_string(request.operation), request.name));
  };
  const auto answer = [&](const Review& review) {
    return parsed(answer_review(review.text(), AdmissionPhase::Mutating, rules).value());
  };
  const auto refused = answer(Review());
  CHECK(asked == 1);
  CHECK_FALSE(refused["response"]["allowed"].GetBool());
  CHECK(std::string(refused["response"]["uid"].GetString()) ==
        "705ab4f5-6393-11e8-b7cc-42010a800002");
  CHECK(std::string(refused["response"]["status"]["message"].GetString()) == "CREATE eg1");
  CHECK(answer(Review().of_kind("EgressNode"))["response"]["allowed"].GetBool());
  CHECK_FALSE(answer(Review().with("object", "{}"))["response"]["allowed"].GetBool());
  CHECK(asked == 1);
  CHECK_FALSE(answer_review("{}", AdmissionPhase::Mutating, rules).ok());
}
