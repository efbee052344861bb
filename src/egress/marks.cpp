// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "egress/node_plan.hpp"

namespace egw::egress {

std::optional<std::uint32_t> mark_of(std::uint32_t index, std::uint32_t mask) {
  std::uint32_t mark = 0;
  while (index != 0 && mask != 0) {
    const std::uint32_t lowest = mask & (~mask + 1);
    if ((index & 1) != 0) mark |= lowest;
    mask &= ~lowest;
    index >>= 1;
  }
  if (index != 0) return std::nullopt;
  return mark;
}

Marks recover_marks(const net::State& actual, const std::map<std::string, api::EgressNode>& nodes,
                    const NodeOptions& options) {
  std::map<Address, std::string> by_tunnel;
  for (const auto& [name, node] : nodes) {
    for (const std::string& text : {node.status.tunnel_ipv4, node.status.tunnel_ipv6}) {
      if (const auto address = Address::parse(text)) by_tunnel.emplace(*address, name);
    }
  }
  Marks marks;
  for (const auto& [key, route] : actual.routes) {
    if (key.table <= options.table_base || !route.via) continue;
    const auto node = by_tunnel.find(*route.via);
    if (node != by_tunnel.end()) marks.index.emplace(node->second, key.table - options.table_base);
  }
  return marks;
}

} // namespace egw::egress
