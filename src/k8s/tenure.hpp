// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.hpp"

namespace egw::k8s {

// How long what a leader decided may be sent. Each renewal of its Lease moves the end on; once
// leadership is lost it is over for good, also when the same process leads again. Thread-safe.
class Tenure {
 public:
  Tenure() = default; // over
  explicit Tenure(Time until) { extend(until); }

  [[nodiscard]] Time until() const { return Time(Duration(until_.load())); }
  void extend(Time until) { until_ = until.time_since_epoch().count(); }
  void end() { extend(Time{}); }

 private:
  std::atomic<std::int64_t> until_{0};
};

} // namespace egw::k8s
