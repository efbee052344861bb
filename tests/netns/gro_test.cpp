// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <net/if.h>

#include "net/diff.hpp"
#include "netns/sample.hpp"

using namespace egw;
using namespace egw::net;
using namespace egw::test;

TEST_SUITE_BEGIN("netns");

namespace {

bool merges(const char* link) {
  return contains(run(std::string("ethtool -k ") + link), "generic-receive-offload: on");
}

} // namespace

TEST_CASE("the tunnel merges segments where its parent does not") {
  const Node node;
  const Netns::Inside inside(node.ns);
  run("ip link add nic0 type bridge && ip link set nic0 up"); // with GRO, as hardware begins
  REQUIRE(merges("nic0"));
  State wanted = sample_state(node.parent());
  wanted.tunnel->parent = if_nametoindex("nic0");
  Kernel kernel{Ownership{}};
  REQUIRE(print(reconcile(kernel, wanted)) == "");
  CHECK_FALSE(merges("egw0"));

  run("ethtool -K nic0 gro off");
  CHECK_FALSE(kernel.observe().state == wanted);
  CHECK(print(reconcile(kernel, wanted)) == "");
  CHECK(merges("egw0"));
  CHECK(kernel.observe().state == wanted);

  run("ethtool -K nic0 gro on");
  CHECK(print(reconcile(kernel, wanted)) == "");
  CHECK_FALSE(merges("egw0"));

  // What comes by a veth was never cut into segments, whatever its own GRO says.
  wanted.tunnel->parent = node.parent();
  for (const std::string on : {"off", "on"}) {
    run("ethtool -K up0 gro " + on);
    CHECK(print(reconcile(kernel, wanted)) == "");
    CHECK_FALSE(merges("egw0"));
    CHECK(kernel.observe().state == wanted);
  }
}

TEST_SUITE_END();
