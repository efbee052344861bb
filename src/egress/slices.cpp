// SPDX-License-Identifier: Apache-2.0
#include "egress/slices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/digest.hpp"
#include "egress/names.hpp"

namespace egw::egress {

namespace {

struct Draft {
  const api::EgressEndpointSlice* before = nullptr; // nullptr: new
  api::EgressEndpointSlice slice;
  bool changed = false;
  [[nodiscard]] std::size_t size() const { return slice.endpoints.size(); }
};

api::NamespacedName pod_of(const api::Endpoint& e) {
  return {e.namespace_, e.pod};
}

// The policy's name may have 253 characters, and so may the slice's.
std::string slice_name(const api::EgressPolicy& policy, std::size_t number) {
  const std::string digest =
      short_digest(fmt::format("{} {} {}", policy.key().to_string(), policy.meta.uid, number));
  return policy.meta.name.substr(0, 253 - 1 - digest.size()) + "-" + digest;
}

void set_meta(const api::EgressPolicy& policy, api::ObjectMeta& meta) {
  meta.namespace_ = policy.meta.namespace_;
  meta.labels.set(api::kLabelPolicyName, label_value(policy.meta.name));
  meta.labels.set(api::kLabelPolicyKind, api::to_string(policy.kind));
  meta.labels.set(api::kLabelPolicyUid, policy.meta.uid);
  meta.labels.set(api::kLabelGateway, label_value(policy.spec.gateway));
  meta.owners = {
      {api::kApiVersion, api::to_string(policy.kind), policy.meta.name, policy.meta.uid, true}};
}

class Packer {
 public:
  Packer(const api::EgressPolicy& policy,
         const std::vector<const api::EgressEndpointSlice*>& current, const Endpoints& wanted)
      : policy_(policy) {
    for (const auto* slice : current) keep(*slice, wanted);
    for (const auto& [pod, endpoint] : wanted) {
      if (!placed_.contains(pod)) room().slice.endpoints.push_back(endpoint);
    }
    merge();
  }

  SliceChanges changes() {
    SliceChanges out;
    for (Draft& draft : drafts_) {
      if (draft.slice.endpoints.empty()) {
        if (draft.before != nullptr) out.remove.push_back(*draft.before);
        continue;
      }
      if (!draft.changed) continue;
      std::sort(draft.slice.endpoints.begin(), draft.slice.endpoints.end());
      (draft.before == nullptr ? out.create : out.update).push_back(std::move(draft.slice));
    }
    return out;
  }

 private:
  void keep(const api::EgressEndpointSlice& slice, const Endpoints& wanted) {
    Draft draft{&slice, slice, false};
    set_meta(policy_, draft.slice.meta);
    draft.slice.endpoints.clear();
    for (const api::Endpoint& endpoint : slice.endpoints) {
      const auto at = wanted.find(pod_of(endpoint));
      if (at == wanted.end() || draft.size() >= kMaxEndpoints ||
          !placed_.insert(at->first).second) {
        continue;
      }
      draft.slice.endpoints.push_back(at->second);
    }
    draft.changed = draft.slice != slice;
    names_.insert(slice.meta.name);
    drafts_.push_back(std::move(draft));
  }

  // A slice that is written anyway, else the fullest that has room, else a new one.
  Draft& room() {
    Draft* best = nullptr;
    for (Draft& draft : drafts_) {
      if (draft.size() == 0 || draft.size() >= kMaxEndpoints) continue;
      const auto rank = [](const Draft& d) { return std::pair(d.changed, d.size()); };
      if (best == nullptr || rank(draft) > rank(*best)) best = &draft;
    }
    if (best == nullptr) {
      Draft fresh;
      set_meta(policy_, fresh.slice.meta);
      for (std::size_t n = 0; fresh.slice.meta.name.empty(); ++n) {
        const std::string name = slice_name(policy_, n);
        if (names_.insert(name).second) fresh.slice.meta.name = name;
      }
      best = &drafts_.emplace_back(std::move(fresh));
    }
    best->changed = true;
    return *best;
  }

  // Two that are at most half full become one.
  void merge() {
    std::vector<Draft*> small;
    for (Draft& draft : drafts_) {
      if (draft.size() > 0 && draft.size() <= kMaxEndpoints / 2) small.push_back(&draft);
    }
    std::stable_sort(small.begin(), small.end(),
                     [](const Draft* a, const Draft* b) { return a->size() > b->size(); });
    while (small.size() >= 2) {
      Draft& from = *small.back();
      small.pop_back();
      Draft& into = *small.back();
      into.slice.endpoints.insert(into.slice.endpoints.end(), from.slice.endpoints.begin(),
                                  from.slice.endpoints.end());
      into.changed = true;
      from.slice.endpoints.clear();
      if (into.size() > kMaxEndpoints / 2) small.pop_back();
    }
  }

  const api::EgressPolicy& policy_;
  std::vector<Draft> drafts_;
  std::set<api::NamespacedName> placed_;
  std::set<std::string> names_;
};

} // namespace

api::Endpoint endpoint_of(const api::Pod& pod) {
  api::Endpoint endpoint{pod.meta.namespace_, pod.meta.name, pod.node_name, {}, {}};
  for (const Address& ip : pod.ips) {
    (ip.family == Family::V4 ? endpoint.ipv4 : endpoint.ipv6).push_back(ip.to_string());
  }
  return endpoint;
}

SliceChanges plan_slices(const api::EgressPolicy& policy,
                         const std::vector<const api::EgressEndpointSlice*>& current,
                         const Endpoints& wanted) {
  return Packer(policy, current, wanted).changes();
}

} // namespace egw::egress
