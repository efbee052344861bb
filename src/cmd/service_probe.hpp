// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "egress/controller_io.hpp"
#include "k8s/client.hpp"

namespace egw::cmd {

// Asks the API server for the ranges of services: for each family a Service with the unspecified
// address as clusterIP, which no range holds, as a dry run besides. The refusal names the range.
class ServiceProbe {
 public:
  // ns: where the right to create Services is given (manifests/service-probe).
  explicit ServiceProbe(std::string ns) : namespace_(std::move(ns)) {}

  // Both requests, each with a tag of its own above `last_tag`. Answers to earlier ones do not
  // count any more.
  [[nodiscard]] std::vector<k8s::Write> ask(std::uint64_t& last_tag);
  [[nodiscard]] bool waits_for(std::uint64_t tag) const { return asked_.contains(tag); }
  // The last of both answers makes the event.
  [[nodiscard]] std::optional<egress::ServiceRangesTold> answered(
      std::uint64_t tag, const Result<std::string>& result);

 private:
  struct Asked {
    Family family;
    int round;
  };
  std::string namespace_;
  std::map<std::uint64_t, Asked> asked_; // by tag
  int round_ = 0;
  int left_ = 0; // answers of this round
  egress::ServiceRangesTold told_;
};

} // namespace egw::cmd
