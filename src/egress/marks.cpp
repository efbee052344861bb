// SPDX-License-Identifier: Apache-2.0
#include <set>

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

std::string link_key(const std::string& link) {
  return "dev/" + link;
}
std::optional<std::string> link_of(const std::string& key) {
  if (!key.starts_with("dev/")) return std::nullopt;
  return key.substr(4);
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
  std::set<std::uint32_t> taken;
  for (const auto& [key, route] : actual.routes) {
    if (key.table <= options.table_base + kReplyIndex || !route.via) continue;
    const std::uint32_t index = key.table - options.table_base;
    std::string name;
    if (route.link != options.ownership.device) {
      name = link_key(route.link);
    } else if (const auto node = by_tunnel.find(*route.via); node != by_tunnel.end()) {
      name = node->second;
    }
    if (name.empty() || !mark_of(index, options.mark_mask)) continue;
    // Tables of the two families that disagree, or two tables of one node: the first one stands.
    if (marks.index.contains(name) || !taken.insert(index).second) continue;
    marks.index.emplace(name, index);
  }
  return marks;
}

} // namespace egw::egress
