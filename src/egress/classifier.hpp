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
  // Of each of the input's pods, in the order of its class: pods of other policies may share a
  // class by content.
  std::vector<std::shared_ptr<const std::vector<api::PolicyKey>>> keys;
  std::map<std::uint32_t, std::string> gateway_names; // by index
};

} // namespace egw::egress
