// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "api/egress.hpp"
#include "base/error.hpp"

// admission.k8s.io/v1 AdmissionReview: what the API server asks before it takes an object, and our
// answer
// (https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/).
namespace egw::api {

// Mutating webhooks are asked first, and may change the object; validating ones see what the others
// made of it.
enum class AdmissionPhase : std::uint8_t { Mutating, Validating };
enum class AdmissionOperation : std::uint8_t { Create, Update, Delete, Connect };
[[nodiscard]] const char* to_string(AdmissionOperation operation); // "CREATE"

struct GroupVersionKind {
  std::string group, version, kind;
  bool operator==(const GroupVersionKind&) const = default;
};
struct GroupVersionResource {
  std::string group, version, resource;
  bool operator==(const GroupVersionResource&) const = default;
};

// std::monostate: there is none.
using AdmissionObject =
    std::variant<std::monostate, EgressGateway, EgressPolicy, EgressClusterInfo>;

struct AdmissionRequest {
  AdmissionPhase phase = AdmissionPhase::Validating;
  std::string uid; // of the request
  GroupVersionKind kind;
  GroupVersionResource resource;
  std::string subresource; // "status", ...; mostly empty
  AdmissionOperation operation = AdmissionOperation::Create;
  std::string name; // empty while the API server has yet to generate one
  std::string namespace_;
  std::string username;   // who asks; ours are "system:serviceaccount:NAMESPACE:NAME"
  bool dry_run = false;   // nothing will be stored
  AdmissionObject object; // CREATE, UPDATE: as it is to be; its meta.name may be empty as `name`
  AdmissionObject old_object; // UPDATE, DELETE: as it is; none also where that cannot be read
  bool operator==(const AdmissionRequest&) const = default;
};

// JSON Patch (RFC 6902), as far as defaults need it.
struct EmptyObject { // {}: for a parent that is missing
  bool operator==(const EmptyObject&) const = default;
};
using PatchValue = std::variant<std::string, std::int64_t, bool, EmptyObject>;
struct PatchOperation {
  enum class Op : std::uint8_t { Add, Replace }; // Add replaces a member that is there
  Op op = Op::Add;
  std::string path; // a JSON Pointer
  PatchValue value;
  bool operator==(const PatchOperation&) const = default;
};
[[nodiscard]] std::string encode(const std::vector<PatchOperation>& patch); // the JSON list
// {"metadata", "labels", "a/b"} -> "/metadata/labels/a~1b" (RFC 6901)
[[nodiscard]] std::string json_pointer(std::initializer_list<std::string_view> parts);

struct AdmissionResponse {
  bool allowed = true;
  std::int32_t code = 0;             // of a refusal: an HTTP status, 400..599
  std::string reason, message;       // of a refusal: metav1.StatusReason; a sentence for people
  std::vector<std::string> warnings; // shown by kubectl, also with what is allowed
  std::vector<PatchOperation> patch; // sent in the mutating phase alone
  bool operator==(const AdmissionResponse&) const = default;
};
// `message` names field, value and remedy.
[[nodiscard]] AdmissionResponse refusal(std::string message, std::int32_t code = 422,
                                        std::string reason = "Invalid");

struct AdmissionReview {
  AdmissionRequest request;
  // Set where there is nothing to judge: other kinds and subresources are allowed, an object that
  // cannot be decoded is refused with the field's path and value.
  std::optional<AdmissionResponse> answer;
};

// A review holds an object twice, and etcd's bound for one is 1.5 MiB.
inline constexpr std::size_t kMaxReview = 3U << 20U;

// Errors: what was sent is no AdmissionReview with a request, or is longer than kMaxReview.
[[nodiscard]] Result<AdmissionReview> decode_review(std::string_view body, AdmissionPhase phase);
[[nodiscard]] std::string encode_review(const AdmissionRequest& request,
                                        const AdmissionResponse& response);

// Called for our kinds alone, with all that could be decoded.
using AdmissionRules = std::function<AdmissionResponse(const AdmissionRequest&)>;
// The answer's body. Errors: those of decode_review().
[[nodiscard]] Result<std::string> answer_review(std::string_view body, AdmissionPhase phase,
                                                const AdmissionRules& rules);

} // namespace egw::api
