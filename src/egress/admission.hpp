// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "api/admission_review.hpp"
#include "egress/gateway_plan.hpp"
#include "egress/world.hpp"

// What the webhook says of a write of our kinds: defaults, and refusals of what one object alone
// can't show to be wrong (the schemas do that). Pure. The controller's loop makes the same checks,
// so that what came in while no webhook ran gets a condition and harms nothing.
namespace egw::egress {

// A watch is always a little behind: what a refusal rests on is read anew before it is given.
// Nothing: there is no such object.
using Fresh = std::map<ObjectKey, std::optional<Object>>;

struct AdmissionInput {
  const World* world = nullptr;
  const Fresh* fresh = nullptr; // comes before the world
  TunnelSubnets tunnel;
  IpFamilies families;
};
struct AdmissionVerdict {
  api::AdmissionResponse response;
  // Objects that a refusal, or a default, rests on and that are not among the fresh ones. With them
  // there the answer may be another.
  std::vector<ObjectKey> rests_on;
};

[[nodiscard]] AdmissionVerdict admit(const api::AdmissionRequest& request,
                                     const AdmissionInput& input);

} // namespace egw::egress
