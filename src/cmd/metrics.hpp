// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.hpp"

// Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/).
namespace egw::cmd {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// Counts durations in buckets. Not thread-safe.
class Histogram {
 public:
  void observe(Duration d);

  static constexpr std::array<double, 12> kBounds = {0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                                     0.025,  0.05,   0.1,   0.5,    1,     5};
  [[nodiscard]] const std::array<std::uint64_t, kBounds.size()>& buckets() const {
    return buckets_;
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] double sum() const { return sum_; } // seconds

 private:
  std::array<std::uint64_t, kBounds.size()>
      buckets_{}; // not cumulative; what is above: count alone
  std::uint64_t count_ = 0;
  double sum_ = 0;
};

// Families one after the other: family(), then its samples.
class MetricsText {
 public:
  void family(const std::string& name, const char* type, const std::string& help);
  void sample(const MetricLabels& labels, double value);
  void histogram(const MetricLabels& labels, const Histogram& histogram);
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  void line(const std::string& name, const MetricLabels& labels, double value);

  std::string name_, text_;
};

} // namespace egw::cmd
