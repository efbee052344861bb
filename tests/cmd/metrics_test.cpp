// SPDX-License-Identifier: Apache-2.0
#include "cmd/metrics.hpp"

#include <doctest/doctest.h>

using namespace egw;
using namespace egw::cmd;

TEST_CASE("metrics: families, labels and what must be escaped") {
  MetricsText text;
  text.family("egw_eips", "gauge", "EIPs by node");
  text.sample({{"gateway", "a\"b\\c\nd"}, {"node", ""}}, 3);
  text.sample({}, 0.25);
  CHECK(text.take() ==
        "# HELP egw_eips EIPs by node\n# TYPE egw_eips gauge\n"
        "egw_eips{gateway=\"a\\\"b\\\\c\\nd\",node=\"\"} 3\negw_eips 0.25\n");
}

TEST_CASE("metrics: a histogram's buckets add up") {
  Histogram h;
  for (const auto ms : {1, 3, 3, 40, 9000}) h.observe(std::chrono::milliseconds(ms));
  MetricsText text;
  text.family("t_seconds", "histogram", "T");
  text.histogram({{"kind", "x"}}, h);
  const std::string out = text.take();
  for (const char* line :
       {"t_seconds_bucket{kind=\"x\",le=\"0.0005\"} 0\n",
        "t_seconds_bucket{kind=\"x\",le=\"0.001\"} 1\n",
        "t_seconds_bucket{kind=\"x\",le=\"0.005\"} 3\n",
        "t_seconds_bucket{kind=\"x\",le=\"0.05\"} 4\n", "t_seconds_bucket{kind=\"x\",le=\"5\"} 4\n",
        "t_seconds_bucket{kind=\"x\",le=\"+Inf\"} 5\n", "t_seconds_sum{kind=\"x\"} 9.047\n",
        "t_seconds_count{kind=\"x\"} 5\n"}) {
    CAPTURE(line);
    CHECK(out.find(line) != std::string::npos);
  }
}
