// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "egress/policy.hpp"

namespace egw::egress {

// Policies by where they can select pods and by a label that they ask for, so that a pod is not
// compared with each of thousands. `T` is whatever its owner knows of a policy.
template <class T>
class PolicyIndex {
 public:
  void add(T* item, const CompiledPolicy& policy) { list(policy).push_back(item); }
  void remove(T* item, const CompiledPolicy& policy) {
    std::erase(list(policy), item);
    if (list(policy).empty()) forget(policy);
  }

  // Calls `f` with each whose namespace and first label fit the pod: selects() has the last word.
  template <class F>
  void for_each_candidate(const PodView& pod, const F& f) const {
    const auto own = by_namespace_.find(pod.namespace_);
    if (own != by_namespace_.end()) visit(own->second, pod, f);
    visit(cluster_wide_, pod, f);
  }
  template <class F>
  void for_each_cluster_wide(const F& f) const {
    for (T* item : cluster_wide_.others) f(item);
    for (const auto& [label, items] : cluster_wide_.by_label) {
      for (T* item : items) f(item);
    }
  }

 private:
  using Label = std::pair<std::string, std::string>;
  struct Less { // asked with a pod's labels as they stand
    using is_transparent = void;
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return View(a.first, a.second) < View(b.first, b.second);
    }
    using View = api::Labels::Item;
  };
  struct Place {
    std::map<Label, std::vector<T*>, Less> by_label;
    std::vector<T*> others; // ask for none in particular
  };

  static std::optional<Label> label(const CompiledPolicy& policy) {
    const bool asks =
        !policy.pod_subnets && policy.pod_selector && !policy.pod_selector->match_labels.empty();
    if (!asks) return std::nullopt;
    return Label(policy.pod_selector->match_labels.items().front());
  }
  static bool is_cluster_wide(const CompiledPolicy& policy) {
    return policy.key.kind == api::PolicyKind::EgressClusterPolicy;
  }
  std::vector<T*>& list(const CompiledPolicy& policy) {
    Place& place = is_cluster_wide(policy) ? cluster_wide_ : by_namespace_[policy.key.namespace_];
    const auto first = label(policy);
    return first ? place.by_label[*first] : place.others;
  }
  void forget(const CompiledPolicy& policy) {
    const auto at = by_namespace_.find(policy.key.namespace_);
    Place& place = is_cluster_wide(policy) ? cluster_wide_ : at->second;
    if (const auto first = label(policy)) place.by_label.erase(*first);
    if (!is_cluster_wide(policy) && place.by_label.empty() && place.others.empty()) {
      by_namespace_.erase(at);
    }
  }

  template <class F>
  static void visit(const Place& place, const PodView& pod, const F& f) {
    for (T* item : place.others) f(item);
    for (const auto& label : pod.labels.items()) {
      const auto at = place.by_label.find(label);
      if (at == place.by_label.end()) continue;
      for (T* item : at->second) f(item);
    }
  }

  std::map<std::string, Place> by_namespace_;
  Place cluster_wide_;
};

} // namespace egw::egress
