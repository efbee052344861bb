// SPDX-License-Identifier: Apache-2.0
#include "egress/claims.hpp"

#include <algorithm>

namespace egw::egress {

void Claims::heard(const Address& address, const Mac& mac, const std::string& link, Time now) {
  const auto [at, fresh] = claims_.try_emplace(address);
  Claim& claim = at->second;
  claim.mac = mac;
  claim.link = link;
  claim.last = now;
  if (fresh) {
    claim.first = now;
    claim.ask = now + timing_.ask_first;
  } else if (!claim.believed && now - claim.first >= timing_.believe) {
    claim.believed = true;
    claim.ask = now + timing_.ask_again;
  }
}

void Claims::forget(const Address& address) {
  claims_.erase(address);
}

std::map<std::string, std::vector<Address>> Claims::due(Time now) {
  std::erase_if(claims_, [&](const auto& item) { return item.second.end(timing_) <= now; });
  std::map<std::string, std::vector<Address>> ask;
  for (auto& [address, claim] : claims_) {
    if (claim.ask > now) continue;
    ask[claim.link].push_back(address);
    claim.ask = now + (claim.believed ? timing_.ask_again : timing_.ask_first);
  }
  return ask;
}

std::optional<Time> Claims::deadline() const {
  std::optional<Time> first;
  for (const auto& [address, claim] : claims_) {
    const Time next = std::min(claim.ask, claim.end(timing_));
    first = first ? std::min(*first, next) : next;
  }
  return first;
}

std::vector<Claims::Conflict> Claims::conflicts() const {
  std::vector<Conflict> all;
  for (const auto& [address, claim] : claims_) {
    if (claim.believed) all.push_back({address, claim.mac, claim.link});
  }
  return all;
}

std::vector<Address> Claims::addresses() const {
  std::vector<Address> all;
  all.reserve(claims_.size());
  for (const auto& [address, claim] : claims_) all.push_back(address);
  return all;
}

} // namespace egw::egress
