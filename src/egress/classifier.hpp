// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "egress/node_plan.hpp"
#include "egress/ruleset.hpp"

namespace egw::egress {

// The same facts that the ruleset is built from, and the names behind its numbers.
struct Classifier::Data {
  RulesetInput input;
  NodeOptions options;
  std::map<std::uint32_t, std::string> gateway_names; // by index
};

} // namespace egw::egress
