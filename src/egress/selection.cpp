// SPDX-License-Identifier: Apache-2.0
#include "egress/selection.hpp"

#include <algorithm>

#include "egress/lookup.hpp"

namespace egw::egress {

namespace {

bool made_for(const SliceRecord& slice, const api::EgressPolicy& policy) {
  return std::ranges::find(slice.meta.owners, policy.meta.uid, &api::OwnerReference::uid) !=
         slice.meta.owners.end();
}

bool right_meta(const SliceRecord& slice, const api::EgressPolicy& policy) {
  api::ObjectMeta wanted = slice.meta;
  set_slice_meta(policy, wanted);
  return wanted == slice.meta;
}

} // namespace

Selection::Selection(const World& world) : world_(world) {
  for (const auto& [key, policy] : world.policies) (void)add(policy);
  world.pods.for_each([&](PodId pod) { pod_changed(pod); });
  for (const auto& [name, slice] : world.slices) {
    if (const auto owner = owner_of(slice.meta)) slice_changed(*owner, name);
  }
}

Selection::Policy& Selection::add(const api::EgressPolicy& policy) {
  auto& made = policies_[policy.key()] = std::make_unique<Policy>();
  made->compiled = compile(policy);
  index_.add(made.get(), made->compiled);
  return *made;
}

PolicySlices* Selection::slices_of(const api::PolicyKey& key) {
  const auto* policy = lookup(policies_, key);
  return policy == nullptr ? nullptr : &(*policy)->slices;
}

const std::set<api::NamespacedName>& Selection::foreign(const api::PolicyKey& key) const {
  static const std::set<api::NamespacedName> kNone;
  const auto* slices = lookup(foreign_, key);
  return slices == nullptr ? kNone : *slices;
}

Selection::Policies Selection::selecting(PodId id) const {
  Policies found;
  const PodRecord* pod = world_.pods.get(id);
  if (pod == nullptr) return found;
  const PodView view = pod->view();
  const api::Labels* ns = world_.namespace_labels(view.namespace_);
  index_.for_each_candidate(view, [&](Policy* policy) {
    if (selects(policy->compiled, view, ns)) found.push_back(policy);
  });
  std::ranges::sort(
      found, [](const Policy* a, const Policy* b) { return before(a->compiled, b->compiled); });
  const auto [first, last] = std::ranges::unique(found); // by two labels of one hash
  found.erase(first, last);
  return found;
}

// Pairs of policies that meet on a pod.
void Selection::count(const Policies& policies, bool add) {
  const std::size_t n = std::min(policies.size(), kMeeting);
  for (std::size_t later = 1; later < n; ++later) {
    Policy& policy = *policies[later];
    for (std::size_t i = 0; i < later; ++i) {
      std::uint32_t& pods = policy.ahead[policies[i]];
      if (add ? pods++ == 0 : pods == 1) met_.insert(policy.compiled.key);
      if (!add && --pods == 0) policy.ahead.erase(policies[i]);
    }
  }
}

Selection::Policies Selection::OfPod::get() const {
  Policies all;
  if (first_ != nullptr) all.push_back(first_);
  if (further_) all.insert(all.end(), further_->begin(), further_->end());
  return all;
}

void Selection::OfPod::set(const Policies& policies) {
  first_ = policies.empty() ? nullptr : policies.front();
  further_.reset();
  if (policies.size() > 1) further_ = Policies(policies.begin() + 1, policies.end());
}

void Selection::assign(PodId pod, const Policies& now, bool another_endpoint) {
  if (by_pod_.size() <= pod) by_pod_.resize(pod + 1);
  const Policies was = by_pod_[pod].get();
  if (was != now) {
    count(was, false);
    for (Policy* policy : was) {
      if (std::ranges::find(now, policy) != now.end()) continue;
      policy->slices.drop(pod);
      touched_.insert(policy->compiled.key);
    }
    count(now, true);
  }
  for (Policy* policy : now) {
    if (!another_endpoint && policy->slices.contains(pod)) continue;
    policy->slices.select(pod, world_.pods);
    touched_.insert(policy->compiled.key);
  }
  by_pod_[pod].set(now);
}

void Selection::pod_changed(PodId pod) {
  assign(pod, selecting(pod), true);
}

void Selection::namespace_changed(const std::string& ns) {
  for (const PodId pod : world_.pods.in(ns)) assign(pod, selecting(pod), false);
}

void Selection::forget(const api::PolicyKey& key) {
  const auto at = policies_.find(key);
  if (at == policies_.end()) return;
  Policy& policy = *at->second;
  index_.remove(&policy, policy.compiled);
  for (const PodId pod : policy.slices.pods()) {
    Policies rest = by_pod_[pod].get();
    std::erase(rest, &policy);
    assign(pod, rest, false);
  }
  policies_.erase(at);
}

void Selection::policy_changed(const api::PolicyKey& key) {
  forget(key);
  foreign_.erase(key);
  touched_.insert(key);
  const api::EgressPolicy* policy = lookup(world_.policies, key);
  if (policy != nullptr) {
    const Policy& made = add(*policy);
    const auto consider = [&](PodId pod) {
      const PodView view = world_.pods.get(pod)->view();
      if (!selects(made.compiled, view, world_.namespace_labels(view.namespace_))) return;
      assign(pod, selecting(pod), false);
    };
    if (key.kind == api::PolicyKind::EgressClusterPolicy) {
      world_.pods.for_each(consider);
    } else {
      for (const PodId pod : world_.pods.in(key.namespace_)) consider(pod);
    }
  }
  for (const api::NamespacedName& name : world_.slices_of(key)) slice_changed(key, name);
}

void Selection::slice_changed(const api::PolicyKey& owner, const api::NamespacedName& name) {
  touched_.insert(owner);
  const SliceRecord* slice = lookup(world_.slices, name);
  if (slice != nullptr && owner_of(slice->meta) != owner) slice = nullptr; // another's now
  const api::EgressPolicy* object = lookup(world_.policies, owner);
  auto* policy = lookup(policies_, owner);
  const bool ours = slice != nullptr && object != nullptr && made_for(*slice, *object);
  if (policy != nullptr) {
    if (ours && !slice->meta.deleting) {
      (*policy)->slices.put(*slice, right_meta(*slice, *object), world_.pods);
    } else {
      (*policy)->slices.erase(name.name);
    }
  }
  if (slice != nullptr && !ours) {
    foreign_[owner].insert(name);
  } else if (const auto at = foreign_.find(owner); at != foreign_.end()) {
    at->second.erase(name);
    if (at->second.empty()) foreign_.erase(at);
  }
}

std::vector<const CompiledPolicy*> Selection::ahead_of(const api::PolicyKey& key) const {
  std::vector<const CompiledPolicy*> found;
  const auto* policy = lookup(policies_, key);
  if (policy == nullptr) return found;
  for (const auto& [other, pods] : (*policy)->ahead) {
    if (share_destination(other->compiled, (*policy)->compiled)) found.push_back(&other->compiled);
  }
  std::ranges::sort(found, [](const auto* a, const auto* b) { return before(*a, *b); });
  return found;
}

} // namespace egw::egress
