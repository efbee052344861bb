// SPDX-License-Identifier: Apache-2.0
#include "egress/sources.hpp"

#include <algorithm>

#include "egress/statements.hpp"

namespace egw::egress {

net::ElementKey source_key(const Address& pod, const Mac& node) {
  net::Bytes key = nft::bytes_of(pod);
  key.append(node.bytes.begin(), node.bytes.end());
  key.resize(key.size() + 2);
  return {key, {}};
}

Mac mac_in(const net::ElementKey& key) {
  Mac mac;
  const std::size_t address = key.first.size() - mac.bytes.size() - 2;
  std::copy_n(key.first.begin() + address, mac.bytes.size(), mac.bytes.begin());
  return mac;
}

std::optional<net::ElementKey> source_of(const net::Elements& sources, const net::Bytes& address) {
  const auto at = sources.lower_bound({address, {}});
  if (at == sources.end()) return std::nullopt;
  const net::ElementKey key = at->first;
  const bool found = std::equal(address.begin(), address.end(), key.first.begin());
  return found ? std::optional(key) : std::nullopt;
}

const net::Elements& sources_of(const std::map<net::NftFamily, net::Table>& tables, Family family) {
  static const net::Elements kNone;
  const auto table = tables.find(family == Family::V4 ? net::NftFamily::Ip : net::NftFamily::Ip6);
  if (table == tables.end()) return kNone;
  const auto set = table->second.sets.find(kSourcesSet);
  return set == table->second.sets.end() ? kNone : set->second.elements;
}

} // namespace egw::egress
