// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <utility>
#include <vector>

namespace egw {

// A map in one block of memory, in the order of its keys: a tenth of std::map's memory for small
// values. Keys that come in their order are appended; others move what is behind them. Every change
// makes iterators and references void.
template <class K, class V>
class FlatMap {
 public:
  using value_type = std::pair<K, V>;
  using iterator = std::vector<value_type>::iterator;
  using const_iterator = std::vector<value_type>::const_iterator;

  [[nodiscard]] iterator begin() { return items_.begin(); }
  [[nodiscard]] iterator end() { return items_.end(); }
  [[nodiscard]] const_iterator begin() const { return items_.begin(); }
  [[nodiscard]] const_iterator end() const { return items_.end(); }
  [[nodiscard]] std::size_t size() const { return items_.size(); }
  [[nodiscard]] bool empty() const { return items_.empty(); }

  [[nodiscard]] iterator find(const K& key) {
    const auto at = place(items_, key);
    return at != items_.end() && at->first == key ? at : items_.end();
  }
  [[nodiscard]] const_iterator find(const K& key) const {
    const auto at = place(items_, key);
    return at != items_.end() && at->first == key ? at : items_.end();
  }
  [[nodiscard]] bool contains(const K& key) const { return find(key) != end(); }
  // Throws std::out_of_range where there is none, as std::map does.
  [[nodiscard]] V& at(const K& key) {
    const auto found = find(key);
    if (found == end()) throw std::out_of_range("FlatMap::at");
    return found->second;
  }

  // The second is false, and nothing changes, where the key is there.
  std::pair<iterator, bool> try_emplace(const K& key, V value) {
    const auto at = place(items_, key);
    if (at != items_.end() && at->first == key) return {at, false};
    return {items_.emplace(at, key, std::move(value)), true};
  }
  iterator erase(const_iterator at) { return items_.erase(at); }

 private:
  template <class Items>
  static auto place(Items& items, const K& key) {
    const auto less = [](const value_type& item, const K& k) { return item.first < k; };
    return std::lower_bound(items.begin(), items.end(), key, less);
  }
  std::vector<value_type> items_;
};

} // namespace egw
