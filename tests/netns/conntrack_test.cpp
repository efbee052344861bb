// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <netinet/in.h>

#include <algorithm>

#include "netns/sample.hpp"

using namespace egw;
using namespace egw::net;
using namespace egw::test;

TEST_SUITE_BEGIN("netns");

TEST_CASE("connections are read by source and by mark, and exactly those are forgotten") {
  const Node node;
  {
    const Netns::Inside inside(node.ns);
    run("ip addr add 192.0.2.11/24 dev up0 && ip addr add 192.0.2.12/24 dev up0 && "
        "nft add table ip t && nft add chain ip t o '{ type filter hook output priority 0; }' && "
        "nft add rule ip t o ip saddr 192.0.2.11 ct mark set 0x00050001 && "
        "nft add rule ip t o ip saddr 192.0.2.12 ct mark set 0x00060001 && "
        "nft add table ip6 t && nft add chain ip6 t o '{ type filter hook output priority 0; }' && "
        "nft add rule ip6 t o ct state new ct mark set 0x00050002");
    // Real flows: UDP, TCP (refused), ICMP of both families.
    run("for s in 11 12; do echo x > /dev/null; ping -c 1 -I 192.0.2.$s 192.0.2.2; done; "
        "for s in 11 12; do python3 -c \"import socket; s=socket.socket(socket.AF_INET, "
        "socket.SOCK_DGRAM); "
        "s.bind(('192.0.2.$s', 4000)); s.sendto(b'x', ('192.0.2.2', 5000))\"; done; ping -6 -c 1 "
        "2001:db8::2");
    Conntrack conntrack;
    const auto from11 = conntrack.find({ip("192.0.2.11")});
    REQUIRE(from11.ok());
    CHECK(from11->size() == 2);
    const auto udp = std::find_if(from11->begin(), from11->end(),
                                  [](const Connection& c) { return c.protocol == IPPROTO_UDP; });
    REQUIRE(udp != from11->end());
    CHECK(udp->original == Tuple{ip("192.0.2.11"), ip("192.0.2.2"), 4000, 5000});
    CHECK(udp->reply == Tuple{ip("192.0.2.2"), ip("192.0.2.11"), 5000, 4000});
    CHECK(udp->mark == 0x00050001);
    CHECK(udp->id != 0);
    CHECK(conntrack.find({ip("192.0.2.11"), ip("192.0.2.12"), ip("2001:db8::1")})->size() == 5);
    CHECK(conntrack.find({ip("192.0.2.99")})->empty());
    CHECK(conntrack.find({})->empty());
    const std::vector<Address> two{ip("192.0.2.11"), ip("2001:db8::1")};
    CHECK(conntrack.find(two, {0x00060000}, 0x7fff0000)->size() == 5);
    CHECK(conntrack.find(two, {0x00050000}, 0x7fff0000)->size() == 3); // each once
    CHECK(conntrack.marked(0xffff0000)->size() == 5);
    CHECK(conntrack.marked(0x00020000)->size() == 2); // of 192.0.2.12
    CHECK(conntrack.marked(0x00020000, {ip("192.0.2.11")})->size() == 4);

    const auto marked = conntrack.find({}, {0x00050000}, 0x7fff0000);
    REQUIRE(marked.ok());
    CHECK(marked->size() == 3); // two of IPv4, one of IPv6
    CHECK(conntrack.forget(*marked).ok());
    CHECK(conntrack.find({}, {0x00050000}, 0x7fff0000)->empty());
    CHECK(conntrack.forget(*marked).ok()); // gone already
    const std::string left = run("conntrack -L 2>/dev/null");
    CHECK(contains(left, "src=192.0.2.12 dst=192.0.2.2 sport=4000"));
    CHECK_FALSE(contains(left, "src=192.0.2.11 "));
    CHECK(conntrack.find({ip("192.0.2.12")})->size() == 2);

    // Among so many that parts are asked for instead of all.
    run("python3 -c \"import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        "s.bind(('192.0.2.11', 4001)); "
        "[s.sendto(b'x', ('192.0.2.2', p)) for p in range(10000, 22000)]\"");
    CHECK(conntrack.marked(0x00010000)->size() == 12000);
    CHECK(conntrack.find({ip("192.0.2.12"), ip("2001:db8::1")}, {0x00060000}, 0x7fff0000)->size() ==
          2);
    CHECK(conntrack.find({ip("192.0.2.12")}, {0x00050000}, 0x7fff0000)->size() == 12002);
  }
}

TEST_SUITE_END();
