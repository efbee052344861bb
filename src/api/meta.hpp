// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"

// Parts that every object of Kubernetes has (k8s.io/apimachinery meta/v1), only the fields used.
namespace egw::api {

// Sorted by key; small and flat, because a controller keeps a hundred thousand of them.
class Labels {
 public:
  Labels() = default;
  Labels(std::initializer_list<std::pair<std::string, std::string>> items);

  void set(std::string key, std::string value);
  void erase(std::string_view key);
  [[nodiscard]] const std::string* find(std::string_view key) const; // nullptr when absent
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& items() const {
    return items_;
  }
  [[nodiscard]] bool empty() const { return items_.empty(); }
  auto operator<=>(const Labels&) const = default;

 private:
  std::vector<std::pair<std::string, std::string>> items_;
};

struct OwnerReference {
  std::string api_version, kind, name, uid;
  bool controller = false;
  auto operator<=>(const OwnerReference&) const = default;
};

struct ObjectMeta {
  std::string name, namespace_, uid, resource_version;
  std::int64_t generation = 0;
  WallTime created{};
  bool deleting = false; // deletionTimestamp is set
  Labels labels, annotations;
  std::vector<OwnerReference> owners;
  std::vector<std::string> finalizers;
  bool operator==(const ObjectMeta&) const = default;
};

// metav1.Condition. `last_transition` changes only when `status` does.
struct Condition {
  std::string type, status, reason, message; // status: "True", "False", "Unknown"
  std::int64_t observed_generation = 0;
  WallTime last_transition{};
  bool operator==(const Condition&) const = default;
};
// One that holds or not, of an object of that generation, for set_condition().
[[nodiscard]] Condition make_condition(std::string type, bool holds, std::string reason,
                                       std::string message, std::int64_t generation);
[[nodiscard]] const Condition* find_condition(const std::vector<Condition>& c,
                                              std::string_view type);
// Puts `wanted` in; keeps last_transition of one with the same status, else takes `now`. The order
// of the others stays.
void set_condition(std::vector<Condition>& conditions, Condition wanted, WallTime now);

enum class SelectorOperator : std::uint8_t { In, NotIn, Exists, DoesNotExist };
struct SelectorRequirement {
  std::string key;
  SelectorOperator op = SelectorOperator::In;
  std::vector<std::string> values;
  auto operator<=>(const SelectorRequirement&) const = default;
};
// metav1.LabelSelector: all parts must hold; an empty one matches everything.
struct LabelSelector {
  Labels match_labels;
  std::vector<SelectorRequirement> match_expressions;
  [[nodiscard]] bool empty() const { return match_labels.empty() && match_expressions.empty(); }
  [[nodiscard]] bool matches(const Labels& labels) const;
  auto operator<=>(const LabelSelector&) const = default;
};

struct NamespacedName {
  std::string namespace_, name; // namespace_ is empty for cluster-scoped objects
  auto operator<=>(const NamespacedName&) const = default;
  [[nodiscard]] std::string to_string() const; // "ns/name" or "name"
};

} // namespace egw::api
