// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

namespace egw {

// An ordered map whose copies share what they have in common: chunks of a few items each, copied
// when one of them is about to change. A copy with one change, and finding out what differs between
// the two, cost a pointer for each chunk and the items of one. Used as std::map, but items are
// changed by operator[] and at() alone, and a change ends the life of iterators and references.
// Maps that share belong to one thread.
template <class Key, class T>
class SharedMap {
 public:
  using key_type = Key;
  using mapped_type = T;
  using value_type = std::pair<Key, T>;

  class const_iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = std::pair<Key, T>;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type*;
    using reference = const value_type&;

    const_iterator() = default;
    const_iterator(const SharedMap* map, std::size_t chunk, std::size_t at)
        : map_(map), chunk_(chunk), at_(at) {}
    reference operator*() const { return (*map_->chunks_[chunk_])[at_]; }
    pointer operator->() const { return &**this; }
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
    const auto at = lower_bound(key);
    return at != end() && at->first == key ? at : end();
  }
  [[nodiscard]] bool contains(const Key& key) const { return find(key) != end(); }
  [[nodiscard]] const T& at(const Key& key) const {
    const auto found = find(key);
    if (found == end()) throw std::out_of_range("no such key in the map");
    return found->second;
  }
  [[nodiscard]] T& at(const Key& key) {
    if (!contains(key)) throw std::out_of_range("no such key in the map");
    return (*this)[key];
  }

  T& operator[](const Key& key) { return *insert(key, T{}).first; }
  // Whether the key was not there yet; what was there stays.
  template <class... Arguments>
  bool try_emplace(const Key& key, Arguments&&... arguments) {
    return insert(key, std::forward<Arguments>(arguments)...).second;
  }
  bool emplace(const Key& key, const T& value) { return try_emplace(key, value); }
  bool emplace(const Key& key, T&& value) { return try_emplace(key, std::move(value)); }
  void insert_or_assign(const Key& key, const T& value) { (*this)[key] = value; }
  void insert_or_assign(const Key& key, T&& value) { (*this)[key] = std::move(value); }

  std::size_t erase(const Key& key) {
    const auto index = chunk_of(key);
    if (index == chunks_.size()) return 0;
    const auto at = position(*chunks_[index], key);
    if (!((*chunks_[index])[at].first == key)) return 0;
    Chunk& chunk = own(index);
    chunk.erase(chunk.begin() + static_cast<std::ptrdiff_t>(at));
    --size_;
    if (chunk.empty()) {
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
      if (!b.more() || (a.more() && a.item().first < b.item().first)) {
        f(a.item().first, &a.item().second, static_cast<const T*>(nullptr));
        a.next();
      } else if (!a.more() || b.item().first < a.item().first) {
        f(b.item().first, static_cast<const T*>(nullptr), &b.item().second);
        b.next();
      } else {
        if (!(a.item().second == b.item().second))
          f(a.item().first, &a.item().second, &b.item().second);
        a.next();
        b.next();
      }
    }
  }

 private:
  using Chunk = std::vector<value_type>;
  static constexpr std::size_t kMost = 32; // items of a chunk
  static constexpr std::size_t kStep = 8;  // it grows by so many

  struct Cursor {
    explicit Cursor(const SharedMap& m) : map(m) {}
    const SharedMap& map; // NOLINT(*-avoid-const-or-ref-data-members): lives for one call
    std::size_t chunk = 0, at = 0;
    [[nodiscard]] bool more() const { return chunk < map.chunks_.size(); }
    [[nodiscard]] const Chunk* pointer() const { return map.chunks_[chunk].get(); }
    [[nodiscard]] const value_type& item() const { return (*map.chunks_[chunk])[at]; }
    void next() {
      if (++at < map.chunks_[chunk]->size()) return;
      ++chunk;
      at = 0;
    }
  };

  // The first chunk whose last key is not before `key`.
  [[nodiscard]] std::size_t chunk_of(const Key& key) const {
    const auto found = std::partition_point(chunks_.begin(), chunks_.end(), [&](const auto& chunk) {
      return chunk->back().first < key;
    });
    return static_cast<std::size_t>(found - chunks_.begin());
  }
  static std::size_t position(const Chunk& chunk, const Key& key) {
    const auto found = std::partition_point(chunk.begin(), chunk.end(),
                                            [&](const auto& item) { return item.first < key; });
    return static_cast<std::size_t>(found - chunk.begin());
  }

  // `more`: with room for one item more. A vector that is copied and then grows by itself would
  // take twice as much as it holds.
  Chunk& own(std::size_t index, std::size_t more = 0) {
    auto& chunk = chunks_[index];
    const std::size_t wanted = chunk->size() + more;
    const std::size_t room = more == 0 ? wanted : (wanted + kStep - 1) / kStep * kStep;
    if (chunk.use_count() > 1) {
      auto copy = std::make_shared<Chunk>();
      copy->reserve(room);
      copy->assign(chunk->begin(), chunk->end());
      chunk = std::move(copy);
    } else if (chunk->capacity() < wanted) {
      chunk->reserve(room);
    }
    return *chunk;
  }

  template <class... Arguments>
  std::pair<T*, bool> insert(const Key& key, Arguments&&... arguments) {
    auto index = chunk_of(key);
    std::size_t at = 0;
    if (index < chunks_.size()) {
      at = position(*chunks_[index], key);
      if ((*chunks_[index])[at].first == key) return {&own(index)[at].second, false};
    } else if (chunks_.empty() || chunks_.back()->size() >= kMost) {
      chunks_.push_back(std::make_shared<Chunk>()); // full ones, where keys come in order
    } else {
      at = chunks_[--index]->size();
    }
    if (chunks_[index]->size() >= kMost) {
      Chunk& left = own(index);
      const auto middle = left.begin() + kMost / 2;
      auto right = std::make_shared<Chunk>(std::make_move_iterator(middle),
                                           std::make_move_iterator(left.end()));
      left.erase(middle, left.end());
      chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(index) + 1, std::move(right));
      if (at > kMost / 2) {
        ++index;
        at -= kMost / 2;
      }
    }
    Chunk& chunk = own(index, 1);
    const auto placed = chunk.emplace(chunk.begin() + static_cast<std::ptrdiff_t>(at),
                                      std::piecewise_construct, std::forward_as_tuple(key),
                                      std::forward_as_tuple(std::forward<Arguments>(arguments)...));
    ++size_;
    return {&placed->second, true};
  }

  // Two neighbours that have become small are made one: chunks stay few under any changes.
  void join(std::size_t index) {
    if (index + 1 >= chunks_.size()) return;
    if (chunks_[index]->size() + chunks_[index + 1]->size() > kMost / 2) return;
    Chunk& left = own(index);
    Chunk& right = own(index + 1);
    left.insert(left.end(), std::make_move_iterator(right.begin()),
                std::make_move_iterator(right.end()));
    chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(index) + 1);
  }

  std::vector<std::shared_ptr<Chunk>> chunks_; // none is empty
  std::size_t size_ = 0;
};

} // namespace egw
