// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"

// Parts that every object of Kubernetes has (k8s.io/apimachinery meta/v1), only the fields used.
namespace egw::api {

// Sorted by key; in one block of memory, because a controller keeps a hundred thousand of them.
class Labels {
 public:
  using Item = std::pair<std::string_view, std::string_view>; // valid until the next change
  class Items;

  Labels() = default;
  Labels(std::initializer_list<Item> items);

  void set(std::string_view key, std::string_view value);
  void erase(std::string_view key);
  [[nodiscard]] std::optional<std::string_view> find(std::string_view key) const;
  [[nodiscard]] Items items() const;
  [[nodiscard]] bool empty() const { return packed_.empty(); }
  auto operator<=>(const Labels&) const = default;

 private:
  [[nodiscard]] std::size_t place(std::string_view key) const; // of the first that is not before it
  void replace(std::size_t at, std::size_t size, std::string_view by);

  std::string packed_; // of each the length of its key and its value, as four bytes each, and both
};

class Labels::Items {
 public:
  class Iterator {
   public:
    using iterator_concept = std::forward_iterator_tag;
    using iterator_category = std::input_iterator_tag; // it makes what it points to
    using value_type = Item;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = Item;

    Iterator() = default;
    Iterator(std::string_view all, std::size_t at) : all_(all), at_(at) {}
    Item operator*() const;
    Iterator& operator++();
    Iterator operator++(int) {
      const Iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }
    [[nodiscard]] std::size_t offset() const { return at_; }

   private:
    std::string_view all_;
    std::size_t at_ = 0;
  };

  explicit Items(std::string_view packed) : packed_(packed) {}
  [[nodiscard]] Iterator begin() const { return {packed_, 0}; }
  [[nodiscard]] Iterator end() const { return {packed_, packed_.size()}; }
  [[nodiscard]] Item front() const { return *begin(); } // must not be empty
  [[nodiscard]] std::size_t size() const;

 private:
  std::string_view packed_;
};
inline Labels::Items Labels::items() const {
  return Items(packed_);
}

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
