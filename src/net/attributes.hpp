// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netlink.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.hpp"

// Netlink messages as bytes: a reader that cannot run over its end, and a writer. Source:
// linux/netlink.h; attributes are in host byte order unless a name says otherwise.
namespace egw::net {

using Buffer = std::vector<std::uint8_t>; // a message or a datagram

// The attributes of a message or of a nest, by type. What is malformed or too short reads as
// absent.
class Attributes {
 public:
  Attributes() = default;
  explicit Attributes(std::span<const std::uint8_t> data);

  [[nodiscard]] bool has(std::uint16_t type) const { return type < kMax && at_[type] != nullptr; }
  [[nodiscard]] std::optional<std::uint8_t> u8(std::uint16_t type) const;
  [[nodiscard]] std::optional<std::uint16_t> u16(std::uint16_t type) const;
  [[nodiscard]] std::optional<std::uint32_t> u32(std::uint16_t type) const;
  [[nodiscard]] std::optional<std::uint16_t> be16(
      std::uint16_t type) const; // returned in host order
  [[nodiscard]] std::optional<std::uint32_t> be32(std::uint16_t type) const;
  [[nodiscard]] std::optional<std::uint64_t> be64(std::uint16_t type) const;
  [[nodiscard]] std::optional<std::string> string(std::uint16_t type) const; // up to the first NUL
  [[nodiscard]] std::optional<Address> address(std::uint16_t type) const;    // 4 or 16 bytes
  [[nodiscard]] std::optional<Mac> mac(std::uint16_t type) const;
  [[nodiscard]] std::span<const std::uint8_t> bytes(std::uint16_t type) const; // empty if absent
  [[nodiscard]] Attributes nested(std::uint16_t type) const { return Attributes(bytes(type)); }

 private:
  static constexpr std::uint16_t kMax = 80;
  template <class T>
  [[nodiscard]] std::optional<T> number(std::uint16_t type) const;
  std::array<const nlattr*, kMax> at_{};
};

// A view of one received message: its fixed header and its attributes.
template <class Header>
[[nodiscard]] const Header* header_of(const nlmsghdr& message) {
  return message.nlmsg_len >= NLMSG_LENGTH(sizeof(Header))
             ? static_cast<const Header*>(NLMSG_DATA(&message))
             : nullptr;
}
[[nodiscard]] Attributes attributes_of(const nlmsghdr& message, std::size_t header_size);

// Calls f(const nlmsghdr&) for each whole message in a datagram.
template <class F>
void for_each_message(std::span<const std::uint8_t> datagram, const F& f) {
  while (datagram.size() >= sizeof(nlmsghdr)) {
    const auto* h = reinterpret_cast<const nlmsghdr*>(datagram.data());
    if (h->nlmsg_len < sizeof(nlmsghdr) || h->nlmsg_len > datagram.size()) return;
    f(*h);
    const std::size_t step = NLMSG_ALIGN(h->nlmsg_len);
    if (step >= datagram.size()) return;
    datagram = datagram.subspan(step);
  }
}

// Builds one small request (links, addresses, routes, rules, neighbours, conntrack). Throws
// std::length_error beyond 4 KiB, which no such request reaches.
class Message {
 public:
  Message(std::uint16_t type, std::uint16_t flags);
  Message(const Message&) = delete; // it points into itself
  Message& operator=(const Message&) = delete;
  Message(Message&&) = delete;
  Message& operator=(Message&&) = delete;
  ~Message() = default;

  template <class Header>
  Header& header() {
    return *static_cast<Header*>(extra_header(sizeof(Header)));
  }
  void add_flags(std::uint16_t flags) {
    message_->nlmsg_flags = static_cast<std::uint16_t>(message_->nlmsg_flags | flags);
  }
  void u8(std::uint16_t type, std::uint8_t v) { put_value(type, v); }
  void u16(std::uint16_t type, std::uint16_t v) { put_value(type, v); }
  void u32(std::uint16_t type, std::uint32_t v) { put_value(type, v); }
  void be16(std::uint16_t type, std::uint16_t v);
  void be32(std::uint16_t type, std::uint32_t v);
  void string(std::uint16_t type, std::string_view v); // with its NUL
  void address(std::uint16_t type, const Address& a) { put(type, {a.bytes.data(), a.size()}); }
  void mac(std::uint16_t type, const Mac& m) { put(type, m.bytes); }
  void put(std::uint16_t type, std::span<const std::uint8_t> v);

  template <class F>
  void nest(std::uint16_t type, const F& fill) {
    nlattr* start = nest_start(type);
    fill();
    nest_end(start);
  }

  [[nodiscard]] Buffer bytes() const;

 private:
  template <class T>
  void put_value(std::uint16_t type, T v) {
    put(type, {reinterpret_cast<const std::uint8_t*>(&v), sizeof v});
  }
  void* extra_header(std::size_t size);
  nlattr* nest_start(std::uint16_t type);
  void nest_end(nlattr* start);

  alignas(nlmsghdr) std::array<char, 4096> buffer_{};
  nlmsghdr* message_;
};

} // namespace egw::net
