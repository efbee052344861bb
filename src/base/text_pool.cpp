// SPDX-License-Identifier: Apache-2.0
#include "base/text_pool.hpp"

#include <functional>
#include <limits>
#include <new>
#include <stdexcept>

namespace egw {

struct TextPool::Text { // its characters follow it
  TextPool* pool;
  Text* next;
  std::uint32_t hash, size, holders;

  [[nodiscard]] char* characters() { return reinterpret_cast<char*>(this + 1); }
  [[nodiscard]] std::string_view view() { return {characters(), size}; }
};

TextPool::Handle::Handle(Text* text) : text_(text) {
  if (text_ != nullptr) ++text_->holders;
}

std::string_view TextPool::Handle::operator*() const {
  return text_ == nullptr ? std::string_view() : text_->view();
}

void TextPool::release(Text* text) {
  if (text != nullptr && --text->holders == 0) text->pool->forget(text);
}

TextPool::Handle TextPool::get(std::string_view text) {
  if (text.empty()) return {};
  if (text.size() > std::numeric_limits<std::uint32_t>::max()) {
    throw std::length_error("a text of more than 4 GiB");
  }
  const auto hash = static_cast<std::uint32_t>(std::hash<std::string_view>{}(text));
  if (!buckets_.empty()) {
    for (Text* known = bucket(hash); known != nullptr; known = known->next) {
      if (known->hash == hash && known->view() == text) return Handle(known);
    }
  }
  if (size_ >= buckets_.size()) grow();
  Text*& first = bucket(hash);
  auto* made = new (::operator new(sizeof(Text) + text.size()))
      Text{this, first, hash, static_cast<std::uint32_t>(text.size()), 0};
  text.copy(made->characters(), text.size());
  first = made;
  ++size_;
  return Handle(made);
}

void TextPool::forget(Text* text) {
  Text** link = &bucket(text->hash);
  while (*link != text) link = &(*link)->next;
  *link = text->next;
  --size_;
  ::operator delete(text);
}

void TextPool::grow() {
  constexpr std::size_t kFirst = 16;
  std::vector<Text*> before(buckets_.empty() ? kFirst : 2 * buckets_.size());
  before.swap(buckets_);
  for (Text* text : before) {
    while (text != nullptr) {
      Text* const next = text->next;
      Text*& first = bucket(text->hash);
      text->next = std::exchange(first, text);
      text = next;
    }
  }
}

} // namespace egw
