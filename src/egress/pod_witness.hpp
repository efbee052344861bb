// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "api/meta.hpp"
#include "base/interval_set.hpp"
#include "egress/pod_table.hpp"

namespace egw::egress {

// Knows of one pod with an address in a set of addresses, or outside it; that there are more does
// not matter. A pod that comes, changes or goes costs one look at its addresses; only when the one
// that is known goes, or the set changes, are others looked for. Pods of the host's network and
// those that have ended do not count: their addresses are none of the pod network.
class PodWitness {
 public:
  enum class Where : std::uint8_t { Inside, Outside };
  explicit PodWitness(Where where) : where_(where) {}

  struct Found {
    PodId id = 0;
    api::NamespacedName pod;
    Address address;
    bool operator==(const Found&) const = default;
  };
  // Both return whether `found()` is another one now.
  bool look_in(const IntervalSet& set, const PodTable& pods);
  // Of each pod that is new, another, or gone, before its id is used again.
  bool changed(PodId id, const PodTable& pods);
  [[nodiscard]] const std::optional<Found>& found() const { return found_; }

 private:
  [[nodiscard]] std::optional<Found> testifies(PodId id, const PodTable& pods) const;
  void search(const PodTable& pods);

  Where where_;
  IntervalSet set_;
  std::optional<Found> found_;
};

} // namespace egw::egress
