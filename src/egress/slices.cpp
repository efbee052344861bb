// SPDX-License-Identifier: Apache-2.0
#include "egress/slices.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/digest.hpp"
#include "egress/names.hpp"

namespace egw::egress {

namespace {

// The policy's name may have 253 characters, and so may the slice's.
std::string slice_name(const api::EgressPolicy& policy, std::size_t number) {
  const std::string digest =
      short_digest(fmt::format("{} {} {}", policy.key().to_string(), policy.meta.uid, number));
  return policy.meta.name.substr(0, 253 - 1 - digest.size()) + "-" + digest;
}

std::optional<std::vector<Address>> addresses(const api::Endpoint& endpoint) {
  std::vector<Address> found;
  for (const auto* texts : {&endpoint.ipv4, &endpoint.ipv6}) {
    for (const std::string& text : *texts) {
      const auto address = Address::parse(text);
      if (!address) return std::nullopt;
      found.push_back(*address);
    }
  }
  return found;
}

} // namespace

void set_slice_meta(const api::EgressPolicy& policy, api::ObjectMeta& meta) {
  meta.namespace_ = policy.meta.namespace_;
  meta.labels.set(api::kLabelPolicyName, label_value(policy.meta.name));
  meta.labels.set(api::kLabelPolicyKind, api::to_string(policy.kind));
  meta.labels.set(api::kLabelPolicyUid, policy.meta.uid);
  meta.labels.set(api::kLabelGateway, label_value(policy.spec.gateway));
  meta.owners = {
      {api::kApiVersion, api::to_string(policy.kind), policy.meta.name, policy.meta.uid, true}};
}

SliceRecord to_record(const api::EgressEndpointSlice& slice, Names& names) {
  SliceRecord record{slice.meta, {}, true};
  record.endpoints.reserve(slice.endpoints.size());
  for (const api::Endpoint& e : slice.endpoints) {
    const auto ips = addresses(e);
    record.legible = record.legible && ips && ips->size() <= 2;
    record.endpoints.push_back({names.texts.get(e.namespace_), names.texts.get(e.node),
                                names.pods.get(e.pod),
                                PodIps(ips.value_or(std::vector<Address>{}))});
  }
  return record;
}

void PolicySlices::select(PodId pod, const PodTable& pods) {
  const auto [member, fresh] = members_.try_emplace(pod, nullptr);
  if (fresh) {
    missing_.insert(pod);
    return;
  }
  if (member->second == nullptr) return;
  Slice& slice = *member->second;
  const bool same = slice.record->legible &&
                    std::ranges::find(slice.record->endpoints, pods.get(pod)->endpoint) !=
                        slice.record->endpoints.end();
  bool& right = slice.pods.at(pod);
  slice.wrong += static_cast<std::size_t>(right) - static_cast<std::size_t>(same);
  right = same;
}

void PolicySlices::drop(PodId pod) {
  const auto member = members_.find(pod);
  if (member == members_.end()) return;
  if (Slice* slice = member->second) {
    const auto there = slice->pods.find(pod);
    if (!there->second) --slice->wrong;
    slice->pods.erase(there);
  }
  missing_.erase(pod);
  members_.erase(member);
}

std::vector<PodId> PolicySlices::pods() const {
  std::vector<PodId> all;
  all.reserve(members_.size());
  for (const auto& [pod, slice] : members_) all.push_back(pod);
  return all;
}

void PolicySlices::put(const SliceRecord& record, bool right, const PodTable& pods) {
  erase(record.meta.name);
  Slice& slice = slices_[record.meta.name];
  slice.record = &record;
  slice.right = right && record.legible;
  adopt(slice, pods);
}

// Pods that are in no slice yet, but stand in this one.
void PolicySlices::adopt(Slice& slice, const PodTable& pods) {
  const SliceRecord& record = *slice.record;
  for (const EndpointRecord& endpoint : record.endpoints) {
    const auto id = pods.find(*endpoint.namespace_, *endpoint.pod);
    const auto member = id ? members_.find(*id) : members_.end();
    // One that another slice has already, or more than a slice may have, is too much.
    if (member == members_.end() || member->second != nullptr) continue;
    if (slice.pods.size() >= kMaxEndpoints) break;
    const bool same = record.legible && endpoint == pods.get(*id)->endpoint;
    slice.pods.try_emplace(*id, same);
    if (!same) ++slice.wrong;
    member->second = &slice;
    missing_.erase(*id);
  }
}

void PolicySlices::erase(const std::string& name) {
  const auto at = slices_.find(name);
  if (at == slices_.end()) return;
  for (const auto& [pod, right] : at->second.pods) {
    members_.at(pod) = nullptr;
    missing_.insert(pod);
  }
  slices_.erase(at);
}

// Slices that are written are drafts; the others are looked at, not touched.
class PolicySlices::Planner {
 public:
  Planner(const PolicySlices& own, const api::EgressPolicy& policy, const PodTable& pods,
          std::size_t most)
      : own_(own), policy_(policy), pods_(pods), left_(most) {}

  SliceChanges run() {
    put_right();
    add_missing();
    take_excess();
    merge();
    return changes();
  }

 private:
  struct Draft {
    const SliceRecord* record = nullptr; // nullptr: new
    std::string name;
    std::vector<PodId> pods;
  };

  // Nothing: there are no writes left.
  Draft* take(const Slice& slice) {
    const auto known = drafts_.find(slice.record->meta.name);
    if (known != drafts_.end()) return &known->second;
    if (left_ == 0) {
      changes_.more = true;
      return nullptr;
    }
    --left_;
    Draft& draft = drafts_[slice.record->meta.name];
    draft.record = slice.record;
    draft.name = slice.record->meta.name;
    for (const auto& [pod, right] : slice.pods) draft.pods.push_back(pod);
    return &draft;
  }
  [[nodiscard]] bool taken(const Slice& slice) const {
    return drafts_.contains(slice.record->meta.name);
  }

  void put_right() {
    std::vector<const Slice*> wrong;
    for (const auto& [name, slice] : own_.slices_) {
      if (slice.wrong > 0 || !slice.right) wrong.push_back(&slice);
    }
    std::ranges::stable_sort(wrong, std::greater{}, [](const Slice* s) { return s->wrong; });
    for (const Slice* slice : wrong) (void)take(*slice);
  }

  void add_missing() {
    std::vector<PodId> rest(own_.missing_.begin(), own_.missing_.end());
    std::ranges::sort(rest, {}, [&](PodId id) {
      const EndpointRecord& e = pods_.get(id)->endpoint;
      return std::pair<std::string_view, std::string_view>(*e.namespace_, *e.pod);
    });
    for (auto next = rest.begin(); next != rest.end();) {
      Draft* draft = room(static_cast<std::size_t>(rest.end() - next));
      if (draft == nullptr) return;
      for (; next != rest.end() && draft->pods.size() < kMaxEndpoints; ++next) {
        draft->pods.push_back(*next);
      }
    }
  }

  // A slice that is written anyway, else one that should be, else the fullest that has room, else a
  // new one. Where writes are scarce, those with the most room, so that nobody waits.
  Draft* room(std::size_t wanted) {
    Draft* open = nullptr;
    for (auto& [name, draft] : drafts_) {
      if (draft.pods.size() >= kMaxEndpoints) continue;
      if (open == nullptr || draft.pods.size() > open->pods.size()) open = &draft;
    }
    if (open != nullptr) return open;
    if (left_ == 0) {
      changes_.more = true;
      return nullptr;
    }
    const bool scarce = left_ <= (wanted + kMaxEndpoints - 1) / kMaxEndpoints;
    const Slice* best = nullptr;
    const auto rank = [](const Slice& s) { return std::pair(s.excess() > 0, s.pods.size()); };
    for (const auto& [name, slice] : own_.slices_) {
      const std::size_t free = kMaxEndpoints - std::min(kMaxEndpoints, slice.pods.size());
      if (free == 0 || taken(slice) || (scarce && free < std::min(wanted, kMaxEndpoints))) continue;
      if (best == nullptr || rank(slice) > rank(*best)) best = &slice;
    }
    return best != nullptr ? take(*best) : fresh();
  }

  Draft* fresh() {
    --left_;
    for (std::size_t n = 0;; ++n) {
      std::string name = slice_name(policy_, n);
      if (own_.slices_.contains(name) || drafts_.contains(name)) continue;
      Draft& draft = drafts_[name];
      draft.name = std::move(name);
      return &draft;
    }
  }

  void take_excess() {
    std::vector<const Slice*> excess;
    for (const auto& [name, slice] : own_.slices_) {
      if (slice.excess() > 0 && !taken(slice)) excess.push_back(&slice);
    }
    std::ranges::stable_sort(excess, std::greater{}, [](const Slice* s) { return s->excess(); });
    for (const Slice* slice : excess) (void)take(*slice);
  }

  struct Small {
    const Slice* slice; // nullptr: a new one
    Draft* draft;       // nullptr: not written so far
    [[nodiscard]] std::size_t size() const {
      return draft != nullptr ? draft->pods.size() : slice->pods.size();
    }
    [[nodiscard]] std::size_t cost() const { return draft == nullptr ? 1 : 0; }
  };

  // Two that are at most half full become one.
  void merge() {
    std::vector<Small> small;
    for (const auto& [name, slice] : own_.slices_) {
      if (!taken(slice)) small.push_back({&slice, nullptr});
    }
    for (auto& [name, draft] : drafts_) small.push_back({nullptr, &draft});
    std::erase_if(small, [](const Small& s) { return s.size() == 0 || s.size() > kHalf; });
    std::ranges::stable_sort(small, std::greater{}, &Small::size);
    while (small.size() >= 2) {
      Small from = small.back(), into = small[small.size() - 2];
      if (from.cost() + into.cost() > left_) {
        changes_.more = true;
        return;
      }
      small.pop_back();
      if (into.draft == nullptr) small.back() = into = {nullptr, take(*into.slice)};
      if (from.draft == nullptr) from.draft = take(*from.slice);
      into.draft->pods.insert(into.draft->pods.end(), from.draft->pods.begin(),
                              from.draft->pods.end());
      from.draft->pods.clear();
      if (into.size() > kHalf) small.pop_back();
    }
  }

  SliceChanges changes() {
    for (auto& [name, draft] : drafts_) {
      if (draft.pods.empty()) {
        if (draft.record == nullptr) continue;
        api::EgressEndpointSlice gone;
        gone.meta = draft.record->meta;
        changes_.remove.push_back(std::move(gone));
        continue;
      }
      api::EgressEndpointSlice slice;
      if (draft.record != nullptr) slice.meta = draft.record->meta;
      slice.meta.name = draft.name;
      set_slice_meta(policy_, slice.meta);
      for (const PodId id : draft.pods) {
        slice.endpoints.push_back(to_endpoint(pods_.get(id)->endpoint));
      }
      std::ranges::sort(slice.endpoints);
      (draft.record == nullptr ? changes_.create : changes_.update).push_back(std::move(slice));
    }
    return std::move(changes_);
  }

  static constexpr std::size_t kHalf = kMaxEndpoints / 2;

  const PolicySlices& own_;
  const api::EgressPolicy& policy_;
  const PodTable& pods_;
  std::size_t left_;
  std::map<std::string, Draft> drafts_; // by name
  SliceChanges changes_;
};

SliceChanges PolicySlices::plan(const api::EgressPolicy& policy, const PodTable& pods,
                                std::size_t most) {
  // A pod may come after the slice that has it: its namespace got other labels for a moment, or
  // lists came in that order.
  for (auto& [name, slice] : slices_) {
    if (slice.excess() > 0 && !missing_.empty()) adopt(slice, pods);
  }
  return Planner(*this, policy, pods, most).run();
}

} // namespace egw::egress
