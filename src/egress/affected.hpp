// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <set>

#include "base/clock.hpp"
#include "base/ip.hpp"
#include "net/diff.hpp"
#include "net/state.hpp"

namespace egw::egress {

// Whose connections a change of the ruleset may decide otherwise: pods that go or change their
// class, own pods that come, and EIPs that go or move. Each look-up costs the whole machine some
// milliseconds, so nothing is named that can't have any. Read from the states alone, so that it
// also tells after a restart, when the former plan is no longer known.
struct Affected {
  std::set<Address> pods;
  std::set<std::int32_t> eip_ids;
  // Of these pods, the own ones that had a class: connections of theirs lose their entries. What
  // remote pods send comes by the tunnel alone, and dies there unless a class takes it.
  std::set<Address> released;
  // Of these pods, remote ones that go, and those that were led to one EIP, say, and are now led to
  // another: until their connections are forgotten, those would go on with the former.
  std::set<Address> rebound;
  // Besides, whatever bears a mark of ours: an earlier run may not have come to look.
  bool all_marked = false;
  [[nodiscard]] bool empty() const { return pods.empty() && eip_ids.empty() && !all_marked; }
  void merge(Affected other) {
    pods.merge(other.pods);
    eip_ids.merge(other.eip_ids);
    released.merge(other.released);
    rebound.merge(other.rebound);
    all_marked = all_marked || other.all_marked;
  }
};
[[nodiscard]] Affected affected(const net::State& before, const net::State& after);

// A FIN or RST of a connection whose entry was deleted is INVALID: no NAT rule sees it, and it
// would leave with the pod's address. So such packets of a released pod are dropped, for as long as
// conntrack would have kept an idle connection (nf_conntrack_tcp_timeout_established, Linux'
// default): a pool may close one after hours, and that FIN is the first packet since.
inline constexpr Duration kReleasedTime = std::chrono::hours(5 * 24);
inline constexpr const char* kReleasedSet = "released";
inline constexpr const char* kPodsSet = "pods";
inline constexpr const char* kRemotePodsSet = "remote_pods";

// Whether the map of own pods is made anew, for other room. From then on a packet that is on its
// way finds nobody in it, as if its pod was not known.
[[nodiscard]] bool remakes_pods(const net::State& before, const net::State& after);

// The state in which a gateway takes nothing from these remote pods: another one only where it
// would take something. In the set of sources, not by rules: what comes by the tunnel is looked up
// there in any case.
[[nodiscard]] std::shared_ptr<const net::State> closed_to(
    const std::set<Address>& pods, const std::shared_ptr<const net::State>& state);

// Remote pods that `before` is closed to, and `after` is not: an earlier run may have ended before
// their connections were forgotten. Only to be asked of what another run left.
[[nodiscard]] std::set<Address> shut_out(const net::State& before, const net::State& after);

// In the transaction that takes the pods out of their classes, so that nothing slips between.
void hold_back(const std::set<Address>& released, net::Batch& batch);

} // namespace egw::egress
