// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <tuple>

#include "api/egress.hpp"

namespace egw::egress {

// In the order in which they are done: what comes later uses what came earlier.
enum class Task : std::uint8_t { Addresses, Verdict, Gateway, ClusterInfo, Status, Node, Slices };
struct Work {
  Task task = Task::Addresses;
  api::PolicyKey key; // of gateways and nodes the name alone
  auto operator<=>(const Work&) const = default;
};

// What the controller is to plan anew, each thing once however often it was asked for. Decisions
// come before the many objects that follow from them. Those take turns, object by object: in a
// burst none waits for the end of another's.
class WorkList {
 public:
  void add(const Work& work) {
    if (follows(work.task)) {
      later_.insert(work);
    } else {
      first_.insert(work);
    }
  }
  // Statuses, EgressNodes and slices: as many objects as there are policies and nodes.
  static bool follows(Task task) { return task >= Task::Status; }

  // Nothing: there is none, or none that may be done now.
  std::optional<Work> take(bool also_what_follows) {
    if (!first_.empty()) return first_.extract(first_.begin()).value();
    if (!also_what_follows || later_.empty()) return std::nullopt;
    auto next = later_.upper_bound(turn_);
    if (next == later_.end()) next = later_.begin();
    turn_ = *next;
    return later_.extract(next).value();
  }
  [[nodiscard]] std::size_t size() const { return first_.size() + later_.size(); }
  void clear() { *this = {}; }

 private:
  struct ByObject {
    bool operator()(const Work& a, const Work& b) const {
      return std::tie(a.key, a.task) < std::tie(b.key, b.task);
    }
  };
  std::set<Work> first_;
  std::set<Work, ByObject> later_;
  Work turn_; // the last that was taken from `later_`
};

} // namespace egw::egress
