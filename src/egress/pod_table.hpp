// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/core.hpp"
#include "api/egress.hpp"
#include "base/interned.hpp"
#include "base/ip.hpp"
#include "base/text_pool.hpp"
#include "egress/labels_pool.hpp"
#include "egress/pod_ips.hpp"
#include "egress/policy.hpp"

// A hundred thousand pods in few bytes each: texts that many share are kept once.
namespace egw::egress {

using Name = InternPool<std::string>::Handle;
using SharedLabels = LabelsPool::Handle;

// api::Endpoint in few bytes.
struct EndpointRecord {
  Name namespace_, node;
  TextPool::Handle pod;
  PodIps ips;
  bool operator==(const EndpointRecord&) const = default;
};
[[nodiscard]] api::Endpoint to_endpoint(const EndpointRecord& record);

struct PodRecord {
  EndpointRecord endpoint;
  SharedLabels labels;
  std::uint64_t uid = 0;     // its hash: one that is made anew under the same name is another pod
  std::uint64_t version = 0; // resourceVersion; 0: no number
  bool host_network = false, ended = false;
  bool operator==(const PodRecord&) const = default;
  [[nodiscard]] PodView view() const {
    return {*endpoint.namespace_, *labels, endpoint.ips.all(), host_network, ended};
  }
};

struct Names {                   // the pools
  InternPool<std::string> texts; // that many share
  TextPool pods;
  LabelsPool labels;
};

using PodId = std::uint32_t; // of a pod that is there; used again after release()

class PodTable {
 public:
  explicit PodTable(Names& names) : names_(names) {}

  // Nothing: it is what was known, or older.
  std::optional<PodId> put(const api::Pod& pod);
  // `resource_version`: of the deletion; `uid`: of the pod that was deleted. Both may be empty. The
  // id stays that pod's until release().
  std::optional<PodId> erase(const std::string& ns, const std::string& name,
                             const std::string& resource_version, const std::string& uid);
  void release();

  [[nodiscard]] std::optional<PodId> find(std::string_view ns, std::string_view name) const;
  // nullptr: it is gone.
  [[nodiscard]] const PodRecord* get(PodId id) const {
    return records_[id].position == kNone ? nullptr : &records_[id].pod;
  }
  [[nodiscard]] std::span<const PodId> in(const std::string& ns) const;
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t capacity() const { return records_.size(); } // above every id
  template <class F>
  void for_each(F f) const {
    for (const auto& [ns, ids] : by_namespace_) {
      for (const PodId id : ids) f(id);
    }
  }

 private:
  static constexpr PodId kNone = std::numeric_limits<PodId>::max();
  struct Slot {
    PodRecord pod;
    std::uint32_t position = kNone; // in its namespace's list; kNone: it is gone
    PodId next = kNone;             // in its bucket
  };
  using Key = std::pair<std::string_view, std::string_view>;
  [[nodiscard]] Key key(PodId id) const {
    const EndpointRecord& e = records_[id].pod.endpoint;
    return {*e.namespace_, *e.pod};
  }
  [[nodiscard]] std::size_t bucket(const Key& key) const; // there is one
  void enter(PodId id);
  void leave(PodId id);
  [[nodiscard]] PodRecord record(const api::Pod& pod);

  Names& names_;
  std::vector<Slot> records_;
  std::vector<PodId> free_, leaving_;
  std::map<std::string, std::vector<PodId>> by_namespace_;
  std::vector<PodId> buckets_; // by namespace and name; a power of two, pods are chained
  std::size_t size_ = 0;
};

} // namespace egw::egress
