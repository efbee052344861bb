// SPDX-License-Identifier: Apache-2.0
#include "api/meta.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace egw::api {
namespace {

using Length = std::uint32_t;
constexpr std::size_t kHead = 2 * sizeof(Length); // of a packed label

std::size_t length_at(std::string_view packed, std::size_t at) {
  Length length = 0;
  std::memcpy(&length, packed.substr(at, sizeof(length)).data(), sizeof(length));
  return length;
}
std::size_t size_at(std::string_view packed, std::size_t at) { // of the whole label
  return kHead + length_at(packed, at) + length_at(packed, at + sizeof(Length));
}

std::string pack(std::string_view key, std::string_view value) {
  std::string packed(kHead, '\0');
  const std::array<Length, 2> lengths{static_cast<Length>(key.size()),
                                      static_cast<Length>(value.size())};
  std::memcpy(packed.data(), lengths.data(), kHead);
  return packed.append(key).append(value);
}

bool matches(const SelectorRequirement& r, const Labels& labels) {
  const auto value = labels.find(r.key);
  const auto listed = [&] {
    return value && std::find(r.values.begin(), r.values.end(), *value) != r.values.end();
  };
  switch (r.op) {
    case SelectorOperator::In:
      return listed();
    // As in Kubernetes, an object without the key matches too.
    case SelectorOperator::NotIn:
      return !listed();
    case SelectorOperator::Exists:
      return value.has_value();
    case SelectorOperator::DoesNotExist:
      return !value;
  }
  return false;
}

} // namespace

Labels::Item Labels::Items::Iterator::operator*() const {
  const std::size_t key = length_at(all_, at_), value = length_at(all_, at_ + sizeof(Length));
  return {all_.substr(at_ + kHead, key), all_.substr(at_ + kHead + key, value)};
}
Labels::Items::Iterator& Labels::Items::Iterator::operator++() {
  at_ += size_at(all_, at_);
  return *this;
}
std::size_t Labels::Items::size() const {
  return static_cast<std::size_t>(std::ranges::distance(begin(), end()));
}

Labels::Labels(std::initializer_list<Item> items) {
  for (const auto& [key, value] : items) set(key, value);
}

std::size_t Labels::place(std::string_view key) const {
  const Items all = items();
  return std::ranges::find_if(all, [&](const Item& item) { return item.first >= key; }).offset();
}

// Into a block of the right size: one that grew in steps would keep what it did not need.
void Labels::replace(std::size_t at, std::size_t size, std::string_view by) {
  std::string next;
  next.reserve(packed_.size() - size + by.size());
  next.append(packed_, 0, at).append(by).append(packed_, at + size);
  packed_ = std::move(next);
}

void Labels::set(std::string_view key, std::string_view value) {
  const std::size_t at = place(key);
  replace(at, find(key) ? size_at(packed_, at) : 0, pack(key, value));
}

void Labels::erase(std::string_view key) {
  const std::size_t at = place(key);
  if (find(key)) replace(at, size_at(packed_, at), {});
}

std::optional<std::string_view> Labels::find(std::string_view key) const {
  for (const auto& [name, value] : items()) {
    if (name == key) return value;
  }
  return std::nullopt;
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
    if (labels.find(key) != value) return false;
  }
  return std::all_of(match_expressions.begin(), match_expressions.end(),
                     [&](const SelectorRequirement& r) { return api::matches(r, labels); });
}

std::string NamespacedName::to_string() const {
  return namespace_.empty() ? name : namespace_ + "/" + name;
}

} // namespace egw::api
