// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/rare.hpp"
#include "egress/policy_index.hpp"
#include "egress/slices.hpp"
#include "egress/world.hpp"

// Which pods each policy selects, which slices hold them, and which policies meet on a pod: kept up
// to date change by change, so that an event costs by what it touches.
namespace egw::egress {

class Selection {
 public:
  explicit Selection(const World& world); // of all that there is

  // Each after the world has taken the change.
  void policy_changed(const api::PolicyKey& key); // new, another spec or uid, or gone
  void pod_changed(PodId pod);                    // new, changed, or gone
  void namespace_changed(const std::string& ns);  // its labels
  // Of the policy that owns it, or did before.
  void slice_changed(const api::PolicyKey& owner, const api::NamespacedName& name);

  // nullptr: there is no such policy.
  [[nodiscard]] PolicySlices* slices_of(const api::PolicyKey& key);
  // Slices that bear the policy's name, but were made for another object: they go.
  [[nodiscard]] const std::set<api::NamespacedName>& foreign(const api::PolicyKey& key) const;

  // Policies whose pods or slices are others since the last call.
  [[nodiscard]] std::set<api::PolicyKey> take_touched() { return std::exchange(touched_, {}); }

  // Policies that come before this one on a pod of both and name a destination that it names too,
  // in their order; and those for which that may have changed since the last call. Of a pod that
  // many policies select, only the first kMeeting are looked at.
  static constexpr std::size_t kMeeting = 32;
  [[nodiscard]] std::vector<const CompiledPolicy*> ahead_of(const api::PolicyKey& key) const;
  [[nodiscard]] std::set<api::PolicyKey> take_met() { return std::exchange(met_, {}); }

 private:
  struct Policy {
    CompiledPolicy compiled;
    PolicySlices slices;
    std::map<const Policy*, std::uint32_t> ahead; // pods on which it comes before this one
  };
  using Policies = std::vector<Policy*>; // in the order of before()
  // Those of one pod, in few bytes: nearly every pod has one or none.
  class OfPod {
   public:
    [[nodiscard]] Policies get() const;
    void set(const Policies& policies);

   private:
    Policy* first_ = nullptr;
    Rare<Policies> further_;
  };

  Policy& add(const api::EgressPolicy& policy);
  void forget(const api::PolicyKey& key);
  [[nodiscard]] Policies selecting(PodId id) const;
  void assign(PodId pod, const Policies& now, bool another_endpoint);
  void count(const Policies& policies, bool add);

  const World& world_;
  std::map<api::PolicyKey, std::unique_ptr<Policy>> policies_;
  PolicyIndex<Policy> index_;
  std::vector<OfPod> by_pod_;
  std::map<api::PolicyKey, std::set<api::NamespacedName>> foreign_;
  std::set<api::PolicyKey> touched_, met_;
};

} // namespace egw::egress
