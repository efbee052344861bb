// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "cmd/controller_watches.hpp"
#include "cmd/metrics.hpp"
#include "egress/controller_core.hpp"
#include "k8s/metrics.hpp"

namespace egw::cmd {

// What the wiring counts. Of the core thread alone.
struct ControllerStats {
  Histogram steps;
  std::map<std::tuple<egress::Kind, egress::WriteVerb, egress::WriteDone::Outcome>, std::uint64_t>
      writes;
  std::map<egress::Kind, Histogram> write_times; // from the core's wish to the answer
  std::uint64_t pending = 0;                     // wished for, and not answered yet

  std::uint64_t questions_answered = 0, questions_failed = 0; // for the ranges of services

  void count(egress::Kind kind, egress::WriteVerb verb, egress::WriteDone::Outcome outcome,
             Duration took);
  void count(const egress::ServiceRangesTold& told);
};

// All metrics of a controller.
[[nodiscard]] std::string metrics_text(const egress::ControllerCore& core,
                                       const ControllerStats& stats,
                                       const k8s::ClientMetrics& client,
                                       const ControllerWatches& watches);

} // namespace egw::cmd
