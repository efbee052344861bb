// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/interval_set.hpp"
#include "egress/ruleset.hpp"
#include "net/state.hpp"

// Classes that few CIDRs decide have no chain of their own. They stand in maps, one for each length
// of prefix, and share a chain with all that have the same lengths:
//
//   class id . destination -> @to_24 -> what is decided -> @ways -> eip_ID
//
// With every policy that comes or goes the kernel walks all classes: of such a one it sees an
// element of @classes and a chain that it has just seen, where a chain of its own would have to be
// fetched from memory. What the other maps get, it does not validate.
namespace egw::egress {

// Whose look-ups and elements are cheaper than a chain: each length costs a packet 60 ns.
inline constexpr std::size_t kMostLengths = 3, kMostPrefixes = 16;

// Numbers of classes, unlike any of what is decided: those are ids of EIPs and these two.
inline constexpr std::uint32_t kClassBit = 1U << 31U, kWayUntaken = 0, kWayDrop = kClassBit - 1;
[[nodiscard]] constexpr std::uint32_t class_id(std::uint32_t number) {
  return number | kClassBit;
}
[[nodiscard]] constexpr bool is_eip(std::uint32_t way) {
  return way != kWayUntaken && way != kWayDrop;
}

inline constexpr const char* kWaysMap = "ways";        // what is decided -> where that is done
inline constexpr const char* kOtherMap = "to_other";   // class id -> what is decided of all else
inline constexpr const char* kDestinationMaps = "to_"; // how the names of all such maps begin

// Destinations and what is decided of them: the longest prefix counts. All else is let go.
struct ClassData {
  std::vector<std::pair<Prefix, std::uint32_t>> ways; // longest first, each prefix once
  std::set<std::uint8_t> lengths;
};
// Nothing where a class needs a chain.
[[nodiscard]] std::optional<ClassData> class_data(const PodClass& pod_class, Family family,
                                                  const IntervalSet& cluster);

// Of all classes with these lengths.
[[nodiscard]] std::string shared_chain_name(const ClassData& data);
[[nodiscard]] bool is_shared_chain(const std::string& name);
[[nodiscard]] net::Chain shared_chain(const ClassData& data, Family family);
// With the maps and the chain, where they are not there yet.
void add_data(net::Table& table, std::uint32_t id, const ClassData& data, Family family);
void remove_data(net::Table& table, std::uint32_t id);

// The names of the maps that a table has of such classes.
[[nodiscard]] std::vector<std::string> destination_maps(const net::Table& table);
// What a table says is decided by a class.
[[nodiscard]] std::set<std::uint32_t> ways_of(const net::Table& table, std::uint32_t id);
// Classes whose data differ.
[[nodiscard]] std::set<std::uint32_t> differing(const net::Table& before, const net::Table& after);

} // namespace egw::egress
