// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "api/core.hpp"
#include "api/egress.hpp"
#include "base/flat_map.hpp"
#include "egress/pod_table.hpp"

// The endpoint slices of a policy. Stable: a change rewrites as few slices as it can, and costs by
// what changed, not by how many pods the policy has.
namespace egw::egress {

inline constexpr std::size_t kMaxEndpoints = 100; // of one slice

// An endpoint slice in few bytes.
struct SliceRecord {
  api::ObjectMeta meta;
  std::vector<EndpointRecord> endpoints;
  bool legible = true; // false: an endpoint has what is no address, so it is not as it was written
  bool operator==(const SliceRecord&) const = default;
};
[[nodiscard]] SliceRecord to_record(const api::EgressEndpointSlice& slice, Names& names);

struct SliceChanges {
  std::vector<api::EgressEndpointSlice> create, update, remove;
  bool more = false; // was left for later, because there are only so many writes
  [[nodiscard]] bool empty() const { return create.empty() && update.empty() && remove.empty(); }
  [[nodiscard]] std::size_t size() const { return create.size() + update.size() + remove.size(); }
};

// The pods that a policy selects, and which slice has which of them.
class PolicySlices {
 public:
  // A pod is selected, or was and has another endpoint now; and is not any more.
  void select(PodId pod, const PodTable& pods);
  void drop(PodId pod);

  // A slice of the policy as it stands; `right`: its labels and owner are as set_slice_meta() has
  // them. It must stay where it is until erase() or another put().
  void put(const SliceRecord& record, bool right, const PodTable& pods);
  void erase(const std::string& name);

  [[nodiscard]] bool contains(PodId pod) const { return members_.contains(pod); }
  [[nodiscard]] std::size_t size() const { return members_.size(); }
  [[nodiscard]] std::vector<PodId> pods() const;

  // What makes the slices hold the pods, in at most `most` writes: first what is missing or wrong,
  // then what is too much, then fewer slices where two are at most half full.
  [[nodiscard]] SliceChanges plan(const api::EgressPolicy& policy, const PodTable& pods,
                                  std::size_t most = std::numeric_limits<std::size_t>::max());

 private:
  struct Slice {
    const SliceRecord* record = nullptr;
    FlatMap<PodId, bool> pods; // selected ones; true: as the slice has them
    std::size_t wrong = 0;     // of those
    bool right = true;         // its metadata
    [[nodiscard]] std::size_t excess() const { return record->endpoints.size() - pods.size(); }
  };
  class Planner;
  void adopt(Slice& slice, const PodTable& pods);

  std::map<std::string, Slice> slices_; // by name
  FlatMap<PodId, Slice*> members_;      // nullptr: in no slice yet
  std::set<PodId> missing_;             // those
};

// Labels and owner of the policy's slices.
void set_slice_meta(const api::EgressPolicy& policy, api::ObjectMeta& meta);

} // namespace egw::egress
