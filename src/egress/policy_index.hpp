// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "egress/labels_pool.hpp"
#include "egress/policy.hpp"

namespace egw::egress {

// Policies by where they can select pods and by a label that they ask for, so that a pod is not
// compared with each of thousands. `T` is whatever its owner knows of a policy.
template <class T>
class PolicyIndex {
 public:
  void add(T* item, const CompiledPolicy& policy) {
    Place& place = is_cluster_wide(policy) ? cluster_wide_ : by_namespace_[policy.key.namespace_];
    if (const auto first = label(policy)) {
      place.by_label.emplace(*first, item);
    } else {
      place.others.push_back(item);
    }
  }
  void remove(T* item, const CompiledPolicy& policy) {
    const auto at = by_namespace_.find(policy.key.namespace_);
    if (!is_cluster_wide(policy) && at == by_namespace_.end()) return;
    Place& place = is_cluster_wide(policy) ? cluster_wide_ : at->second;
    if (const auto first = label(policy)) {
      const auto [from, to] = place.by_label.equal_range(*first);
      const auto found =
          std::find_if(from, to, [&](const auto& one) { return one.second == item; });
      if (found != to) place.by_label.erase(found);
    } else {
      std::erase(place.others, item);
    }
    if (!is_cluster_wide(policy) && place.by_label.empty() && place.others.empty()) {
      by_namespace_.erase(at);
    }
  }

  // Calls `f` with each whose namespace and first label fit the pod, and perhaps with another:
  // selects() has the last word.
  template <class F>
  void for_each_candidate(const PodView& pod, const F& f) const {
    const auto own = by_namespace_.find(pod.namespace_);
    if (own != by_namespace_.end()) visit(own->second, pod, f);
    visit(cluster_wide_, pod, f);
  }
  template <class F>
  void for_each_cluster_wide(const F& f) const {
    for (T* item : cluster_wide_.others) f(item);
    for (const auto& [label, item] : cluster_wide_.by_label) f(item);
  }

 private:
  struct Place {
    std::unordered_multimap<std::size_t, T*> by_label; // its hash: there may be thousands
    std::vector<T*> others;                            // ask for none in particular
  };

  static std::optional<std::size_t> label(const CompiledPolicy& policy) {
    const bool asks =
        !policy.pod_subnets && policy.pod_selector && !policy.pod_selector->match_labels.empty();
    if (!asks) return std::nullopt;
    return hash_of(policy.pod_selector->match_labels.items().front());
  }
  static bool is_cluster_wide(const CompiledPolicy& policy) {
    return policy.key.kind == api::PolicyKind::EgressClusterPolicy;
  }

  template <class F>
  static void visit(const Place& place, const PodView& pod, const F& f) {
    for (T* item : place.others) f(item);
    if (place.by_label.empty()) return;
    for (const auto& label : pod.labels.items()) {
      const auto [first, last] = place.by_label.equal_range(hash_of(label));
      for (auto at = first; at != last; ++at) f(at->second);
    }
  }

  std::map<std::string, Place> by_namespace_;
  Place cluster_wide_;
};

} // namespace egw::egress
