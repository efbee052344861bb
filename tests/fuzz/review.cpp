// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <variant>

#include "api/admission_review.hpp"
#include "api/json_parse.hpp"
#include "api/validate.hpp"
#include "fuzz/fuzz.hpp"

// Bodies of AdmissionReviews, from the request to the answer's text.
using namespace egw;
using namespace egw::api;
using egw::test::require;

namespace {

AdmissionResponse judged(const AdmissionRequest& request) {
  return std::visit(
      [](const auto& object) -> AdmissionResponse {
        if constexpr (std::is_same_v<std::decay_t<decltype(object)>, std::monostate>) {
          return {};
        } else {
          const auto errors = validate(object);
          AdmissionResponse response;
          response.warnings = {object.meta.name};
          response.patch = {{PatchOperation::Op::Add,
                             json_pointer({"metadata", "labels", object.meta.name}),
                             object.meta.namespace_}};
          return errors.empty() ? response : refusal(errors.front().message);
        }
      },
      request.object);
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body = test::text_of(data, size);
  for (const auto phase : {AdmissionPhase::Mutating, AdmissionPhase::Validating}) {
    const auto review = decode_review(body, phase);
    const auto answer = answer_review(body, phase, judged);
    require(answer.ok() == review.ok(), "what can be read is answered");
    if (!review) {
      require(!review.error().message.empty(), "an error has words");
      continue;
    }
    rapidjson::Document json;
    require(parse_json(json, *answer).ok(), "an answer is JSON");
    const auto& response = json["response"];
    const auto& uid = response["uid"];
    require(std::string_view(uid.GetString(), uid.GetStringLength()) == review->request.uid,
            "an answer bears its request's uid");
    const bool allowed = response["allowed"].GetBool();
    require(allowed || response["status"]["message"].GetStringLength() > 0, "a refusal says why");
    require(!response.HasMember("patch") || (allowed && phase == AdmissionPhase::Mutating),
            "a patch is for what is allowed, in the first phase");
  }
  return 0;
}
