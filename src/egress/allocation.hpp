// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
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

// A gateway's addresses as they stand.
struct PoolState {
  api::Pools pools;
  std::map<Address, const api::EipEntry*> held; // by this gateway
  std::set<Address> taken;                      // of the pool, but held by another gateway
};

struct SharedEip { // one that is there already
  std::int32_t id = 0;
};
struct NewEip {
  std::string ipv4, ipv6; // empty where the gateway has no pool of the family
};
using EipChoice = std::variant<SharedEip, NewEip, Refusal>;

[[nodiscard]] EipChoice choose_eip(const api::PolicySpec& policy, const PoolState& state);

// Whether a policy that was given this EIP before may keep it: what it names itself must match.
[[nodiscard]] bool fits(const api::PolicySpec& policy, const api::EipEntry& entry);

} // namespace egw::egress
