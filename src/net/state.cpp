// SPDX-License-Identifier: Apache-2.0
#include "net/state.hpp"

#include <algorithm>

namespace egw::net {

std::strong_ordering ElementKey::operator<=>(const ElementKey& other) const {
  const auto by_first = first <=> other.first;
  return by_first != 0 ? by_first : last <=> other.last;
}

namespace {

std::span<const std::uint8_t> span_of(const Bytes& bytes) {
  return {bytes.begin(), bytes.size()};
}
Bytes bytes_of(std::span<const std::uint8_t> span) {
  return {span.begin(), span.end()};
}
void write(PackedWriter& to, const Address& a) {
  to.byte(static_cast<std::uint8_t>(a.family));
  to.bytes(std::span(a.bytes).first(a.size()));
}
Address read_address(PackedReader& from) {
  Address a = Address::zero(static_cast<Family>(from.byte()));
  std::ranges::copy(from.bytes(a.size()), a.bytes.begin());
  return a;
}
RouteKey read_key(PackedReader& from) {
  RouteKey key;
  key.table = from.u32();
  key.metric = from.u32();
  key.destination.length = from.byte();
  key.destination.address = read_address(from);
  return key;
}

} // namespace

PackedWriter RouteCodec::encode(const RouteKey& key, const RouteValue& value) {
  PackedWriter to;
  to.u32(key.table);
  to.u32(key.metric);
  to.byte(key.destination.length);
  write(to, key.destination.address);
  to.byte(static_cast<std::uint8_t>(value.type));
  to.byte(value.via ? 1 : 0);
  if (value.via) write(to, *value.via);
  for (const char c : value.link) to.byte(static_cast<std::uint8_t>(c));
  return to;
}
RouteKey RouteCodec::key(std::span<const std::uint8_t> record) {
  PackedReader from(record);
  return read_key(from);
}
RouteValue RouteCodec::value(std::span<const std::uint8_t> record) {
  PackedReader from(record);
  static_cast<void>(read_key(from));
  RouteValue value;
  value.type = static_cast<RouteType>(from.byte());
  if (from.byte() != 0) value.via = read_address(from);
  value.link.assign(from.rest().begin(), from.rest().end());
  return value;
}

// Parts that nothing comes after are left out.
PackedWriter ElementCodec::encode(const ElementKey& key, const ElementData& data) {
  PackedWriter to;
  to.sized(span_of(key.first));
  if (key.last.empty() && std::holds_alternative<std::monostate>(data)) return to;
  to.sized(span_of(key.last));
  if (const auto* bytes = std::get_if<Bytes>(&data)) {
    to.byte(0);
    to.bytes(span_of(*bytes));
  } else if (const auto* verdict = std::get_if<ElementVerdict>(&data)) {
    to.byte(1 + static_cast<std::size_t>(verdict->kind));
    to.bytes(span_of(verdict->chain));
  }
  return to;
}
ElementKey ElementCodec::key(std::span<const std::uint8_t> record) {
  PackedReader from(record);
  ElementKey key{bytes_of(from.sized()), {}};
  if (!from.empty()) key.last = bytes_of(from.sized());
  return key;
}
ElementData ElementCodec::value(std::span<const std::uint8_t> record) {
  PackedReader from(record);
  static_cast<void>(from.sized());
  if (!from.empty()) static_cast<void>(from.sized());
  if (from.empty()) return {};
  const std::uint8_t kind = from.byte();
  if (kind == 0) return bytes_of(from.rest());
  ElementVerdict verdict;
  verdict.kind = static_cast<VerdictKind>(kind - 1);
  verdict.chain = bytes_of(from.rest());
  return verdict;
}

} // namespace egw::net

template class egw::SharedMap<
    egw::net::ElementKey, egw::net::ElementData,
    egw::PackedItems<egw::net::ElementKey, egw::net::ElementData, egw::net::ElementCodec>>;
template class egw::SharedMap<
    egw::net::RouteKey, egw::net::RouteValue,
    egw::PackedItems<egw::net::RouteKey, egw::net::RouteValue, egw::net::RouteCodec>>;
template class egw::SharedMap<std::string, egw::net::Set>;
template class egw::SharedMap<std::string, egw::net::Chain>;
