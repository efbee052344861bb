// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <string>

#include "egress/node_plan.hpp"
#include "egress/ruleset.hpp"

namespace egw::egress {

// The same facts that the ruleset is built from, and the names behind its numbers.
struct Classifier::Data {
  RulesetInput input; // without what the tables alone are made of
  NodeOptions options;
  std::map<std::uint32_t, std::string> gateway_names; // by index
  // The class ids of own and of remote pods, shared with the tables.
  std::map<Family, std::array<net::Elements, 2>> pods;

  void take_pods(const std::map<net::NftFamily, net::Table>& tables);
  [[nodiscard]] std::optional<std::uint32_t> class_of(const Address& pod) const;
  [[nodiscard]] static std::optional<std::uint32_t> class_in(const net::Elements& pods,
                                                             const Address& pod);
  [[nodiscard]] std::size_t pod_count() const;
};

} // namespace egw::egress
