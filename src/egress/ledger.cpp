// SPDX-License-Identifier: Apache-2.0
#include "egress/ledger.hpp"

namespace egw::egress {

void Ledger::remove(const std::string& gateway) {
  const auto at = parts_.find(gateway);
  if (at == parts_.end()) return;
  for (const auto& [node, count] : at->second.nodes) {
    const auto total = nodes_.find(node);
    total->second -= count;
    if (total->second == 0) nodes_.erase(total);
  }
  for (const Address& address : at->second.addresses) {
    const auto holder = holders_.find(address);
    holder->second.erase(gateway);
    if (holder->second.empty()) holders_.erase(holder);
  }
  parts_.erase(at);
}

void Ledger::replace(const std::string& gateway, const api::EgressGatewayStatus& status,
                     const std::vector<const api::EgressGatewayStatus*>& possible) {
  remove(gateway);
  Part part;
  const auto note_entry = [&](const api::EipEntry& entry) {
    part.ids.insert(entry.id);
    for (const std::string* text : {&entry.ipv4, &entry.ipv6}) {
      if (const auto address = Address::parse(*text)) part.addresses.insert(*address);
    }
  };
  const auto note = [&](const api::EgressGatewayStatus& held) {
    for (const auto& node : held.node_list) {
      for (const auto& entry : node.eips) note_entry(entry);
    }
    for (const auto& entry : held.unplaced) note_entry(entry);
    for (const auto& resting : held.resting_ids) part.ids.insert(resting.id);
  };
  note(status);
  for (const auto* other : possible) note(*other);
  for (const auto& node : status.node_list) {
    if (!node.eips.empty()) part.nodes[node.name] += static_cast<std::int64_t>(node.eips.size());
  }

  for (const auto& [node, count] : part.nodes) nodes_[node] += count;
  for (const Address& address : part.addresses) holders_[address].insert(gateway);
  parts_.emplace(gateway, std::move(part));
}

std::int64_t Ledger::eips_elsewhere(const std::string& node, const std::string& gateway) const {
  const auto total = nodes_.find(node);
  if (total == nodes_.end()) return 0;
  const auto part = parts_.find(gateway);
  if (part == parts_.end()) return total->second;
  const auto own = part->second.nodes.find(node);
  return total->second - (own == part->second.nodes.end() ? 0 : own->second);
}

const std::set<std::int32_t>& Ledger::ids(const std::string& gateway) const {
  static const std::set<std::int32_t> kNone;
  const auto part = parts_.find(gateway);
  return part == parts_.end() ? kNone : part->second.ids;
}

} // namespace egw::egress
