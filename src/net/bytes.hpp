// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <stdexcept>

namespace egw::net {

// A value of nftables, as on the wire; host order for marks, ids, indices (as nft). Kept in place:
// a node holds tens of thousands, and each would cost a block of the heap.
class Bytes {
 public:
  using value_type = std::uint8_t;
  // The longest that egw uses is an IPv6 address with a MAC. More throws std::length_error.
  static constexpr std::size_t kCapacity = 24;

  Bytes() = default;
  explicit Bytes(std::size_t size, std::uint8_t value = 0) { resize(size, value); }
  Bytes(std::initializer_list<std::uint8_t> bytes) : Bytes(bytes.begin(), bytes.end()) {}
  template <std::input_iterator Iterator>
  Bytes(Iterator first, Iterator last) {
    append(first, last);
  }

  void resize(std::size_t size, std::uint8_t value = 0) {
    if (size > kCapacity) throw std::length_error("an nftables value of more than 24 bytes");
    // What is not used stays zero.
    if (size < size_) std::fill(begin() + size, end(), std::uint8_t{0});
    if (size > size_) std::fill(end(), begin() + size, value);
    size_ = static_cast<std::uint8_t>(size);
  }
  template <std::input_iterator Iterator>
  void append(Iterator first, Iterator last) {
    const std::size_t old = size_;
    resize(old + static_cast<std::size_t>(std::distance(first, last)));
    std::transform(first, last, begin() + old, [](auto b) { return static_cast<std::uint8_t>(b); });
  }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::uint8_t* data() { return bytes_.data(); }
  [[nodiscard]] const std::uint8_t* data() const { return bytes_.data(); }
  [[nodiscard]] std::uint8_t* begin() { return data(); }
  [[nodiscard]] std::uint8_t* end() { return data() + size_; }
  [[nodiscard]] const std::uint8_t* begin() const { return data(); }
  [[nodiscard]] const std::uint8_t* end() const { return data() + size_; }
  [[nodiscard]] std::uint8_t& operator[](std::size_t i) { return bytes_.at(i); }
  [[nodiscard]] std::uint8_t operator[](std::size_t i) const { return bytes_.at(i); }

  bool operator==(const Bytes&) const = default;
  // As of words in a dictionary.
  std::strong_ordering operator<=>(const Bytes& other) const {
    return std::lexicographical_compare_three_way(begin(), end(), other.begin(), other.end());
  }

 private:
  std::uint8_t size_ = 0;
  std::array<std::uint8_t, kCapacity> bytes_{};
};

} // namespace egw::net
