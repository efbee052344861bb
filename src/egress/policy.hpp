// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "api/core.hpp"
#include "api/egress.hpp"
#include "base/interval_set.hpp"
#include "base/rare.hpp"

// Which policies hold for a pod, and in which order. Controller and agents use the same functions,
// so that they can't disagree.
namespace egw::egress {

// Condition types and reasons that code reads back (others are for people alone).
inline constexpr const char* kEnforced =
    "Enforced"; // on policies: True from the first acceptance on,
                // for as long as the policy exists: agents divert
                // or drop; until then they ignore the policy
inline constexpr const char* kAccepted = "Accepted";
inline constexpr const char* kAllocated = "Allocated";
inline constexpr const char* kReady = "Ready";
inline constexpr const char* kOverlapped = "Overlapped"; // on policies: others decide first for a
                                                         // part of what it selects
inline constexpr const char* kDatapathReady = "DatapathReady";   // on EgressNodes, the agent's
inline constexpr const char* kEipsUnique = "EIPsUnique";         // the same
inline constexpr const char* kPortsAvailable = "PortsAvailable"; // the same

inline constexpr std::int32_t kDefaultPriority = 1000;
inline constexpr std::int32_t kDefaultClusterPriority = 32768;

// A policy with its text parsed. What can't be parsed closes: destinations that are not understood
// mean everything outside the cluster, a pod selector that is not understood selects nothing (the
// controller never accepts such a policy; an accepted one can't get there past the schema).
struct CompiledPolicy {
  api::PolicyKey key;
  std::string uid;
  std::string gateway;
  std::optional<api::LabelSelector> pod_selector;
  Rare<api::LabelSelector> namespace_selector; // few have one
  Rare<std::vector<Prefix>> pod_subnets;
  bool everything_outside = true; // no destSubnet: all that is outside the cluster
  IntervalSet destinations;       // else these; never with excludedSubnet's
  Rare<IntervalSet> excluded;     // carved out of either
  bool enforced = false;
  bool use_node_ip = false;       // the address of whoever holds eip_id
  std::int32_t eip_id = 0;        // 0: none, closed
  std::string eip_ipv4, eip_ipv6; // empty: the policy got none of that family

  // Position among the policies of one pod: the first whose destinations hold the packet decides.
  // Priority, namespaced before cluster-wide, older first, then kind, namespace, name.
  std::int32_t priority = kDefaultPriority;
  WallTime created{};
  bool operator==(const CompiledPolicy&) const = default;
};

[[nodiscard]] CompiledPolicy compile(const api::EgressPolicy& policy);
[[nodiscard]] bool before(const CompiledPolicy& a, const CompiledPolicy& b);

// What selection asks of a pod, however it is kept.
struct PodView {
  const std::string& namespace_; // NOLINT(*-avoid-const-or-ref-data-members): lives for one call
  const api::Labels& labels;     // NOLINT(*-avoid-const-or-ref-data-members)
  std::span<const Address> ips;
  bool host_network = false, ended = false;
};
[[nodiscard]] PodView view(const api::Pod& pod);

// Whether the policy holds for the pod: namespace, selector or subnet. Host-network pods, ended
// pods and pods without an address never. `ns` are the labels of the pod's namespace; nullptr: not
// known yet, and a policy with a namespaceSelector that is not empty does not select.
[[nodiscard]] bool selects(const CompiledPolicy& policy, const PodView& pod, const api::Labels* ns);
// The same for a pod that has no address yet, so that it is known early whether it matters. What
// depends on what is not known yet, the address or the namespace's labels, counts as selected.
[[nodiscard]] bool will_select(const CompiledPolicy& policy, const PodView& pod,
                               const api::Labels* ns);
[[nodiscard]] inline bool selects(const CompiledPolicy& policy, const api::Pod& pod,
                                  const api::Labels* ns) {
  return selects(policy, view(pod), ns);
}
[[nodiscard]] inline bool will_select(const CompiledPolicy& policy, const api::Pod& pod,
                                      const api::Labels* ns) {
  return will_select(policy, view(pod), ns);
}

// Whether there is a destination that both policies name.
[[nodiscard]] bool share_destination(const CompiledPolicy& a, const CompiledPolicy& b);

} // namespace egw::egress
