// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>

#include "base/ip.hpp"
#include "net/state.hpp"

namespace egw::egress {

// Whose connections a change of the ruleset may decide otherwise: pods that come, go or change
// their class, and EIPs that come, go or move. Read from the states alone, so that it also tells
// after a restart, when the former plan is no longer known.
struct Affected {
  std::set<Address> pods;
  std::set<std::int32_t> eip_ids;
  [[nodiscard]] bool empty() const { return pods.empty() && eip_ids.empty(); }
  void merge(Affected other) {
    pods.merge(other.pods);
    eip_ids.merge(other.eip_ids);
  }
};
[[nodiscard]] Affected affected(const net::State& before, const net::State& after);

} // namespace egw::egress
