// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/interval_set.hpp"
#include "egress/node_plan.hpp"

// Who holds which EIP, as the gateways' status says. Nothing else is asked: placement is the one
// truth, and whether a holder is well is not an agent's to judge.
namespace egw::egress {

class Places {
 public:
  // `own_parent`: this node's. `refused`: addresses that no EIP may have, because they are
  // somebody's own.
  Places(const AgentWorld& world, const api::TunnelParent& own_parent, const IntervalSet& refused);

  struct Place {
    std::string gateway;
    std::string node;                  // empty: nobody holds it
    std::optional<Address> ipv4, ipv6; // as far as served
    std::string told_ipv4, told_ipv6;
    bool node_ip = false; // of useNodeIP policies: ipv4 and ipv6 are those of the node's parent
  };
  // The entry that serves a policy; nullptr: none, so its packets are dropped. The policy's status
  // and the gateway's are written side by side: both must name the same addresses.
  [[nodiscard]] const Place* find(const CompiledPolicy& policy) const;
  [[nodiscard]] const std::map<std::int32_t, Place>& all() const { return places_; }
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

  // An EIP that came, went, moved or is another address now.
  struct Change {
    std::int32_t id = 0;
    std::optional<Place> before, after;
  };
  // Takes what became another one in the status of a gateway. Nothing: it is not that simple, and
  // these places are of no use any more: something is warned of, before or after it, or entries of
  // useNodeIP are concerned.
  [[nodiscard]] std::optional<std::vector<Change>> update(const std::string& gateway,
                                                          const api::EgressGatewayStatus& before,
                                                          const api::EgressGatewayStatus& after,
                                                          const IntervalSet& refused);

 private:
  // nullptr: it is warned of, and its id is not served by it.
  Place* add(const std::string& gateway, const std::string& node, const api::EipEntry& entry,
             const IntervalSet& refused);
  std::optional<Address> parse(const std::string& gateway, const std::string& text, Family family,
                               const IntervalSet& refused);

  std::map<std::int32_t, Place> places_;
  std::set<std::int32_t> doubled_;
  std::map<Address, std::int32_t> holders_;
  std::vector<std::string> warnings_;
};

// Indices for the gateway nodes and links in use: one that has an index keeps it, a new one gets
// the lowest that neither the previous plan nor this one uses, so that packets under way never
// change their meaning. A node that finds no free index is missing in the result.
[[nodiscard]] Marks assign_marks(const std::set<std::string>& gateway_nodes, const Marks& previous,
                                 const NodeOptions& options);

} // namespace egw::egress
