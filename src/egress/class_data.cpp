// SPDX-License-Identifier: Apache-2.0
#include "egress/class_data.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <ranges>

#include "egress/class_chain.hpp"
#include "egress/statements.hpp"

namespace egw::egress {

namespace {

using net::Bytes;
using net::DataType;
using net::ElementKey;
using net::KeyType;
using net::NftFamily;
using nft::host32;
using nft::number_of;
using nft::rule;

constexpr const char* kSharedChain = "lengths";

std::string map_name(std::uint8_t length) {
  return kDestinationMaps + std::to_string(length);
}

std::uint32_t way(const PolicyRule& policy, Family family) {
  switch (policy.of(family)) {
    case Fate::Eip:
      return static_cast<std::uint32_t>(policy.eip_id);
    case Fate::Untouched:
      return kWayUntaken;
    case Fate::Drop:
      break;
  }
  return kWayDrop;
}

ElementKey key_of(std::uint32_t id, const Prefix& prefix) {
  Bytes key = host32(id);
  const Bytes address = nft::bytes_of(prefix.address);
  key.append(address.begin(), address.end());
  return {key, {}};
}

bool is_of(const ElementKey& key, const Bytes& id) {
  return std::equal(id.begin(), id.end(), key.first.begin());
}

std::vector<ElementKey> keys_of(const net::Elements& elements, const Bytes& id) {
  std::vector<ElementKey> keys;
  for (auto at = elements.lower_bound({id, {}}); at != elements.end(); ++at) {
    if (!is_of(at->first, id)) break;
    keys.push_back(at->first);
  }
  return keys;
}

} // namespace

std::optional<ClassData> class_data(const PodClass& pod_class, Family family,
                                    const IntervalSet& cluster) {
  ClassData data;
  for (const PolicyRule& policy : pod_class.policies) {
    if (policy.everything_outside) return std::nullopt;
    if (policy.destinations.empty(family)) continue;
    // Addresses inside the cluster are never captured, whatever a policy says.
    if (policy.destinations.first_overlap(cluster)) return std::nullopt;
    const std::size_t earlier = data.ways.size();
    for (const Range& range : policy.destinations.ranges(family)) {
      for (const Prefix& prefix : to_prefixes(range)) {
        // An earlier policy decides; where it has a part of this prefix alone, its own is longer.
        const auto before = data.ways | std::views::take(earlier);
        if (std::ranges::any_of(before, [&](const auto& w) { return w.first.contains(prefix); })) {
          continue;
        }
        data.ways.emplace_back(prefix, way(policy, family));
        data.lengths.insert(prefix.length);
        if (data.ways.size() > kMostPrefixes || data.lengths.size() > kMostLengths) {
          return std::nullopt;
        }
      }
    }
  }
  return data;
}

std::string shared_chain_name(const ClassData& data) {
  std::string name = kSharedChain;
  for (const std::uint8_t length : data.lengths | std::views::reverse) {
    name += fmt::format("_{}", length);
  }
  return name;
}

bool is_shared_chain(const std::string& name) {
  return name.starts_with(kSharedChain);
}

// Maps change while a packet is asked for in one after the other. What is not found any more in
// those of prefixes is not found in the last one either: it comes back from here with no decision.
net::Chain shared_chain(const ClassData& data, Family family) {
  const NftFamily nft = family == Family::V4 ? NftFamily::Ip : NftFamily::Ip6;
  net::Chain chain;
  for (const std::uint8_t length : data.lengths | std::views::reverse) {
    chain.rules.push_back(
        rule({nft::priority_by_daddr(nft, {length, map_name(length)}), nft::back()}));
  }
  chain.rules.push_back(rule({nft::priority_by_priority(kOtherMap)}));
  return chain;
}

void add_data(net::Table& table, std::uint32_t id, const ClassData& data, Family family) {
  const KeyType key = family == Family::V4 ? KeyType::MarkIpv4 : KeyType::MarkIpv6;
  for (const std::uint8_t length : data.lengths) {
    table.sets.try_emplace(map_name(length), net::Set{.key = key, .data = DataType::Mark});
  }
  for (const auto& [prefix, way] : data.ways) {
    table.sets.at(map_name(prefix.length))
        .elements.insert_or_assign(key_of(id, prefix), host32(way));
  }
  table.sets.try_emplace(kOtherMap, net::Set{.key = KeyType::Mark, .data = DataType::Mark});
  table.sets.at(kOtherMap).elements.insert_or_assign({host32(id), {}}, host32(kWayUntaken));
  table.chains.try_emplace(shared_chain_name(data), shared_chain(data, family));
}

void remove_data(net::Table& table, std::uint32_t id) {
  for (const std::string& name : destination_maps(table)) {
    const auto keys = keys_of(std::as_const(table).sets.at(name).elements, host32(id));
    if (keys.empty()) continue; // to change a set costs a copy of it
    auto& elements = table.sets.at(name).elements;
    for (const ElementKey& key : keys) elements.erase(key);
  }
}

std::vector<std::string> destination_maps(const net::Table& table) {
  std::vector<std::string> names;
  for (auto at = table.sets.lower_bound(kDestinationMaps); at != table.sets.end(); ++at) {
    if (!at->first.starts_with(kDestinationMaps)) break;
    names.push_back(at->first);
  }
  return names;
}

std::set<std::uint32_t> ways_of(const net::Table& table, std::uint32_t id) {
  std::set<std::uint32_t> ways;
  const Bytes bytes = host32(id);
  for (const std::string& name : destination_maps(table)) {
    const auto& elements = table.sets.at(name).elements;
    for (const ElementKey& key : keys_of(elements, bytes)) {
      ways.insert(number_of(std::get<Bytes>(net::ElementData(elements.at(key)))));
    }
  }
  return ways;
}

std::set<std::uint32_t> differing(const net::Table& before, const net::Table& after) {
  std::set<std::uint32_t> ids;
  static const net::Elements kNone;
  const auto compare = [&](const net::Elements& one, const net::Elements& other) {
    for_each_difference(one, other, [&](const ElementKey& key, const auto*, const auto*) {
      ids.insert(number_of(Bytes(key.first.begin(), key.first.begin() + sizeof(std::uint32_t))));
    });
  };
  for (const std::string& name : destination_maps(before)) {
    const auto set = after.sets.find(name);
    compare(before.sets.at(name).elements, set == after.sets.end() ? kNone : set->second.elements);
  }
  for (const std::string& name : destination_maps(after)) {
    if (!before.sets.contains(name)) compare(kNone, after.sets.at(name).elements);
  }
  return ids;
}

} // namespace egw::egress
