// SPDX-License-Identifier: Apache-2.0
#include "api/admission_review.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "api/json.hpp"
#include "api/json_parse.hpp"
#include "api/json_read.hpp"
#include "api/json_write.hpp"
#include "base/base64.hpp"

namespace egw::api {
namespace {

constexpr const char* kReviewVersion = "admission.k8s.io/v1";
constexpr const char* kReviewKind = "AdmissionReview";
constexpr std::size_t kMaxUid = 256; // it comes back in the answer

constexpr std::array<std::pair<const char*, AdmissionOperation>, 4> kOperations{
    {{"CREATE", AdmissionOperation::Create},
     {"UPDATE", AdmissionOperation::Update},
     {"DELETE", AdmissionOperation::Delete},
     {"CONNECT", AdmissionOperation::Connect}}};

template <class T>
void required(const Field& from, T& to) {
  if (!from.present()) return from.missing();
  from.read(to);
}

void read_request(const Field& from, AdmissionRequest& to) {
  required(from["uid"], to.uid);
  if (from["uid"].present() && (to.uid.empty() || to.uid.size() > kMaxUid)) {
    from["uid"].fail(fmt::format("must have 1 to {} characters", kMaxUid));
  }
  const Field kind = from["kind"];
  kind["group"].read(to.kind.group); // empty: the core group
  required(kind["version"], to.kind.version);
  required(kind["kind"], to.kind.kind);
  const Field resource = from["resource"];
  resource["group"].read(to.resource.group);
  required(resource["version"], to.resource.version);
  required(resource["resource"], to.resource.resource);
  from["subResource"].read(to.subresource);
  const Field operation = from["operation"];
  if (!operation.present()) operation.missing();
  operation.read(to.operation, kOperations);
  from["name"].read(to.name);
  from["namespace"].read(to.namespace_);
  const Field user = from["userInfo"];
  user["username"].read(to.username);
  from["dryRun"].read(to.dry_run);
  const bool makes =
      to.operation == AdmissionOperation::Create || to.operation == AdmissionOperation::Update;
  if (makes && !from["object"].present()) from["object"].missing();
}

void read_review(const Field& root, AdmissionRequest& request) {
  std::string version, kind;
  root["apiVersion"].read(version);
  root["kind"].read(kind);
  if (version != kReviewVersion) {
    root["apiVersion"].fail(fmt::format("is not \"{}\"", kReviewVersion));
  }
  if (kind != kReviewKind) root["kind"].fail(fmt::format("is not \"{}\"", kReviewKind));
  const Field from = root["request"];
  if (!from.present()) return from.missing();
  read_request(from, request);
}

bool is_judged(const AdmissionRequest& request) {
  if (request.kind.group != kGroup || !request.subresource.empty()) return false;
  if (request.operation == AdmissionOperation::Connect) return false;
  const std::string& kind = request.kind.kind;
  return kind == resource<EgressGateway>().kind || kind == resource<EgressClusterInfo>().kind ||
         parse_policy_kind(kind).has_value();
}

// Mutating webhooks are asked before the API server makes a name from metadata.generateName. Our
// decoders want one: the prefix stands in for it. Returns whether it does.
bool lend_name(rapidjson::Document& document, rapidjson::Value& object) {
  if (!object.IsObject()) return false;
  const auto meta = object.FindMember("metadata");
  if (meta == object.MemberEnd() || !meta->value.IsObject()) return false;
  auto& members = meta->value;
  const auto name = members.FindMember("name");
  if (name != members.MemberEnd()) {
    if (!name->value.IsString() || name->value.GetStringLength() != 0) return false;
    members.RemoveMember(name);
  }
  const auto prefix = members.FindMember("generateName");
  if (prefix == members.MemberEnd() || !prefix->value.IsString()) return false;
  rapidjson::Value copy(prefix->value, document.GetAllocator());
  members.AddMember("name", std::move(copy), document.GetAllocator());
  return true;
}

template <class T>
Result<AdmissionObject> as_object(Result<T> decoded, const AdmissionRequest& request,
                                  bool lent_name) {
  if (!decoded) return decoded.error();
  ObjectMeta& meta = decoded->meta;
  if (lent_name) meta.name.clear();
  if (meta.namespace_.empty()) meta.namespace_ = request.namespace_;
  return AdmissionObject(std::move(decoded).value());
}

Result<AdmissionObject> decode_object(rapidjson::Document& document, const char* member,
                                      const AdmissionRequest& request) {
  auto& from = document["request"];
  const auto at = from.FindMember(member);
  if (at == from.MemberEnd() || at->value.IsNull()) return AdmissionObject();
  auto& json = at->value;
  const bool lent = request.operation == AdmissionOperation::Create && lend_name(document, json);
  if (const auto kind = parse_policy_kind(request.kind.kind)) {
    return as_object(decode_policy(json, *kind), request, lent);
  }
  if (request.kind.kind == resource<EgressGateway>().kind) {
    return as_object(decode<EgressGateway>(json), request, lent);
  }
  return as_object(decode<EgressClusterInfo>(json), request, lent);
}

std::optional<AdmissionResponse> read_objects(rapidjson::Document& document,
                                              AdmissionRequest& request) {
  if (!is_judged(request)) return AdmissionResponse{};
  // An object as it stands is no reason to keep it: it may be repaired, and always deleted.
  if (auto old = decode_object(document, "oldObject", request)) {
    request.old_object = std::move(old).value();
  }
  if (request.operation == AdmissionOperation::Delete) return std::nullopt;
  if (request.kind.version != kVersion) {
    return refusal(fmt::format("apiVersion: {}/{} is not served by this controller: use {}",
                               request.kind.group, request.kind.version, kApiVersion));
  }
  auto object = decode_object(document, "object", request);
  if (!object) return refusal(object.error().message);
  request.object = std::move(object).value();
  return std::nullopt;
}

class PatchWriter {
 public:
  std::string write(const std::vector<PatchOperation>& operations) {
    json_.StartArray();
    for (const PatchOperation& operation : operations) {
      json_.StartObject();
      member("op", operation.op == PatchOperation::Op::Add ? "add" : "replace");
      member("path", operation.path);
      json_.Key("value");
      std::visit(*this, operation.value);
      json_.EndObject();
    }
    json_.EndArray();
    return {buffer_.GetString(), buffer_.GetSize()};
  }
  void operator()(const std::string& value) {
    json_.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
  }
  void operator()(std::int64_t value) { json_.Int64(value); }
  void operator()(bool value) { json_.Bool(value); }
  void operator()(EmptyObject) {
    json_.StartObject();
    json_.EndObject();
  }

 private:
  void member(const char* key, const std::string& value) {
    json_.Key(key);
    (*this)(value);
  }
  rapidjson::StringBuffer buffer_;
  rapidjson::Writer<rapidjson::StringBuffer> json_{buffer_};
};

} // namespace

const char* to_string(AdmissionOperation operation) {
  return word_of(operation, kOperations);
}

std::string json_pointer(std::initializer_list<std::string_view> parts) {
  std::string path;
  for (const std::string_view part : parts) {
    path += '/';
    for (const char c : part) {
      if (c == '~') {
        path += "~0";
      } else if (c == '/') {
        path += "~1";
      } else {
        path += c;
      }
    }
  }
  return path;
}

std::string encode(const std::vector<PatchOperation>& patch) {
  return PatchWriter().write(patch);
}

AdmissionResponse refusal(std::string message, std::int32_t code, std::string reason) {
  AdmissionResponse response;
  response.allowed = false;
  response.code = code;
  response.reason = std::move(reason);
  response.message = std::move(message);
  return response;
}

Result<AdmissionReview> decode_review(std::string_view body, AdmissionPhase phase) {
  if (body.size() > kMaxReview) {
    return Error{fmt::format("the review has {} bytes, more than {}", body.size(), kMaxReview)};
  }
  rapidjson::Document document;
  if (const auto parsed = parse_json(document, body); !parsed) return parsed.error();
  auto request = decode_with<AdmissionRequest>(document, read_review);
  if (!request) return request.error();
  AdmissionReview review{std::move(request).value(), std::nullopt};
  review.request.phase = phase;
  review.answer = read_objects(document, review.request);
  return review;
}

std::string encode_review(const AdmissionRequest& request, const AdmissionResponse& response) {
  return JsonWriter::document([&](JsonWriter& w) {
    w.text("apiVersion", kReviewVersion);
    w.text("kind", kReviewKind);
    w.object("response", [&] {
      w.text("uid", request.uid);
      w.always_flag("allowed", response.allowed);
      if (!response.allowed) {
        w.object("status", [&] {
          w.text("status", "Failure");
          w.number("code", response.code);
          w.text("reason", response.reason);
          w.text("message", response.message);
        });
      }
      w.texts("warnings", response.warnings);
      const bool changes = response.allowed && request.phase == AdmissionPhase::Mutating;
      if (changes && !response.patch.empty()) {
        w.text("patchType", "JSONPatch");
        w.text("patch", base64_encode(encode(response.patch)));
      }
    });
  });
}

Result<std::string> answer_review(std::string_view body, AdmissionPhase phase,
                                  const AdmissionRules& rules) {
  const auto review = decode_review(body, phase);
  if (!review) return review.error();
  return encode_review(review->request, review->answer ? *review->answer : rules(review->request));
}

} // namespace egw::api
