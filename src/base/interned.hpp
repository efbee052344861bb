// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>

namespace egw {

// One copy of each distinct value for as long as somebody holds it; equal values are the same
// object. Not thread-safe: a pool and what came from it belong to one thread.
template <class T, class Hash = std::hash<T>>
class InternPool {
  struct Count {
    InternPool* pool;
    std::uint32_t holders;
  };
  using Map = std::unordered_map<T, Count, Hash>;
  using Item = Map::value_type;

 public:
  // Eight bytes. A default one holds T{}.
  class Handle {
   public:
    Handle() = default;
    Handle(const Handle& other) : item_(other.item_) {
      if (item_ != nullptr) ++item_->second.holders;
    }
    Handle(Handle&& other) noexcept : item_(std::exchange(other.item_, nullptr)) {}
    Handle& operator=(const Handle& other) {
      Handle copy(other);
      std::swap(item_, copy.item_);
      return *this;
    }
    Handle& operator=(Handle&& other) noexcept {
      std::swap(item_, other.item_);
      return *this;
    }
    ~Handle() {
      if (item_ == nullptr || --item_->second.holders > 0) return;
      item_->second.pool->forget(item_->first);
    }

    [[nodiscard]] const T& operator*() const {
      static const T kDefault{};
      return item_ == nullptr ? kDefault : item_->first;
    }
    [[nodiscard]] const T* operator->() const { return &**this; }
    // Of one pool: as cheap as comparing two pointers.
    friend bool operator==(const Handle& a, const Handle& b) { return a.item_ == b.item_; }

   private:
    friend class InternPool;
    explicit Handle(Item* item) : item_(item) { ++item_->second.holders; }
    Item* item_ = nullptr; // elements of an unordered_map stay where they are
  };

  InternPool() = default;
  ~InternPool() = default;
  InternPool(const InternPool&) = delete;
  InternPool& operator=(const InternPool&) = delete;

  [[nodiscard]] Handle get(const T& value) {
    if (value == T{}) return {};
    return Handle(&*items_.try_emplace(value, Count{this, 0}).first);
  }
  [[nodiscard]] std::size_t size() const { return items_.size(); }

 private:
  void forget(const T& value) { items_.erase(items_.find(value)); }
  Map items_;
};

} // namespace egw
