// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "egress/cluster_info.hpp"
#include "egress/pod_witness.hpp"
#include "egress/service_probe.hpp"
#include "egress/world.hpp"

namespace egw::egress {

// What the detection of the cluster remembers from one look to the next, while a controller leads.
class ClusterDetection {
 public:
  // Of each pod that is new, another, or gone: whether the status has to be looked at because of
  // its addresses.
  bool pod_changed(const World& world, PodId pod);
  void told(ServiceRangesTold answer, Time now) { probe_.answered(std::move(answer), now); }

  // All that is known. Valid until the world or this changes.
  [[nodiscard]] ClusterSources sources(const World& world);
  [[nodiscard]] api::EgressClusterInfoStatus detect(const World& world,
                                                    const api::EgressClusterInfo& info,
                                                    WallTime now);
  // Whether the API server is to be asked now, and when to look again for that reason.
  [[nodiscard]] bool ask(const World& world, const api::EgressClusterInfo& info, Time now);
  [[nodiscard]] std::optional<Time> next_ask() const { return probe_.next(); }

 private:
  void look_at_pools(const World& world);

  ServiceProbe probe_;
  std::map<std::string, PodWitness> disabled_pools_; // by name
  std::set<std::string> used_pools_;                 // of those
  PodWitness outside_{PodWitness::Where::Outside};   // of all that is inside the cluster
};

} // namespace egw::egress
