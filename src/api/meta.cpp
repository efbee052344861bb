// SPDX-License-Identifier: Apache-2.0
#include "api/meta.hpp"

#include <algorithm>

namespace egw::api {
namespace {

bool before(const std::pair<std::string, std::string>& item, std::string_view key) {
  return item.first < key;
}

bool matches(const SelectorRequirement& r, const Labels& labels) {
  const std::string* value = labels.find(r.key);
  const auto listed = [&] {
    return value != nullptr &&
           std::find(r.values.begin(), r.values.end(), *value) != r.values.end();
  };
  switch (r.op) {
    case SelectorOperator::In:
      return listed();
    // As in Kubernetes, an object without the key matches too.
    case SelectorOperator::NotIn:
      return !listed();
    case SelectorOperator::Exists:
      return value != nullptr;
    case SelectorOperator::DoesNotExist:
      return value == nullptr;
  }
  return false;
}

} // namespace

Labels::Labels(std::initializer_list<std::pair<std::string, std::string>> items) {
  for (const auto& [key, value] : items) set(key, value);
}

void Labels::set(std::string key, std::string value) {
  const auto at = std::lower_bound(items_.begin(), items_.end(), key, before);
  if (at != items_.end() && at->first == key) {
    at->second = std::move(value);
  } else {
    items_.emplace(at, std::move(key), std::move(value));
  }
}

void Labels::erase(std::string_view key) {
  const auto at = std::lower_bound(items_.begin(), items_.end(), key, before);
  if (at != items_.end() && at->first == key) items_.erase(at);
}

const std::string* Labels::find(std::string_view key) const {
  const auto at = std::lower_bound(items_.begin(), items_.end(), key, before);
  return at != items_.end() && at->first == key ? &at->second : nullptr;
}

Condition make_condition(std::string type, bool holds, std::string reason, std::string message,
                         std::int64_t generation) {
  return {std::move(type),   holds ? "True" : "False",
          std::move(reason), std::move(message),
          generation,        {}};
}

const Condition* find_condition(const std::vector<Condition>& c, std::string_view type) {
  const auto at =
      std::find_if(c.begin(), c.end(), [&](const Condition& x) { return x.type == type; });
  return at == c.end() ? nullptr : &*at;
}

void set_condition(std::vector<Condition>& conditions, Condition wanted, WallTime now) {
  const auto at = std::find_if(conditions.begin(), conditions.end(),
                               [&](const Condition& x) { return x.type == wanted.type; });
  const bool same_status = at != conditions.end() && at->status == wanted.status;
  // Whole seconds, as metav1.Time has them: what is read back must compare equal to what was set.
  wanted.last_transition =
      same_status ? at->last_transition : std::chrono::floor<std::chrono::seconds>(now);
  if (at == conditions.end()) {
    conditions.push_back(std::move(wanted));
  } else {
    *at = std::move(wanted);
  }
}

bool LabelSelector::matches(const Labels& labels) const {
  for (const auto& [key, value] : match_labels.items()) {
    const std::string* found = labels.find(key);
    if (found == nullptr || *found != value) return false;
  }
  return std::all_of(match_expressions.begin(), match_expressions.end(),
                     [&](const SelectorRequirement& r) { return api::matches(r, labels); });
}

std::string NamespacedName::to_string() const {
  return namespace_.empty() ? name : namespace_ + "/" + name;
}

} // namespace egw::api
