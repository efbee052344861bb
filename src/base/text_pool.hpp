// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace egw {

// Distinct texts by the hundred thousand: one copy of each for as long as somebody holds it, in one
// block of the heap with its length and the count of its holders. Equal texts are the same object.
// Not thread-safe: a pool and what came from it belong to one thread.
class TextPool {
  struct Text;

 public:
  // Eight bytes. A default one is empty.
  class Handle {
   public:
    Handle() = default;
    Handle(const Handle& other) : Handle(other.text_) {}
    Handle(Handle&& other) noexcept : text_(std::exchange(other.text_, nullptr)) {}
    Handle& operator=(const Handle& other) {
      Handle copy(other);
      std::swap(text_, copy.text_);
      return *this;
    }
    Handle& operator=(Handle&& other) noexcept {
      std::swap(text_, other.text_);
      return *this;
    }
    ~Handle() { release(text_); }

    [[nodiscard]] std::string_view operator*() const;
    // Of one pool: as cheap as comparing two pointers.
    friend bool operator==(const Handle&, const Handle&) = default;

   private:
    friend class TextPool;
    explicit Handle(Text* text);
    Text* text_ = nullptr;
  };

  TextPool() = default;
  ~TextPool() = default; // after the last handle
  TextPool(const TextPool&) = delete;
  TextPool& operator=(const TextPool&) = delete;

  [[nodiscard]] Handle get(std::string_view text);
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  static void release(Text* text);
  void forget(Text* text);
  void grow();
  [[nodiscard]] Text*& bucket(std::size_t hash) { return buckets_[hash & (buckets_.size() - 1)]; }

  std::vector<Text*> buckets_; // a power of two; texts are chained
  std::size_t size_ = 0;
};

} // namespace egw
