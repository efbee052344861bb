// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "api/validate.hpp"
#include "egress/gateway_plan.hpp"

namespace egw::egress {

bool older(const api::ObjectMeta& a, const api::ObjectMeta& b) {
  return std::tie(a.created, a.name) < std::tie(b.created, b.name);
}

const api::EgressGateway* cluster_default(
    const std::map<std::string, api::EgressGateway>& gateways) {
  const api::EgressGateway* found = nullptr;
  for (const auto& [name, gateway] : gateways) {
    if (!gateway.spec.cluster_default || gateway.meta.deleting) continue;
    if (found == nullptr || older(gateway.meta, found->meta)) found = &gateway;
  }
  return found;
}

std::optional<Refusal> refuse_pools(const api::Pools& pools, const PoolRules& rules) {
  for (const Family f : {Family::V4, Family::V6}) {
    if (pools.addresses.empty(f) || rules.families.has(f)) continue;
    const int digit = static_cast<int>(f);
    return Refusal{"FamilyOff",
                   fmt::format("spec.ippools.ipv{0}: IPv{0} is switched off by the controller's "
                               "--ip-families: empty the pool, or switch it on",
                               digit)};
  }
  if (const auto both = pools.addresses.first_overlap(rules.cluster)) {
    return Refusal{"PoolInsideCluster",
                   fmt::format("spec.ippools: {} belongs to a node, to pods or to services of this "
                               "cluster: take it out of the pool",
                               both->to_string())};
  }
  IntervalSet tunnel;
  tunnel.add(rules.tunnel.v4);
  tunnel.add(rules.tunnel.v6);
  if (const auto both = pools.addresses.first_overlap(tunnel)) {
    return Refusal{
        "PoolInTunnel",
        fmt::format("spec.ippools: {} is in a tunnel subnet of the nodes: take it out of "
                    "the pool, or give the controller another --tunnel-ipv{}-subnet",
                    both->to_string(), static_cast<int>(both->family()))};
  }
  return std::nullopt;
}

std::map<std::string, Refusal> refuse_gateways(
    const std::map<std::string, api::EgressGateway>& gateways, const PoolRules& rules) {
  std::vector<const api::EgressGateway*> order;
  order.reserve(gateways.size());
  for (const auto& [name, gateway] : gateways) order.push_back(&gateway);
  std::sort(order.begin(), order.end(),
            [](const auto* a, const auto* b) { return older(a->meta, b->meta); });

  std::map<std::string, Refusal> refused;
  IntervalSet claimed; // by older gateways
  for (const api::EgressGateway* gateway : order) {
    const std::string& name = gateway->meta.name;
    if (const auto wrong = api::validate(*gateway); !wrong.empty()) {
      refused.emplace(name, Refusal{"Invalid", wrong.front().message});
      continue;
    }
    const auto pools = api::parse_pools(gateway->spec);
    if (!pools) {
      refused.emplace(name, Refusal{"Invalid", pools.error().message});
      continue;
    }
    if (const auto both = pools->addresses.first_overlap(claimed)) {
      refused.emplace(
          name,
          Refusal{"PoolOverlap", fmt::format("spec.ippools: {} is in the pool of an older gateway "
                                             "too: take it out of one of them",
                                             both->to_string())});
    } else if (auto why = refuse_pools(*pools, rules)) {
      refused.emplace(name, *std::move(why));
    }
    for (const Range& r : pools->addresses.ranges()) claimed.add(r);
  }
  return refused;
}

} // namespace egw::egress
