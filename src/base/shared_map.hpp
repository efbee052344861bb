// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace egw {

// The items of a chunk of a SharedMap, in an order that the map keeps.
template <class Key, class T>
class PlainItems {
 public:
  using reference = const std::pair<Key, T>&;
  using pointer = const std::pair<Key, T>*;
  using const_key = const Key&;
  using const_value = const T&;

  PlainItems() = default;
  // A copy with room for `more` items.
  PlainItems(const PlainItems& other, std::size_t more) {
    grow(other.size() + more);
    items_.assign(other.items_.begin(), other.items_.end());
  }

  [[nodiscard]] std::size_t size() const { return items_.size(); }
  [[nodiscard]] reference operator[](std::size_t i) const { return items_[i]; }
  [[nodiscard]] pointer arrow(std::size_t i) const { return &items_[i]; }
  [[nodiscard]] const_key key(std::size_t i) const { return items_[i].first; }
  [[nodiscard]] const_value value(std::size_t i) const { return items_[i].second; }
  [[nodiscard]] T& value(std::size_t i) { return items_[i].second; }
  void assign(std::size_t i, T value) { items_[i].second = std::move(value); }
  template <class... Arguments>
  void insert(std::size_t i, const Key& key, Arguments&&... arguments) {
    grow(size() + 1);
    items_.emplace(place(i), std::piecewise_construct, std::forward_as_tuple(key),
                   std::forward_as_tuple(std::forward<Arguments>(arguments)...));
  }
  void erase(std::size_t i) { items_.erase(place(i)); }
  [[nodiscard]] PlainItems split(std::size_t i) { // the items from the i-th on
    PlainItems right;
    right.items_.assign(std::make_move_iterator(place(i)), std::make_move_iterator(items_.end()));
    items_.erase(place(i), items_.end());
    return right;
  }
  void append(PlainItems& other) {
    grow(size() + other.size());
    items_.insert(items_.end(), std::make_move_iterator(other.items_.begin()),
                  std::make_move_iterator(other.items_.end()));
  }

 private:
  static constexpr std::size_t kStep = 8;

  auto place(std::size_t i) { return items_.begin() + static_cast<std::ptrdiff_t>(i); }
  // A vector that is copied and then grows by itself would take twice as much as it holds.
  void grow(std::size_t wanted) {
    if (items_.capacity() < wanted) items_.reserve((wanted + kStep - 1) / kStep * kStep);
  }
  std::vector<std::pair<Key, T>> items_;
};

// An ordered map whose copies share what they have in common: chunks of a few items each, copied
// when one of them is about to change. A copy with one change, and finding out what differs between
// the two, cost a pointer for each chunk and the items of one. Used as std::map, but items are
// changed by operator[] and at() alone, and a change ends the life of iterators and references.
// Maps that share belong to one thread.
//
// `Items` keeps a chunk's items. One that makes them anew whenever they are asked for (PackedItems)
// gives values where others give references, and its map has no operator[].
template <class Key, class T, class Items = PlainItems<Key, T>>
class SharedMap {
 public:
  using key_type = Key;
  using mapped_type = T;
  using value_type = std::pair<Key, T>;
  static constexpr bool kInPlace = std::is_reference_v<typename Items::reference>;

  class const_iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = std::pair<Key, T>;
    using difference_type = std::ptrdiff_t;
    using pointer = Items::pointer;
    using reference = Items::reference;

    const_iterator() = default;
    const_iterator(const SharedMap* map, std::size_t chunk, std::size_t at)
        : map_(map), chunk_(chunk), at_(at) {}
    reference operator*() const { return (*map_->chunks_[chunk_])[at_]; }
    pointer operator->() const { return map_->chunks_[chunk_]->arrow(at_); }
    const_iterator& operator++() {
      if (++at_ == map_->chunks_[chunk_]->size()) {
        ++chunk_;
        at_ = 0;
      }
      return *this;
    }
    const_iterator operator++(int) {
      const_iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const const_iterator&) const = default;

   private:
    const SharedMap* map_ = nullptr;
    std::size_t chunk_ = 0, at_ = 0;
  };
  using iterator = const_iterator;

  SharedMap() = default;
  SharedMap(std::initializer_list<value_type> items) {
    for (const value_type& item : items) try_emplace(item.first, item.second);
  }

  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] const_iterator begin() const { return {this, 0, 0}; }
  [[nodiscard]] const_iterator end() const { return {this, chunks_.size(), 0}; }

  [[nodiscard]] const_iterator lower_bound(const Key& key) const {
    const auto chunk = chunk_of(key);
    if (chunk == chunks_.size()) return end();
    return {this, chunk, position(*chunks_[chunk], key)};
  }
  [[nodiscard]] const_iterator find(const Key& key) const {
    const auto chunk = chunk_of(key);
    if (chunk == chunks_.size()) return end();
    const auto at = position(*chunks_[chunk], key);
    return chunks_[chunk]->key(at) == key ? const_iterator{this, chunk, at} : end();
  }
  [[nodiscard]] bool contains(const Key& key) const { return find(key) != end(); }
  [[nodiscard]] Items::const_value at(const Key& key) const {
    const auto chunk = chunk_of(key);
    if (chunk < chunks_.size()) {
      const auto at = position(*chunks_[chunk], key);
      if (chunks_[chunk]->key(at) == key) return std::as_const(*chunks_[chunk]).value(at);
    }
    throw std::out_of_range("no such key in the map");
  }
  [[nodiscard]] T& at(const Key& key)
    requires kInPlace
  {
    if (!contains(key)) throw std::out_of_range("no such key in the map");
    return (*this)[key];
  }

  T& operator[](const Key& key)
    requires kInPlace
  {
    const auto [chunk, at, fresh] = insert(key);
    return own(chunk).value(at);
  }
  // Whether the key was not there yet; what was there stays.
  template <class... Arguments>
  bool try_emplace(const Key& key, Arguments&&... arguments) {
    return insert(key, std::forward<Arguments>(arguments)...).fresh;
  }
  bool emplace(const Key& key, const T& value) { return try_emplace(key, value); }
  bool emplace(const Key& key, T&& value) { return try_emplace(key, std::move(value)); }
  void insert_or_assign(const Key& key, const T& value) {
    const auto [chunk, at, fresh] = insert(key, value);
    if (!fresh) own(chunk).assign(at, value);
  }
  void insert_or_assign(const Key& key, T&& value)
    requires kInPlace
  {
    const auto [chunk, at, fresh] = insert(key, std::move(value));
    // NOLINTNEXTLINE(bugprone-use-after-move): taken where it is fresh alone
    if (!fresh) own(chunk).assign(at, std::move(value));
  }

  std::size_t erase(const Key& key) {
    const auto index = chunk_of(key);
    if (index == chunks_.size()) return 0;
    const auto at = position(*chunks_[index], key);
    if (!(chunks_[index]->key(at) == key)) return 0;
    Items& chunk = own(index);
    chunk.erase(at);
    --size_;
    if (chunk.size() == 0) {
      chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(index));
    } else {
      join(index);
      if (index > 0) join(index - 1);
    }
    return 1;
  }
  void clear() { *this = {}; }

  bool operator==(const SharedMap& other) const {
    if (size_ != other.size_) return false;
    bool same = true;
    for_each_difference(*this, other, [&](const auto&...) { same = false; });
    return same;
  }

  // Calls f(key, const T* before, const T* after) for each key whose value is not the same in both,
  // in their order; nullptr where it has none.
  template <class F>
  friend void for_each_difference(const SharedMap& before, const SharedMap& after, const F& f) {
    Cursor a(before), b(after);
    for (;;) {
      if (a.at == 0 && b.at == 0) {
        while (a.more() && b.more() && a.pointer() == b.pointer()) {
          ++a.chunk;
          ++b.chunk;
        }
      }
      if (!a.more() && !b.more()) return;
      if (!b.more() || (a.more() && a.key() < b.key())) {
        const auto& [key, value] = a.item();
        f(key, &value, static_cast<const T*>(nullptr));
        a.next();
      } else if (!a.more() || b.key() < a.key()) {
        const auto& [key, value] = b.item();
        f(key, static_cast<const T*>(nullptr), &value);
        b.next();
      } else {
        const auto& [key, was] = a.item();
        const auto& [same, is] = b.item();
        if (!(was == is)) f(key, &was, &is);
        a.next();
        b.next();
      }
    }
  }

 private:
  static constexpr std::size_t kMost = 32; // items of a chunk

  struct Cursor {
    explicit Cursor(const SharedMap& m) : map(m) {}
    const SharedMap& map; // NOLINT(*-avoid-const-or-ref-data-members): lives for one call
    std::size_t chunk = 0, at = 0;
    [[nodiscard]] bool more() const { return chunk < map.chunks_.size(); }
    [[nodiscard]] const Items* pointer() const { return map.chunks_[chunk].get(); }
    [[nodiscard]] Items::const_key key() const { return pointer()->key(at); }
    [[nodiscard]] Items::reference item() const { return (*pointer())[at]; }
    void next() {
      if (++at < map.chunks_[chunk]->size()) return;
      ++chunk;
      at = 0;
    }
  };

  // How many of `count` things come before the first of which that is not true.
  template <class F>
  static std::size_t count_before(std::size_t count, const F& is_before) {
    std::size_t first = 0;
    while (first < count) {
      const std::size_t middle = first + (count - first) / 2;
      if (is_before(middle)) {
        first = middle + 1;
      } else {
        count = middle;
      }
    }
    return first;
  }
  // The first chunk whose last key is not before `key`.
  [[nodiscard]] std::size_t chunk_of(const Key& key) const {
    return count_before(chunks_.size(), [&](std::size_t i) {
      return chunks_[i]->key(chunks_[i]->size() - 1) < key;
    });
  }
  static std::size_t position(const Items& chunk, const Key& key) {
    return count_before(chunk.size(), [&](std::size_t i) { return chunk.key(i) < key; });
  }

  // `more`: with room for so many items more.
  Items& own(std::size_t index, std::size_t more = 0) {
    auto& chunk = chunks_[index];
    if (chunk.use_count() > 1) chunk = std::make_shared<Items>(*chunk, more);
    return *chunk;
  }

  struct Inserted {
    std::size_t chunk, at;
    bool fresh;
  };
  template <class... Arguments>
  Inserted insert(const Key& key, Arguments&&... arguments) {
    auto index = chunk_of(key);
    std::size_t at = 0;
    if (index < chunks_.size()) {
      at = position(*chunks_[index], key);
      if (chunks_[index]->key(at) == key) return {index, at, false};
    } else if (chunks_.empty() || chunks_.back()->size() >= kMost) {
      chunks_.push_back(std::make_shared<Items>()); // full ones, where keys come in order
    } else {
      at = chunks_[--index]->size();
    }
    if (chunks_[index]->size() >= kMost) {
      auto right = std::make_shared<Items>(own(index).split(kMost / 2));
      chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(index) + 1, std::move(right));
      if (at > kMost / 2) {
        ++index;
        at -= kMost / 2;
      }
    }
    own(index, 1).insert(at, key, std::forward<Arguments>(arguments)...);
    ++size_;
    return {index, at, true};
  }

  // Two neighbours that have become small are made one: chunks stay few under any changes.
  void join(std::size_t index) {
    if (index + 1 >= chunks_.size()) return;
    if (chunks_[index]->size() + chunks_[index + 1]->size() > kMost / 2) return;
    own(index).append(own(index + 1));
    chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(index) + 1);
  }

  std::vector<std::shared_ptr<Items>> chunks_; // none is empty
  std::size_t size_ = 0;
};

} // namespace egw
