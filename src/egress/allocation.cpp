// SPDX-License-Identifier: Apache-2.0
#include "egress/allocation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace egw::egress {

namespace {

struct Wish {
  std::optional<Address> v4, v6;
  [[nodiscard]] const std::optional<Address>& of(Family f) const {
    return f == Family::V4 ? v4 : v6;
  }
  [[nodiscard]] std::optional<Address>& of(Family f) { return f == Family::V4 ? v4 : v6; }
};

constexpr Family kFamilies[] = {Family::V4, Family::V6};

const char* digit(Family f) {
  return f == Family::V4 ? "4" : "6";
}

Family other(Family f) {
  return f == Family::V4 ? Family::V6 : Family::V4;
}

const std::optional<Address>& default_of(const api::Pools& pools, Family f) {
  return f == Family::V4 ? pools.default_v4 : pools.default_v6;
}

bool same(const std::string& text, const Address& address) {
  const auto parsed = Address::parse(text);
  return parsed && *parsed == address;
}

const std::string& text_of(const api::EipEntry& entry, Family f) {
  return f == Family::V4 ? entry.ipv4 : entry.ipv6;
}

bool without_address(const api::EipEntry& entry) {
  return entry.ipv4.empty() && entry.ipv6.empty();
}

NewEip fresh(const Wish& wish) {
  return {wish.v4 ? wish.v4->to_string() : "", wish.v6 ? wish.v6->to_string() : ""};
}

bool is_free(const PoolState& state, const Address& a) {
  return !state.held.contains(a) && !state.taken.contains(a);
}

// The default EIPs are left for those who ask for none in particular.
std::optional<Address> lowest_free(const PoolState& state, Family f) {
  auto at = state.pools.addresses.at_or_after(Address::zero(f));
  while (at && at->family == f) {
    if (is_free(state, *at) && at != default_of(state.pools, f)) return at;
    const auto next = at->next();
    at = next ? state.pools.addresses.at_or_after(*next) : std::nullopt;
  }
  return std::nullopt;
}

// The other half of a pair, where the policy named only one.
std::optional<Address> partner(const PoolState& state, const Wish& wish, Family missing) {
  const Family given = other(missing);
  const auto& own_default = default_of(state.pools, missing);
  if (wish.of(given) == default_of(state.pools, given) && own_default &&
      is_free(state, *own_default)) {
    return own_default;
  }
  return lowest_free(state, missing);
}

std::variant<Wish, Refusal> wish_of(const api::PolicySpec& policy, const api::Pools& pools) {
  Wish wish;
  for (const Family f : kFamilies) {
    const std::string& text = f == Family::V4 ? policy.eip_ipv4 : policy.eip_ipv6;
    if (text.empty()) continue;
    const auto address = Address::parse(text);
    if (!address || address->family != f || !pools.addresses.contains(*address)) {
      return Refusal{
          "NotInPool",
          fmt::format("spec.egressIP.ipv{} {} is not in spec.ippools.ipv{} of gateway {}: "
                      "add it to the pool, or name another one in a new policy",
                      digit(f), text, digit(f), policy.gateway)};
    }
    wish.of(f) = *address;
  }
  return wish;
}

std::optional<Refusal> mismatch(const api::EipEntry& entry, const Wish& wish,
                                const std::string& gateway) {
  for (const Family f : kFamilies) {
    if (!wish.of(f) || same(text_of(entry, f), *wish.of(f))) continue;
    return Refusal{
        "PairMismatch",
        fmt::format("{} is not paired with {} but is the EIP {}{}{} of gateway {}: name "
                    "that pair, or one address of it, in spec.egressIP of a new policy",
                    wish.of(other(f))->to_string(), wish.of(f)->to_string(), entry.ipv4,
                    entry.ipv4.empty() || entry.ipv6.empty() ? "" : " with ", entry.ipv6, gateway)};
  }
  return std::nullopt;
}

// False for one whose address has left the pool: who uses it keeps it, nobody else gets it.
bool in_pool(const PoolState& state, const api::EipEntry& entry) {
  return std::ranges::all_of(kFamilies, [&](Family f) {
    const auto address = Address::parse(text_of(entry, f));
    return !address || state.pools.addresses.contains(*address);
  });
}

// The entry that fewest use; by id where several do. Those with an address, or those without.
std::optional<std::int32_t> least_used(const PoolState& state, bool of_nodes) {
  std::optional<std::int32_t> found;
  for (const auto& [id, eip] : state.eips) {
    if (without_address(eip.entry) != of_nodes || !in_pool(state, eip.entry)) continue;
    if (!found || eip.users < state.eips.at(*found).users) found = id;
  }
  return found;
}

bool unused(const PoolState& state, std::optional<std::int32_t> id) {
  return id && state.eips.at(*id).users == 0;
}

// An address that nobody uses, of each family that the gateway has; else the least used EIP. The
// default EIP, which others ask for by naming none, comes last.
EipChoice choose_in_turn(const api::PolicySpec& policy, const PoolState& state) {
  const auto least = least_used(state, false);
  if (unused(state, least)) return SharedEip{*least};
  Wish wish;
  std::string exhausted;
  for (const Family f : kFamilies) {
    if (state.pools.addresses.empty(f)) continue;
    wish.of(f) = lowest_free(state, f);
    const auto& last = default_of(state.pools, f);
    if (!wish.of(f) && last && is_free(state, *last)) wish.of(f) = last;
    if (!wish.of(f)) exhausted = fmt::format("IPv{}", digit(f));
  }
  if (exhausted.empty()) return fresh(wish);
  if (least) return SharedEip{*least};
  return Refusal{"PoolExhausted",
                 fmt::format("gateway {} has no free {} address: add addresses to spec.ippools",
                             policy.gateway, exhausted)};
}

// Policies with useNodeIP spread over as many entries as there are nodes to give their address.
EipChoice choose_node_entry(const PoolState& state) {
  const auto least = least_used(state, true);
  if (unused(state, least)) return SharedEip{*least};
  const auto count = static_cast<std::size_t>(std::ranges::count_if(
      state.eips, [](const auto& eip) { return without_address(eip.second.entry); }));
  if (least && count >= state.nodes) return SharedEip{*least};
  return NewEip{};
}

} // namespace

void PoolState::hold(const api::EipEntry& entry, std::size_t users) {
  eips[entry.id] = {entry, users};
  for (const Family f : kFamilies) {
    const auto address = Address::parse(text_of(entry, f));
    if (address && address->family == f) held.emplace(*address, entry.id);
  }
}

bool fits(const api::PolicySpec& policy, const api::EipEntry& entry) {
  if (policy.use_node_ip != without_address(entry)) return false;
  const auto matches = [](const std::string& wanted, const std::string& have) {
    if (wanted.empty()) return true;
    const auto address = Address::parse(wanted);
    return address && same(have, *address);
  };
  return matches(policy.eip_ipv4, entry.ipv4) && matches(policy.eip_ipv6, entry.ipv6);
}

std::optional<Address> complete_pair(const api::EipEntry& entry, Family missing,
                                     const PoolState& state) {
  if (without_address(entry) || !text_of(entry, missing).empty()) return std::nullopt;
  if (state.pools.addresses.empty(missing)) return std::nullopt;
  Wish wish;
  const Family given = other(missing);
  if (const auto address = Address::parse(text_of(entry, given))) wish.of(given) = *address;
  return partner(state, wish, missing);
}

EipChoice choose_eip(const api::PolicySpec& policy, const PoolState& state) {
  if (policy.use_node_ip) return choose_node_entry(state);
  if (state.pools.addresses.empty()) {
    return Refusal{"EmptyPool",
                   fmt::format("gateway {} has no addresses: fill spec.ippools", policy.gateway)};
  }
  auto wished = wish_of(policy, state.pools);
  if (auto* refusal = std::get_if<Refusal>(&wished)) return *refusal;
  Wish& wish = std::get<Wish>(wished);
  if (!wish.v4 && !wish.v6) {
    if (policy.allocator == api::AllocatorPolicy::RoundRobin) return choose_in_turn(policy, state);
    wish = {state.pools.default_v4, state.pools.default_v6};
  }

  for (const Family f : kFamilies) {
    if (!wish.of(f)) continue;
    if (const auto at = state.held.find(*wish.of(f)); at != state.held.end()) {
      if (auto refusal = mismatch(state.eips.at(at->second).entry, wish, policy.gateway)) {
        return *refusal;
      }
      return SharedEip{at->second};
    }
    if (state.taken.contains(*wish.of(f))) {
      return Refusal{
          "HeldElsewhere",
          fmt::format("{} is held by another gateway: take it out of one of the two pools",
                      wish.of(f)->to_string())};
    }
  }
  for (const Family f : kFamilies) {
    if (wish.of(f) || state.pools.addresses.empty(f)) continue;
    wish.of(f) = partner(state, wish, f);
    if (!wish.of(f)) {
      return Refusal{
          "PoolExhausted",
          fmt::format("gateway {} has no free IPv{} address to pair with {}: add addresses "
                      "to spec.ippools.ipv{}",
                      policy.gateway, digit(f), wish.of(other(f))->to_string(), digit(f))};
    }
  }
  return fresh(wish);
}

} // namespace egw::egress
