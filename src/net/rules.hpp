// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <vector>

#include "net/expr.hpp"

namespace egw::net {

// The rules of a chain, packed: a node keeps a chain for each class of pods, thousands, and as
// values their expressions would take five times the memory. Used as a std::vector<Rule> is, but
// rules come out as copies, and are added at the end alone.
class Rules {
 public:
  using value_type = Rule;

  class const_iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Rule;
    using difference_type = std::ptrdiff_t;
    using pointer = const Rule*;
    using reference = Rule;

    const_iterator() = default;
    explicit const_iterator(const std::uint8_t* at) : at_(at) {}
    Rule operator*() const;
    const_iterator& operator++();
    const_iterator operator++(int) {
      const_iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const const_iterator&) const = default;

   private:
    const std::uint8_t* at_ = nullptr;
  };

  Rules() = default;
  Rules(const std::vector<Rule>& rules); // NOLINT(*-explicit-*): the same in another form
  Rules(std::initializer_list<Rule> rules) : Rules(std::vector<Rule>(rules)) {}

  void push_back(const Rule& rule);
  void clear() { *this = {}; }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] std::size_t size() const; // walks through them
  [[nodiscard]] const_iterator begin() const { return const_iterator(bytes_.data()); }
  [[nodiscard]] const_iterator end() const { return const_iterator(bytes_.data() + bytes_.size()); }
  [[nodiscard]] std::vector<Rule> unpacked() const { return {begin(), end()}; }

  // With an expression that we do not know they are equal to nothing, themselves included.
  bool operator==(const Rules& other) const {
    return !unknown_ && !other.unknown_ && bytes_ == other.bytes_;
  }

 private:
  std::vector<std::uint8_t> bytes_; // for each rule: its length as four bytes, its expressions
  bool unknown_ = false;
};

} // namespace egw::net
