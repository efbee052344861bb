// SPDX-License-Identifier: Apache-2.0
#include "cmd/controller_admission.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace egw;
using namespace egw::cmd;

namespace {

const egress::ObjectKey kGateway{egress::Kind::Gateway, "", "eg1"};
const egress::ObjectKey kOther{egress::Kind::Gateway, "", "eg2"};

egress::AdmissionVerdict refused(std::vector<egress::ObjectKey> rests_on) {
  return {api::refusal("no"), std::move(rests_on)};
}

} // namespace

TEST_CASE("an answer that rests on nothing is given at once") {
  const auto answer =
      admit_anew([](const egress::Fresh&) { return egress::AdmissionVerdict{}; },
                 [](const egress::ObjectKey&) -> Result<std::optional<egress::Object>> {
                   FAIL("nothing to read");
                   return Error{};
                 });
  CHECK(answer.allowed);
}

TEST_CASE("what a refusal rests on is read anew, until it rests on nothing more") {
  std::vector<egress::ObjectKey> read;
  const auto reader = [&](const egress::ObjectKey& key) -> Result<std::optional<egress::Object>> {
    read.push_back(key);
    return std::optional<egress::Object>(api::EgressGateway{});
  };
  const auto answer = admit_anew(
      [](const egress::Fresh& fresh) -> std::optional<egress::AdmissionVerdict> {
        if (!fresh.contains(kGateway)) return refused({kGateway});
        if (!fresh.contains(kOther)) return refused({kOther});
        return egress::AdmissionVerdict{};
      },
      reader);
  CHECK(answer.allowed);
  CHECK(read == std::vector{kGateway, kOther});
}

TEST_CASE("what can't be read leaves the answer as it is; endless questions end") {
  const Judge judge = [](const egress::Fresh&) { return refused({kGateway}); };
  int reads = 0;
  CHECK_FALSE(admit_anew(judge, [&](const egress::ObjectKey&) {
                ++reads;
                return Result<std::optional<egress::Object>>(Error{"away", 0});
              }).allowed);
  CHECK(reads == 1);
  int asked = 0;
  CHECK_FALSE(admit_anew(
                  [&](const egress::Fresh&) {
                    const std::string name = std::to_string(++asked);
                    return refused({{egress::Kind::Gateway, "", name}});
                  },
                  [](const egress::ObjectKey&) {
                    return Result<std::optional<egress::Object>>(std::optional<egress::Object>{});
                  })
                  .allowed);
  CHECK(asked < 20);
}

TEST_CASE("a controller that does not answer says so, with a status that tells to try again") {
  const auto answer = admit_anew(
      [](const egress::Fresh&) { return std::optional<egress::AdmissionVerdict>{}; }, {});
  CHECK_FALSE(answer.allowed);
  CHECK(answer.code == 503);
}
