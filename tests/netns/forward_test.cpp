// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "net/diff.hpp"
#include "netns/sample.hpp"

using namespace egw;
using namespace egw::net;
using namespace egw::test;

TEST_SUITE_BEGIN("netns");

TEST_CASE("accepts in iptables' FORWARD chain are such as iptables itself writes") {
  const Netns ns;
  const Netns::Inside inside(ns);
  Kernel kernel{Ownership{}};
  CHECK(kernel.observe().host.forward_policy_drop.empty());
  run("iptables-nft -P FORWARD ACCEPT && ip6tables-nft -P FORWARD ACCEPT");
  CHECK(kernel.observe().host.forward_policy_drop.empty());

  run("iptables-nft -P FORWARD DROP && iptables-nft -A FORWARD -s 10.0.0.0/8 -m comment --comment "
      "theirs -j DROP && "
      "ip6tables-nft -P FORWARD DROP");
  Observation seen = kernel.observe();
  CHECK(seen.host.forward_policy_drop == std::set{Family::V4, Family::V6});
  CHECK(seen.state.forward_accepts.empty());
  const std::string before = run("iptables-nft-save | grep -v '^[#:]'");

  State wanted;
  wanted.forward_accepts = {Family::V4, Family::V6};
  CHECK(print(reconcile(kernel, wanted)) == "");
  CHECK(kernel.observe().state == wanted);
  CHECK(run("iptables-nft -S FORWARD") ==
        "-P FORWARD DROP\n-A FORWARD -i egw0 -j ACCEPT\n-A FORWARD -o egw0 -j ACCEPT\n"
        "-A FORWARD -s 10.0.0.0/8 -m comment --comment theirs -j DROP\n");
  CHECK(contains(run("ip6tables-nft -S FORWARD"),
                 "-A FORWARD -i egw0 -j ACCEPT\n-A FORWARD -o egw0 -j ACCEPT\n"));
  CHECK_FALSE(contains(run("iptables-nft-save"), "incompatible"));
  // Byte for byte the rules that iptables makes.
  const std::string strip = " | jq -c '[.nftables[] | .rule // empty | .expr]'";
  const std::string ours = run("nft -j list chain ip filter FORWARD" + strip);
  run("iptables-nft -D FORWARD -o egw0 -j ACCEPT && iptables-nft -D FORWARD -i egw0 -j ACCEPT && "
      "iptables-nft -I FORWARD 1 -o egw0 -j ACCEPT && iptables-nft -I FORWARD 1 -i egw0 -j ACCEPT");
  CHECK(run("nft -j list chain ip filter FORWARD" + strip) == ours);
  CHECK(kernel.observe().state == wanted); // those that iptables made are as good

  // One of the two gone: it alone comes back.
  run("iptables-nft -D FORWARD -i egw0 -j ACCEPT");
  CHECK(kernel.observe().state.forward_accepts == std::set{Family::V6});
  CHECK(print(reconcile(kernel, wanted)) == "");
  CHECK(run("iptables-nft -S FORWARD | grep -c egw0") == "2\n");

  CHECK(print(reconcile(kernel, State{})) == "");
  CHECK(run("iptables-nft-save | grep -v '^[#:]'") == before);
  CHECK(run("ip6tables-nft -S FORWARD") == "-P FORWARD DROP\n");
}

TEST_CASE(
    "a FORWARD policy of iptables-legacy is seen, unless it accepts what concerns the tunnel") {
  const Netns ns;
  const Netns::Inside inside(ns);
  if (!succeeds("iptables-legacy -t filter -L -n && ip6tables-legacy -t filter -L -n")) {
    MESSAGE("this kernel has no iptables-legacy");
    return;
  }
  Kernel kernel{Ownership{}};
  const auto drops = [&] { return kernel.observe().host.legacy_forward_drop; };
  CHECK(drops().empty());
  run("iptables-legacy -P FORWARD DROP && ip6tables-legacy -P FORWARD DROP && "
      "iptables-legacy -A FORWARD -s 10.244.0.0/16 -m comment --comment theirs -j ACCEPT");
  CHECK(drops() == std::set{Family::V4, Family::V6});
  // One direction, a rule that asks for more, and one that does not accept are not enough.
  run("iptables-legacy -I FORWARD -i egw0 -j ACCEPT && iptables-legacy -I FORWARD -o egw0 -p udp "
      "-j ACCEPT && iptables-legacy -I FORWARD -o egw0 -j DROP && iptables-legacy -I FORWARD -o "
      "egw1 -j ACCEPT && iptables-legacy -I FORWARD ! -o egw0 -j ACCEPT");
  CHECK(drops() == std::set{Family::V4, Family::V6});
  run("iptables-legacy -A FORWARD -o egw0 -j ACCEPT");
  CHECK(drops() == std::set{Family::V6});
  run("ip6tables-legacy -I FORWARD -i egw0 -j ACCEPT && ip6tables-legacy -I FORWARD -o egw0 -j "
      "ACCEPT");
  CHECK(drops().empty());
}

TEST_CASE("a table of iptables-legacy that is not in use is not made by looking for it") {
  const Netns ns;
  const Netns::Inside inside(ns);
  (void)Kernel{Ownership{}}.observe();
  CHECK(run("cat /proc/thread-self/net/ip_tables_names 2>/dev/null || true").empty());
}

TEST_SUITE_END();
