// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "base/chrono.hpp"
#include "base/clock.hpp"
#include "egress/controller_io.hpp"

namespace egw::egress {

// The range that the API server's refusal of a clusterIP names. Its words, from
// pkg/registry/core/service of Kubernetes 1.28 to 1.36, with dryRun=All:
//   failed to allocate IP 0.0.0.0: the provided IP (0.0.0.0) is not in the valid range. The range
//   of valid IPs is 10.96.0.0/16
// (older ones: "failed to allocated ip:0.0.0.0 with error:provided IP is not in the valid range.
// The range of valid IPs is 10.96.0.0/16"). Where no service can have an address of the family:
//   IPv6 is not configured on this cluster
// A create that is no dry run is refused without the range since 1.33.
struct Refused {
  std::optional<Prefix> range; // nothing: the cluster has none of this family
};
// An Error: it says neither.
[[nodiscard]] Result<Refused> range_in_refusal(std::string_view message, Family family);

// When the API server is asked: once, and after a failure again, ever more rarely.
class ServiceProbe {
 public:
  // Whether to ask now. Each `true` is answered by answered().
  [[nodiscard]] bool ask(bool wanted, Time now);
  void answered(ServiceRangesTold told, Time now);
  // When ask() is worth calling again.
  [[nodiscard]] std::optional<Time> next() const;
  [[nodiscard]] const ServiceRangesTold* told() const { return told_ ? &*told_ : nullptr; }

 private:
  bool under_way_ = false;
  int failures_ = 0;
  std::optional<Time> not_before_;
  std::optional<ServiceRangesTold> told_;
};

} // namespace egw::egress
