// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/interval_set.hpp"
#include "base/shared_map.hpp"
#include "egress/node_plan.hpp"
#include "net/state.hpp"

// The nftables part of a node's plan. Few fixed rules; facts stand in sets, maps and small chains:
//
//   pod address -> @pods -> class id -> @classes -> c_CLASS, or data (class_data.hpp) -> eip_ID ->
//   mark of its gateway, or SNAT here
//
// The names of sets and chains, and why each hook has its priority: docs/design.md.
namespace egw::egress {

// What becomes of the packets that a policy takes.
enum class Fate : std::uint8_t {
  Drop,
  Eip,       // by way of eip_id
  Untouched, // leave as if no policy had taken them, and none after it does
};

struct PolicyRule { // one policy of a class
  bool everything_outside = true;
  IntervalSet destinations; // when not everything; both families
  IntervalSet excluded;     // when everything
  std::int32_t eip_id = 0;  // 0: none
  Fate v4 = Fate::Drop, v6 = Fate::Drop;
  [[nodiscard]] Fate of(Family family) const { return family == Family::V4 ? v4 : v6; }
};

struct PodClass {   // an ordered list of policies that some pods share
  std::string name; // chain
  std::vector<PolicyRule> policies;
};

struct EipPlace {
  enum class Where : std::uint8_t { Nowhere, Here, Tunnel } where = Where::Nowhere;
  std::uint32_t gateway = 0; // Tunnel: index of the gateway's mark
  std::optional<Address> ipv4, ipv6;
  bool node_ip = false; // Here: they are the node's own, which others use as well
  std::string link4{};  // Here: the interface that answers ARP for ipv4; empty: none
  // Here: index of the mark by which each family leaves; 0: by the main table.
  std::uint32_t via4 = 0, via6 = 0;
  [[nodiscard]] std::uint32_t via(Family family) const {
    return family == Family::V4 ? via4 : via6;
  }
};

struct RulesetInput {
  Family underlay = Family::V4;
  IntervalSet cluster;        // addresses inside
  bool ipvs = false;          // see net::Host
  std::uint32_t mtu = 0;      // of all the way of what goes by the tunnel, bytes; 0: by the route
  std::vector<Address> peers; // underlay addresses of the other nodes
  std::map<std::int32_t, EipPlace> eips; // by id: all that the classes refer to, and all held here
  // Thousands: what the plan before has as well is shared with it.
  SharedMap<std::uint32_t, std::shared_ptr<const PodClass>> classes; // by class id
  // In order of addresses, with their class ids; of a whole ruleset alone.
  std::vector<std::pair<Address, std::uint32_t>> pods;
  // Pods of this node in no class; and where those are whose address the API has not told yet:
  // empty while they may send.
  std::vector<Address> unselected;
  IntervalSet unknown;
  // Remote pods that may come by the tunnel -> MAC of their node, where it has one yet; in order of
  // addresses.
  std::vector<std::pair<Address, std::optional<Mac>>> sources;
  std::vector<Address> all_eips; // of every node: no packet from elsewhere may bear one
};

[[nodiscard]] std::map<net::NftFamily, net::Table> ruleset(const RulesetInput& input,
                                                           const NodeOptions& options);

// Sets keep the room that they had, where it does. Without it, a set whose count goes up and down
// around a step would be made anew each time.
void keep_sizes(const net::Table& before, net::Table& after);

// What came, went or became another one in an input that is otherwise as before.
struct RulesetChanges {
  // A class stands in the table of a family while a pod with an address of it is in the class.
  std::map<Family, std::set<std::uint32_t>> classes;
  std::map<Address, std::optional<std::uint32_t>> pods; // of this node -> class id, or in none now
  std::map<Address, std::optional<std::uint32_t>> remote_pods; // the same
  std::map<Address, std::optional<Mac>>
      sources;                 // of remote pods; nothing: it may not come any more
  std::set<std::int32_t> eips; // that are not held here; their gateways are in use before and after
  std::map<Address, bool> all_eips;   // whether it is now an EIP of any node
  std::map<Address, bool> known;      // whether it is now a pod's of this node in no class
  std::optional<IntervalSet> unknown; // where it is another one
};
// How many classes use a set or map of destinations or a chain that they share, which goes with the
// last of them.
using SetUsers = std::map<net::NftFamily, std::map<std::string, std::size_t>>;
[[nodiscard]] SetUsers set_users(const std::map<net::NftFamily, net::Table>& tables);
// Makes the ruleset of the input before into that of `after`, equal to ruleset(after, options), but
// for sizes (keep_sizes).
void update_ruleset(std::map<net::NftFamily, net::Table>& tables, SetUsers& users,
                    const RulesetInput& after, const RulesetChanges& changes,
                    const NodeOptions& options);

// The ct mark of connections that use an EIP, seen from its holder and from a pod's node.
[[nodiscard]] std::uint32_t ct_mark_here(std::int32_t eip_id, const NodeOptions& options);
[[nodiscard]] std::uint32_t ct_mark_tunnelled(std::int32_t eip_id, const NodeOptions& options);

} // namespace egw::egress
