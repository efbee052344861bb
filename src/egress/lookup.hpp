// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "api/meta.hpp"

namespace egw::egress {

// The value, or nullptr when there is none.
template <class Map, class Key>
auto* lookup(Map& map, const Key& key) {
  const auto at = map.find(key);
  return at == map.end() ? nullptr : &at->second;
}

[[nodiscard]] inline bool is_true(const std::vector<api::Condition>& conditions, const char* type) {
  const auto* condition = api::find_condition(conditions, type);
  return condition != nullptr && condition->status == "True";
}

} // namespace egw::egress
