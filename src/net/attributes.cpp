// SPDX-License-Identifier: Apache-2.0
#include "net/attributes.hpp"

#include <arpa/inet.h>
#include <endian.h>
#include <libmnl/libmnl.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace egw::net {

Attributes::Attributes(std::span<const std::uint8_t> data) {
  while (data.size() >= sizeof(nlattr)) {
    const auto* attr = reinterpret_cast<const nlattr*>(data.data());
    if (attr->nla_len < sizeof(nlattr) || attr->nla_len > data.size()) return;
    const std::uint16_t type = mnl_attr_get_type(attr);
    if (type < kMax) at_[type] = attr;
    const std::size_t step = MNL_ALIGN(attr->nla_len);
    if (step >= data.size()) return;
    data = data.subspan(step);
  }
}

std::span<const std::uint8_t> Attributes::bytes(std::uint16_t type) const {
  if (!has(type)) return {};
  return {static_cast<const std::uint8_t*>(mnl_attr_get_payload(at_[type])),
          mnl_attr_get_payload_len(at_[type])};
}

template <class T>
std::optional<T> Attributes::number(std::uint16_t type) const {
  const auto data = bytes(type);
  if (data.size() < sizeof(T)) return {};
  T v;
  std::memcpy(&v, data.data(), sizeof v);
  return v;
}

std::optional<std::uint8_t> Attributes::u8(std::uint16_t type) const {
  return number<std::uint8_t>(type);
}
std::optional<std::uint16_t> Attributes::u16(std::uint16_t type) const {
  return number<std::uint16_t>(type);
}
std::optional<std::uint32_t> Attributes::u32(std::uint16_t type) const {
  return number<std::uint32_t>(type);
}
std::optional<std::uint16_t> Attributes::be16(std::uint16_t type) const {
  const auto v = u16(type);
  return v ? std::optional(ntohs(*v)) : std::nullopt;
}
std::optional<std::uint32_t> Attributes::be32(std::uint16_t type) const {
  const auto v = u32(type);
  return v ? std::optional(ntohl(*v)) : std::nullopt;
}
std::optional<std::uint64_t> Attributes::be64(std::uint16_t type) const {
  const auto v = number<std::uint64_t>(type);
  return v ? std::optional<std::uint64_t>(be64toh(*v)) : std::nullopt;
}

std::optional<std::string> Attributes::string(std::uint16_t type) const {
  if (!has(type)) return {};
  const auto data = bytes(type);
  return std::string(data.begin(), std::find(data.begin(), data.end(), 0));
}

std::optional<Address> Attributes::address(std::uint16_t type) const {
  const auto data = bytes(type);
  if (data.size() != 4 && data.size() != 16) return {};
  Address a = Address::zero(data.size() == 4 ? Family::V4 : Family::V6);
  std::copy(data.begin(), data.end(), a.bytes.begin());
  return a;
}

std::optional<Mac> Attributes::mac(std::uint16_t type) const {
  const auto data = bytes(type);
  if (data.size() != 6) return {};
  Mac m;
  std::copy(data.begin(), data.end(), m.bytes.begin());
  return m;
}

Attributes attributes_of(const nlmsghdr& message, std::size_t header_size) {
  const std::size_t skip = NLMSG_LENGTH(NLMSG_ALIGN(header_size));
  if (message.nlmsg_len <= skip) return {};
  return Attributes(
      {reinterpret_cast<const std::uint8_t*>(&message) + skip, message.nlmsg_len - skip});
}

Message::Message(std::uint16_t type, std::uint16_t flags)
    : message_(mnl_nlmsg_put_header(buffer_.data())) {
  message_->nlmsg_type = type;
  message_->nlmsg_flags = flags;
}

void Message::be16(std::uint16_t type, std::uint16_t v) {
  u16(type, htons(v));
}
void Message::be32(std::uint16_t type, std::uint32_t v) {
  u32(type, htonl(v));
}

void Message::put(std::uint16_t type, std::span<const std::uint8_t> v) {
  if (!mnl_attr_put_check(message_, buffer_.size(), type, v.size(), v.data()))
    throw std::length_error("a netlink request is larger than 4 KiB");
}

void Message::string(std::uint16_t type, std::string_view v) {
  const std::string terminated(v);
  put(type, {reinterpret_cast<const std::uint8_t*>(terminated.c_str()), terminated.size() + 1});
}

void* Message::extra_header(std::size_t size) {
  return mnl_nlmsg_put_extra_header(message_, size);
}

nlattr* Message::nest_start(std::uint16_t type) {
  nlattr* start = mnl_attr_nest_start_check(message_, buffer_.size(), type);
  if (!start) throw std::length_error("a netlink request is larger than 4 KiB");
  return start;
}

void Message::nest_end(nlattr* start) {
  mnl_attr_nest_end(message_, start);
}

Buffer Message::bytes() const {
  const auto* begin = reinterpret_cast<const std::uint8_t*>(buffer_.data());
  return {begin, begin + message_->nlmsg_len};
}

} // namespace egw::net
