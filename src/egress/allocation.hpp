// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>

#include "api/egress.hpp"
#include "api/validate.hpp"
#include "base/ip.hpp"

// Which EIP a policy gets. An EIP of a gateway with pools of both families is a pair for as long as
// it is allocated.
namespace egw::egress {

// Why something can't be had; becomes a condition.
struct Refusal {
  std::string reason;  // CamelCase
  std::string message; // what, which value, and the remedy
  bool operator==(const Refusal&) const = default;
};

// A gateway's EIPs and addresses as they stand. One without an address is of useNodeIP policies.
struct HeldEip {
  api::EipEntry entry;
  std::size_t users = 0;
};
struct PoolState {
  api::Pools pools;
  std::map<std::int32_t, HeldEip> eips; // by id
  std::map<Address, std::int32_t> held; // by this gateway: ids in eips
  std::set<Address> taken;              // of the pool, but held by another gateway
  std::size_t nodes = 1;                // that can take EIPs; as many differ in their own address

  void hold(const api::EipEntry& entry, std::size_t users = 0);
};

struct SharedEip { // one that is there already
  std::int32_t id = 0;
};
struct NewEip {
  std::string ipv4, ipv6; // empty where the gateway has no pool of the family
};
using EipChoice = std::variant<SharedEip, NewEip, Refusal>;

// By what the policy names; else, by its allocatorPolicy, the gateway's default EIP or one that
// nobody uses, and when all are in use the least used; for useNodeIP likewise an entry without an
// address. Ties fall to the lowest address or id, so the same input always gives the same answer.
[[nodiscard]] EipChoice choose_eip(const api::PolicySpec& policy, const PoolState& state);

// Whether a policy that was given this EIP before may keep it: what it names itself must match.
[[nodiscard]] bool fits(const api::PolicySpec& policy, const api::EipEntry& entry);

// The address of the family that an EIP of the other one alone gets, once the gateway has a pool of
// both. Nothing: there is no such pool, or no free address in it.
[[nodiscard]] std::optional<Address> complete_pair(const api::EipEntry& entry, Family missing,
                                                   const PoolState& state);

} // namespace egw::egress
