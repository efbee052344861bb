// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace egw {

// Short records of bytes in one block, each with as much room as the longest has.
class PackedRecords {
 public:
  static constexpr std::size_t kMost = 127; // bytes of a record; more throws std::length_error

  PackedRecords() = default;
  PackedRecords(const PackedRecords& other, std::size_t more); // a copy with room for `more`

  [[nodiscard]] std::size_t size() const { return stride_ == 0 ? 0 : bytes_.size() / stride_; }
  [[nodiscard]] std::span<const std::uint8_t> operator[](std::size_t i) const {
    const std::uint8_t* record = &bytes_[i * stride_];
    return {record + 1, *record};
  }
  void insert(std::size_t i, std::span<const std::uint8_t> record);
  void erase(std::size_t i);
  void assign(std::size_t i, std::span<const std::uint8_t> record);
  [[nodiscard]] PackedRecords split(std::size_t i); // the records from the i-th on
  void append(const PackedRecords& other);

 private:
  void widen(std::size_t length);
  void grow(std::size_t records);

  std::vector<std::uint8_t> bytes_; // before each record its length
  std::size_t stride_ = 0;          // bytes from a record to the next; 0: there is none yet
};

// Items of a SharedMap by the ten thousand, whose types have much room that most do not use. They
// are kept as bytes, and made anew whenever they are asked for: Codec::encode(key, value) writes
// them (PackedWriter), Codec::key(bytes) and Codec::value(bytes) read them.
template <class Key, class T, class Codec>
class PackedItems {
 public:
  using reference = std::pair<Key, T>;
  using const_key = Key;
  using const_value = T;
  struct pointer { // of an item that lives as long as the expression
    reference item;
    const reference* operator->() const { return &item; }
  };

  PackedItems() = default;
  PackedItems(const PackedItems& other, std::size_t more) : records_(other.records_, more) {}

  [[nodiscard]] std::size_t size() const { return records_.size(); }
  [[nodiscard]] reference operator[](std::size_t i) const { return {key(i), value(i)}; }
  [[nodiscard]] pointer arrow(std::size_t i) const { return {(*this)[i]}; }
  [[nodiscard]] Key key(std::size_t i) const { return Codec::key(records_[i]); }
  [[nodiscard]] T value(std::size_t i) const { return Codec::value(records_[i]); }
  void assign(std::size_t i, const T& value) {
    records_.assign(i, Codec::encode(key(i), value).written());
  }
  void insert(std::size_t i, const Key& key, const T& value = {}) {
    records_.insert(i, Codec::encode(key, value).written());
  }
  void erase(std::size_t i) { records_.erase(i); }
  [[nodiscard]] PackedItems split(std::size_t i) {
    PackedItems right;
    right.records_ = records_.split(i);
    return right;
  }
  void append(const PackedItems& other) { records_.append(other.records_); }

 private:
  PackedRecords records_;
};

// For codecs: bytes one after the other, at most as many as a record may have.
class PackedWriter {
 public:
  void byte(std::size_t value);
  void bytes(std::span<const std::uint8_t> some);
  void sized(std::span<const std::uint8_t> some) { // after their number
    byte(some.size());
    bytes(some);
  }
  void u32(std::uint32_t value);

  [[nodiscard]] std::span<const std::uint8_t> written() const { return {bytes_.data(), size_}; }

 private:
  std::array<std::uint8_t, PackedRecords::kMost> bytes_{};
  std::size_t size_ = 0;
};
class PackedReader { // of what a PackedWriter wrote
 public:
  explicit PackedReader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  [[nodiscard]] std::span<const std::uint8_t> rest() const { return rest_; }
  [[nodiscard]] std::span<const std::uint8_t> bytes(std::size_t count) {
    const auto some = rest_.first(count);
    rest_ = rest_.subspan(count);
    return some;
  }
  [[nodiscard]] std::uint8_t byte() { return bytes(1)[0]; }
  [[nodiscard]] std::span<const std::uint8_t> sized() { return bytes(byte()); }
  [[nodiscard]] std::uint32_t u32();

 private:
  std::span<const std::uint8_t> rest_;
};

} // namespace egw
