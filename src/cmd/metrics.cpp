// SPDX-License-Identifier: Apache-2.0
#include "cmd/metrics.hpp"

#include <fmt/format.h>

#include <iterator>

#include "base/chrono.hpp"

namespace egw::cmd {

namespace {

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

} // namespace

void Histogram::observe(Duration d) {
  const double seconds = std::chrono::duration<double>(d).count();
  ++count_;
  sum_ += seconds;
  for (std::size_t i = 0; i < kBounds.size(); ++i) {
    if (seconds > kBounds[i]) continue;
    ++buckets_[i];
    return;
  }
}

void MetricsText::family(const std::string& name, const char* type, const std::string& help) {
  name_ = name;
  fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void MetricsText::line(const std::string& name, const MetricLabels& labels, double value) {
  text_ += name;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    fmt::format_to(std::back_inserter(text_), "{}{}=\"{}\"", i == 0 ? "{" : ",", labels[i].first,
                   escaped(labels[i].second));
  }
  fmt::format_to(std::back_inserter(text_), "{} {}\n", labels.empty() ? "" : "}", value);
}

void MetricsText::sample(const MetricLabels& labels, double value) {
  line(name_, labels, value);
}

void MetricsText::histogram(const MetricLabels& labels, const Histogram& histogram) {
  std::uint64_t below = 0;
  MetricLabels with_bound = labels;
  with_bound.emplace_back("le", "");
  for (std::size_t i = 0; i < Histogram::kBounds.size(); ++i) {
    below += histogram.buckets()[i];
    with_bound.back().second = fmt::format("{}", Histogram::kBounds[i]);
    line(name_ + "_bucket", with_bound, static_cast<double>(below));
  }
  with_bound.back().second = "+Inf";
  line(name_ + "_bucket", with_bound, static_cast<double>(histogram.count()));
  line(name_ + "_sum", labels, histogram.sum());
  line(name_ + "_count", labels, static_cast<double>(histogram.count()));
}

} // namespace egw::cmd
