// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <vector>

#include "base/interval_set.hpp"
#include "egress/node_plan.hpp"

// Where the addresses of this node's pods lie, as far as EgressClusterInfo tells.
namespace egw::egress {

// Of the pods of this node that there are, without the host's own and those of pods that ended.
[[nodiscard]] std::set<Address> pod_addresses(const AgentWorld& world);

// CIDRs that bear this node's name, and of pools. Where nodes are merged, those that hold a pod of
// it: there may be thousands.
[[nodiscard]] std::vector<Prefix> pod_prefixes(const AgentWorld& world, Family family);

// Where a pod may be that no pod is known to be: the same in both families; where none of the
// merged ones holds a pod of it, all of them; and without any word of pods, what people named as
// inside the cluster (extraCidr), less the nodes.
[[nodiscard]] IntervalSet ranges_of_pods(const AgentWorld& world);

} // namespace egw::egress
