// SPDX-License-Identifier: Apache-2.0
#include "egress/node_places.hpp"

#include <fmt/format.h>

namespace egw::egress {

Places::Places(const AgentWorld& world, const api::TunnelParent& own_parent,
               const IntervalSet& refused) {
  for (const auto& [name, gateway] : world.gateways) {
    for (const auto& node : gateway.status.node_list) {
      for (const auto& entry : node.eips) {
        Place* const place = add(name, node.name, entry, refused);
        const auto holder = world.nodes.find(node.name);
        if (place == nullptr || !place->node_ip || holder == world.nodes.end()) continue;
        // Of this host what it has now, not what the API server was told.
        const auto& parent = node.name == world.node ? own_parent : holder->second.status.parent;
        if (const auto a = Address::parse(parent.ipv4)) place->ipv4 = *a;
        if (const auto a = Address::parse(parent.ipv6)) place->ipv6 = *a;
      }
    }
    for (const auto& entry : gateway.status.unplaced) add(name, "", entry, refused);
  }
  // Two places for one id or address: serving either might be wrong, so neither is.
  for (const std::int32_t id : doubled_) places_.erase(id);
}

Places::Place* Places::add(const std::string& gateway, const std::string& node,
                           const api::EipEntry& entry, const IntervalSet& refused) {
  if (entry.id < 1 || entry.id > api::kMaxEipId) {
    warnings_.push_back(
        fmt::format("EgressGateway {}: status has an EIP with id {}, which is not "
                    "within 1 and {}: ignored",
                    gateway, entry.id, api::kMaxEipId));
    return nullptr;
  }
  Place place{gateway,
              node,
              parse(gateway, entry.ipv4, Family::V4, refused),
              parse(gateway, entry.ipv6, Family::V6, refused),
              entry.ipv4,
              entry.ipv6,
              entry.ipv4.empty() && entry.ipv6.empty()};
  const auto [there, entered] = places_.emplace(entry.id, place);
  if (!entered) {
    doubled_.insert(entry.id);
    warnings_.push_back(
        fmt::format("EIP id {} stands twice, in the status of EgressGateway {} and of "
                    "{}: its traffic is dropped until the controller corrects that",
                    entry.id, there->second.gateway, gateway));
  }
  for (const auto& address : {place.ipv4, place.ipv6}) {
    if (!address || place.node_ip) continue; // several entries may stand on one node
    const auto [other, fresh] = holders_.emplace(*address, entry.id);
    if (fresh || other->second == entry.id) continue;
    doubled_.insert({other->second, entry.id});
    warnings_.push_back(
        fmt::format("EIP {} stands in two entries, ids {} and {}: their traffic is "
                    "dropped until the pools of the gateways no longer overlap",
                    address->to_string(), other->second, entry.id));
  }
  return entered ? &there->second : nullptr;
}

std::optional<Address> Places::parse(const std::string& gateway, const std::string& text,
                                     Family family, const IntervalSet& refused) {
  if (text.empty()) return std::nullopt;
  const auto address = Address::parse(text);
  if (!address || address->family != family) {
    warnings_.push_back(
        fmt::format("EgressGateway {}: status has the EIP '{}', which is no IPv{} "
                    "address: not served",
                    gateway, text, static_cast<int>(family)));
    return std::nullopt;
  }
  if (refused.contains(*address)) {
    warnings_.push_back(
        fmt::format("EgressGateway {}: the EIP {} is an address of a node: not served; "
                    "take it out of spec.ippools",
                    gateway, text));
    return std::nullopt;
  }
  return *address;
}

std::optional<std::vector<Places::Change>> Places::update(const std::string& gateway,
                                                          const api::EgressGatewayStatus& before,
                                                          const api::EgressGatewayStatus& after,
                                                          const IntervalSet& refused) {
  struct Entry {
    const std::string* node;
    const api::EipEntry* eip;
    bool operator==(const Entry& other) const { return *node == *other.node && *eip == *other.eip; }
  };
  static const std::string kNobody;
  bool twice = false;
  const auto entries = [&](const api::EgressGatewayStatus& status) {
    std::map<std::int32_t, Entry> all;
    const auto add = [&](const std::string& node, const std::vector<api::EipEntry>& some) {
      for (const auto& e : some) twice = !all.emplace(e.id, Entry{&node, &e}).second || twice;
    };
    for (const auto& node : status.node_list) add(node.name, node.eips);
    add(kNobody, status.unplaced);
    return all;
  };
  const auto was = entries(before), is = entries(after);
  if (twice || !warnings_.empty()) return std::nullopt;
  std::map<std::int32_t, Change> changes;
  for (const auto& [id, entry] : was) {
    if (const auto now = is.find(id); now != is.end() && now->second == entry) continue;
    const auto place = places_.find(id);
    if (place == places_.end() || place->second.node_ip) return std::nullopt;
    for (const auto& address : {place->second.ipv4, place->second.ipv6}) {
      if (address) holders_.erase(*address);
    }
    changes[id] = {id, std::move(place->second), std::nullopt};
    places_.erase(place);
  }
  for (const auto& [id, entry] : is) {
    if (const auto then = was.find(id); then != was.end() && then->second == entry) continue;
    const Place* place = add(gateway, *entry.node, *entry.eip, refused);
    if (place == nullptr || place->node_ip || !warnings_.empty()) return std::nullopt;
    changes[id].id = id;
    changes[id].after = *place;
  }
  std::vector<Change> found;
  found.reserve(changes.size());
  for (auto& [id, change] : changes) found.push_back(std::move(change));
  return found;
}

const Places::Place* Places::find(const CompiledPolicy& policy) const {
  const auto place = places_.find(policy.eip_id);
  if (place == places_.end() || place->second.gateway != policy.gateway) return nullptr;
  if (place->second.node_ip != policy.use_node_ip) return nullptr;
  const auto same = [](const std::string& wanted, const std::string& told) {
    return wanted.empty() || wanted == told;
  };
  const bool agreed = same(policy.eip_ipv4, place->second.told_ipv4) &&
                      same(policy.eip_ipv6, place->second.told_ipv6);
  return agreed ? &place->second : nullptr;
}

Marks assign_marks(const std::set<std::string>& gateway_nodes, const Marks& previous,
                   const NodeOptions& options) {
  Marks marks;
  std::set<std::uint32_t> taken{kReplyIndex}, now;
  for (const auto& [node, index] : previous.index) {
    taken.insert(index);
    if (gateway_nodes.contains(node)) {
      marks.index.emplace(node, index);
      now.insert(index);
    }
  }
  std::uint32_t next = kReplyIndex + 1;
  const auto advance = [&](const std::set<std::uint32_t>& avoid) {
    while (avoid.contains(next)) ++next;
    return mark_of(next, options.mark_mask).has_value();
  };
  bool scarce = false; // then those that the previous plan has just left serve again
  for (const std::string& node : gateway_nodes) {
    if (marks.index.contains(node)) continue;
    if (!scarce && !advance(taken)) {
      scarce = true;
      next = kReplyIndex + 1;
    }
    if (scarce && !advance(now)) break;
    marks.index.emplace(node, next);
    now.insert(next);
    taken.insert(next);
  }
  return marks;
}

} // namespace egw::egress
