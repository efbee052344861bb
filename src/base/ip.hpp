// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace egw {

enum class Family : std::uint8_t { V4 = 4, V6 = 6 };

// An IPv4 or IPv6 address in network byte order. Ordered by family, then by value. An IPv4-mapped
// IPv6 address is refused by parse(): Kubernetes, the kernel and people would each read it
// differently.
struct Address {
  Family family = Family::V4;
  std::array<std::uint8_t, 16> bytes{}; // IPv4 uses the first four, the others stay zero

  auto operator<=>(const Address&) const = default;

  [[nodiscard]] static Result<Address> parse(std::string_view text);
  [[nodiscard]] static Address v4(std::uint32_t host_order);
  [[nodiscard]] static Address v6(const std::array<std::uint8_t, 16>& bytes) {
    return {Family::V6, bytes};
  }
  [[nodiscard]] static Address zero(Family family) { return {family, {}}; }
  [[nodiscard]] static Address max(Family family);

  [[nodiscard]] std::size_t size() const { return family == Family::V4 ? 4 : 16; } // bytes
  [[nodiscard]] unsigned bits() const { return family == Family::V4 ? 32 : 128; }
  [[nodiscard]] std::uint32_t v4_host_order() const; // IPv4 only, else throws std::logic_error
  [[nodiscard]] std::string to_string() const;       // RFC 5952 for IPv6
  [[nodiscard]] std::optional<Address> next() const; // nothing after the last of the family
  [[nodiscard]] std::optional<Address> prev() const;
  [[nodiscard]] std::optional<Address> plus(std::uint64_t n) const;
  [[nodiscard]] bool is_unspecified() const;
  [[nodiscard]] bool is_loopback() const;   // 127.0.0.0/8, ::1
  [[nodiscard]] bool is_multicast() const;  // 224.0.0.0/4, ff00::/8
  [[nodiscard]] bool is_link_local() const; // 169.254.0.0/16, fe80::/10
};

// A CIDR. parse() accepts a bare address as a host prefix, and clears host bits ("10.1.2.3/8" is
// 10.0.0.0/8, as Kubernetes does); `parse_strict` refuses both.
struct Prefix {
  Address address;
  std::uint8_t length = 0; // bits

  auto operator<=>(const Prefix&) const = default;

  [[nodiscard]] static Result<Prefix> parse(std::string_view text);
  [[nodiscard]] static Result<Prefix> parse_strict(std::string_view text);
  [[nodiscard]] static Prefix host(const Address& a) {
    return {a, static_cast<std::uint8_t>(a.bits())};
  }
  [[nodiscard]] static Prefix all(Family f) { return {Address::zero(f), 0}; }

  [[nodiscard]] Family family() const { return address.family; }
  [[nodiscard]] bool contains(const Address& a) const;
  [[nodiscard]] bool contains(const Prefix& p) const;
  [[nodiscard]] bool overlaps(const Prefix& p) const { return contains(p) || p.contains(*this); }
  [[nodiscard]] Address first() const { return address; }
  [[nodiscard]] Address last() const;
  [[nodiscard]] std::string to_string() const; // always with the length
};

// Inclusive range of one family, first <= last.
struct Range {
  Address first;
  Address last;

  auto operator<=>(const Range&) const = default;

  // "10.0.0.1", "10.0.0.1-10.0.0.9" or "10.0.0.0/24" (all addresses of the CIDR, whose host bits
  // are cleared as by Prefix::parse()).
  [[nodiscard]] static Result<Range> parse(std::string_view text);
  [[nodiscard]] static Range of(const Prefix& p) { return {p.first(), p.last()}; }
  [[nodiscard]] static Range of(const Address& a) { return {a, a}; }

  [[nodiscard]] Family family() const { return first.family; }
  [[nodiscard]] bool contains(const Address& a) const { return first <= a && a <= last; }
  [[nodiscard]] std::uint64_t size() const; // saturates at 2^64-1
  [[nodiscard]] std::string to_string() const;
};

struct Mac {
  std::array<std::uint8_t, 6> bytes{};

  auto operator<=>(const Mac&) const = default;

  [[nodiscard]] static Result<Mac> parse(std::string_view text); // "66:00:00:00:00:07"
  [[nodiscard]] std::string to_string() const;                   // lower case
};

} // namespace egw

template <>
struct std::hash<egw::Address> {
  std::size_t operator()(const egw::Address& a) const noexcept;
};
