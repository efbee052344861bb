// SPDX-License-Identifier: Apache-2.0
#include "base/packed_items.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace egw {

namespace {

constexpr std::size_t kStep = 8; // records that a block grows by

std::ptrdiff_t offset(std::size_t bytes) {
  return static_cast<std::ptrdiff_t>(bytes);
}

} // namespace

PackedRecords::PackedRecords(const PackedRecords& other, std::size_t more)
    : stride_(other.stride_) {
  grow(other.size() + more);
  bytes_.assign(other.bytes_.begin(), other.bytes_.end());
}

void PackedRecords::insert(std::size_t i, std::span<const std::uint8_t> record) {
  widen(record.size());
  grow(size() + 1);
  bytes_.insert(bytes_.begin() + offset(i * stride_), stride_, 0);
  assign(i, record);
}

void PackedRecords::erase(std::size_t i) {
  const auto first = bytes_.begin() + offset(i * stride_);
  bytes_.erase(first, first + offset(stride_));
}

void PackedRecords::assign(std::size_t i, std::span<const std::uint8_t> record) {
  widen(record.size());
  const auto at = bytes_.begin() + offset(i * stride_);
  *at = static_cast<std::uint8_t>(record.size());
  std::ranges::copy(record, at + 1);
}

PackedRecords PackedRecords::split(std::size_t i) {
  PackedRecords right;
  right.stride_ = stride_;
  const auto at = bytes_.begin() + offset(i * stride_);
  right.bytes_.assign(at, bytes_.end());
  bytes_.erase(at, bytes_.end());
  return right;
}

void PackedRecords::append(const PackedRecords& other) {
  grow(size() + other.size());
  for (std::size_t i = 0; i < other.size(); ++i) insert(size(), other[i]);
}

// Makes room in every record.
void PackedRecords::widen(std::size_t length) {
  if (length > kMost) throw std::length_error("a record of more than 127 bytes");
  if (length + 1 <= stride_) return;
  PackedRecords wide;
  wide.stride_ = length + 1;
  wide.bytes_.resize(size() * wide.stride_);
  for (std::size_t i = 0; i < size(); ++i) wide.assign(i, (*this)[i]);
  *this = std::move(wide);
}

// By a few records: a vector that is copied and then grows by itself would take twice as much as it
// holds.
void PackedRecords::grow(std::size_t records) {
  if (bytes_.capacity() >= records * stride_) return;
  bytes_.reserve((records + kStep - 1) / kStep * kStep * stride_);
}

void PackedWriter::byte(std::size_t value) {
  if (value > 0xff || size_ == bytes_.size()) throw std::length_error("does not fit a record");
  bytes_.at(size_++) = static_cast<std::uint8_t>(value);
}

void PackedWriter::bytes(std::span<const std::uint8_t> some) {
  if (some.size() > bytes_.size() - size_) throw std::length_error("does not fit a record");
  std::ranges::copy(some, bytes_.begin() + offset(size_));
  size_ += some.size();
}

void PackedWriter::u32(std::uint32_t value) {
  std::array<std::uint8_t, sizeof value> raw{};
  std::memcpy(raw.data(), &value, sizeof value);
  bytes(raw);
}

std::uint32_t PackedReader::u32() {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes(sizeof value).data(), sizeof value);
  return value;
}

} // namespace egw
