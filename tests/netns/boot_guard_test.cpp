// SPDX-License-Identifier: Apache-2.0
#include "cmd/boot_guard.hpp"

#include "netns/cluster.hpp"

// The file of manifests/boot-guard as it stands: its ranges are those of this cluster.
using namespace egw;
using namespace egw::test;

namespace {

void load(const Node& node) {
  const Netns::Inside inside(node.ns);
  run("nft -f " EGW_MANIFESTS "/boot-guard/egw-boot-guard.nft");
}
std::string tables(const Node& node) {
  const Netns::Inside inside(node.ns);
  return run("nft list tables");
}

} // namespace

TEST_SUITE_BEGIN("netns");

TEST_CASE("before the agent has taken over the boot guard keeps pods in, then it is gone") {
  Cluster c;
  load(c.one);
  load(c.one); // twice is once
  std::uint16_t port = 4000;
  for (const Try& t : kBoth) {
    CHECK(first_packet(c, t, ++port).empty());
    // Inside the cluster all is as ever: here the other node.
    Udp node(c.two.ns, {t.pod == kBoth[0].pod ? "10.6.0.2" : "fd06::2", 53});
    Udp pod(c.pod, {t.pod, ++port});
    pod.send({t.pod == kBoth[0].pod ? "10.6.0.2" : "fd06::2", 53}, "inside");
    CHECK(node.receive(kLong) != "");
  }
  {
    // What comes from outside is answered.
    Udp server(c.server, {"203.0.113.9", 53}), pod(c.pod, {"10.244.1.5", 4100});
    server.send({"10.244.1.5", 4100}, "hello");
    REQUIRE(pod.receive(kLong) == "203.0.113.9");
    pod.answer("hello");
    CHECK(server.receive(kLong) != "");
  }
  c.reconcile();
  for (const Try& t : kBoth) CHECK(first_packet(c, t, ++port).empty());
  for (int i = 0; i < 2; ++i) { // the second time there is none
    const Netns::Inside inside(c.one.ns);
    CHECK(cmd::remove_boot_guard().empty());
  }
  CHECK(!contains(tables(c.one), "boot_guard"));
  CHECK(contains(tables(c.one), "table ip egw"));
  for (const Try& t : kBoth) CHECK(round_trip(c, t, ++port) == std::string(t.eip));
  const Try other{"10.244.1.6", "203.0.113.9", "", "10.6.0.1"};
  CHECK(round_trip(c, other, ++port) == other.node);
}

TEST_SUITE_END();
