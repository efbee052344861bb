// SPDX-License-Identifier: Apache-2.0
#include "egress/pod_witness.hpp"

#include <doctest/doctest.h>

#include "egress/known_cluster.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;

namespace {

struct Pods {
  Names names;
  PodTable table{names};
  std::uint64_t version = 0;

  PodId put(const std::string& name, const std::vector<std::string>& ips, bool host_network = false,
            api::PodPhase phase = api::PodPhase::Running) {
    api::Pod pod;
    pod.meta.namespace_ = "a";
    pod.meta.name = name;
    pod.meta.resource_version = std::to_string(++version);
    pod.host_network = host_network;
    pod.phase = phase;
    for (const auto& text : ips) pod.ips.push_back(ip(text));
    return table.put(pod).value();
  }
};

IntervalSet set_of(const std::string& text) {
  IntervalSet set;
  set.add(cidr(text));
  return set;
}

} // namespace

TEST_CASE("witness: of a pod inside a set") {
  Pods pods;
  PodWitness witness(PodWitness::Where::Inside);
  pods.put("x", {"10.0.0.1"});
  CHECK_FALSE(witness.look_in(set_of("10.9.0.0/16"), pods.table));
  CHECK_FALSE(witness.found());
  CHECK(witness.changed(pods.put("y", {"10.0.0.2", "10.9.0.2"}), pods.table));
  CHECK(witness.found()->pod == api::NamespacedName{"a", "y"});
  CHECK(witness.found()->address == ip("10.9.0.2"));
  // One is enough; another is looked for when it goes.
  CHECK_FALSE(witness.changed(pods.put("z", {"10.9.0.3"}), pods.table));
  CHECK(witness.changed(pods.table.erase("a", "y", "", "").value(), pods.table));
  pods.table.release();
  CHECK(witness.found()->pod.name == "z");
  CHECK_FALSE(witness.changed(pods.put("w", {"10.9.0.4"}), pods.table)); // y's id, used again
  CHECK(witness.changed(pods.put("z", {"10.0.0.3"}), pods.table));
  CHECK(witness.found()->pod.name == "w");
  CHECK(witness.changed(pods.table.erase("a", "w", "", "").value(), pods.table));
  CHECK_FALSE(witness.found());
  CHECK(witness.look_in(set_of("10.0.0.1/32"), pods.table));
  CHECK(witness.found()->pod.name == "x");
  CHECK_FALSE(witness.look_in(set_of("10.0.0.0/25"), pods.table)); // the same one still does
}

TEST_CASE("witness: of a pod outside; host network and ended pods do not count") {
  Pods pods;
  PodWitness witness(PodWitness::Where::Outside);
  pods.put("x", {"10.0.0.1"});
  CHECK_FALSE(witness.look_in(set_of("10.0.0.0/16"), pods.table));
  CHECK_FALSE(witness.changed(pods.put("host", {"10.6.0.1"}, true), pods.table));
  CHECK_FALSE(
      witness.changed(pods.put("done", {"10.7.0.1"}, false, api::PodPhase::Succeeded), pods.table));
  CHECK_FALSE(witness.changed(pods.put("new", {}), pods.table));
  CHECK(witness.changed(pods.put("new", {"10.8.0.1"}), pods.table));
  CHECK(witness.found()->address == ip("10.8.0.1"));
  CHECK(witness.changed(pods.put("new", {"10.8.0.2"}), pods.table));
  CHECK(witness.found()->address == ip("10.8.0.2"));
  CHECK(witness.look_in(set_of("10.0.0.0/8"), pods.table));
  CHECK_FALSE(witness.found());
}
