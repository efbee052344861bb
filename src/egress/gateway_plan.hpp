// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/core.hpp"
#include "api/egress.hpp"
#include "base/interval_set.hpp"
#include "egress/allocation.hpp"
#include "egress/tunnel.hpp"

// What a gateway's status should be: pure, the same input gives the same plan. What stands is kept;
// a change moves only what it must.
namespace egw::egress {

inline constexpr std::size_t kMaxEips = 1000;       // of one gateway: the object must fit into etcd
inline constexpr std::size_t kMaxPolicyNames = 100; // in one gateway's status

inline constexpr const char* kClusterDefault = "ClusterDefault"; // condition type on gateways
inline constexpr const char* kWaitingForId = "WaitingForId";     // reason of a Refusal

struct GatewayNode { // one that the selector matches
  std::string name;
  api::NodePhase phase = api::NodePhase::Pending;
  bool cordoned = false;           // keeps its EIPs, gets no new ones
  std::int64_t eips_elsewhere = 0; // of other gateways
  [[nodiscard]] bool ready() const { return phase == api::NodePhase::Ready; }
};

struct Allocation { // what a policy gets
  std::int32_t id = 0;
  std::string ipv4, ipv6;
  Refusal refusal; // when id is 0
  bool operator==(const Allocation&) const = default;
};

struct GatewayInput {
  const api::EgressGateway* gateway = nullptr;
  std::vector<GatewayNode> nodes;                 // by name
  std::vector<const api::EgressPolicy*> policies; // accepted, refer to this gateway
  // By the plan before: statuses of policies may lag behind. nullptr: there was none.
  const std::map<api::PolicyKey, Allocation>* given = nullptr;
  std::vector<std::int32_t> blocks;   // first ids of the gateway's blocks
  std::set<std::int32_t> foreign_ids; // of its entries, but in another gateway's block
  std::set<Address> taken;            // addresses of its pool that another gateway holds
  std::set<Address> lost;             // addresses of its entries that an older gateway holds too
  std::optional<Refusal> refusal;     // nothing new is allocated
  std::string other_default;          // the older gateway that is the cluster's default
  bool keep_unused = false;           // a policy can't be read: its EIP must not be released
  bool ids_exhausted = false;         // of the whole cluster
  std::int64_t term = 0;
  WallTime now{};        // for people, in conditions
  WallTime rest_clock{}; // by which ids rest
};

struct Move {
  std::string eip, from, to; // from or to is empty: was, or is, unplaced
  bool operator==(const Move&) const = default;
};
struct GatewayPlan {
  api::EgressGatewayStatus status;
  std::map<api::PolicyKey, Allocation> allocations;
  std::vector<Move> moves;
  std::int32_t wants_blocks = 0; // of ids
  bool cosmetic = false;         // differs from what stands in what only people read
};
[[nodiscard]] GatewayPlan plan_gateway(const GatewayInput& input);

struct IpFamilies { // in which EIPs are given out
  bool v4 = true, v6 = true;
  [[nodiscard]] bool has(Family f) const { return f == Family::V4 ? v4 : v6; }
  bool operator==(const IpFamilies&) const = default;
};
// What no EIP may be.
struct PoolRules {
  IntervalSet cluster; // addresses of nodes, pods and services
  TunnelSubnets tunnel;
  IpFamilies families;
};
[[nodiscard]] std::optional<Refusal> refuse_pools(const api::Pools& pools, const PoolRules& rules);

// Why nothing can be allocated from a gateway: it is wrong in itself, or it touches the pool of an
// older gateway or what no EIP may be. By gateway; what is not in it is right.
[[nodiscard]] std::map<std::string, Refusal> refuse_gateways(
    const std::map<std::string, api::EgressGateway>& gateways, const PoolRules& rules);

// The cluster's default gateway: the oldest that says so. nullptr: none.
[[nodiscard]] const api::EgressGateway* cluster_default(
    const std::map<std::string, api::EgressGateway>& gateways);

// Older first: who came first keeps what two claim.
[[nodiscard]] bool older(const api::ObjectMeta& a, const api::ObjectMeta& b);

} // namespace egw::egress
