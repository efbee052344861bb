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

// The condition when `type` is "False" now and was not, or was for another reason.
[[nodiscard]] inline const api::Condition* fell(const std::vector<api::Condition>& before,
                                                const std::vector<api::Condition>& after,
                                                const char* type) {
  const auto* now = api::find_condition(after, type);
  if (now == nullptr || now->status != "False") return nullptr;
  const auto* then = api::find_condition(before, type);
  const bool same = then != nullptr && then->status == "False" && then->reason == now->reason;
  return same ? nullptr : now;
}

} // namespace egw::egress
