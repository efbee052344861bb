// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include "net/attributes.hpp"
#include "net/neighbour.hpp"
#include "netns/sample.hpp"

using namespace egw;
using namespace egw::net;
using namespace egw::test;

TEST_SUITE_BEGIN("netns");

namespace {

// Sees what comes in on a link.
class Sniffer {
 public:
  explicit Sniffer(const char* link)
      : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL))) {
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_ALL);
    at.sll_ifindex = static_cast<int>(if_nametoindex(link));
    REQUIRE(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
  }
  // Whether the frame arrives within five seconds.
  bool sees(const Buffer& frame) {
    for (;;) {
      for (auto it = seen_.begin(); it != seen_.end(); ++it) {
        if (*it == frame) return true;
      }
      pollfd p{fd_.get(), POLLIN, 0};
      if (poll(&p, 1, 5000) <= 0) return false;
      Buffer next(2048);
      const ssize_t n = recv(fd_.get(), next.data(), next.size(), 0);
      next.resize(static_cast<std::size_t>(n));
      seen_.push_back(next);
    }
  }

 private:
  Fd fd_;
  std::vector<Buffer> seen_;
};

} // namespace

TEST_CASE("a taken address is announced, and neighbours believe it") {
  const Node node;
  std::string up0_mac, ping;
  std::unique_ptr<Sniffer> sniffer;
  {
    const Netns::Inside inside(node.peer);
    sniffer = std::make_unique<Sniffer>("peer0");
    // What the neighbour knows from the former holder.
    run("ip neigh replace 192.0.2.50 lladdr 02:00:00:00:00:99 dev peer0 nud stale && "
        "ip neigh replace 2001:db8::50 lladdr 02:00:00:00:00:99 dev peer0 nud stale");
  }
  {
    const Netns::Inside inside(node.ns);
    up0_mac = run("cat /proc/self/net/dev >/dev/null; ip -j link show up0 | jq -r '.[0].address'");
    up0_mac.pop_back();
    Kernel kernel{Ownership{}};
    CHECK(kernel.announce("up0", {ip("192.0.2.50"), ip("2001:db8::50")}).ok());
    CHECK(kernel.announce("missing0", {ip("192.0.2.50")}).error().code == ENODEV);
    CHECK(kernel.announce("lo", {ip("192.0.2.50")}).error().code == EAFNOSUPPORT);
  }
  const Mac m = mac(up0_mac.c_str());
  CHECK(sniffer->sees(gratuitous_arp(ip("192.0.2.50"), m, false)));
  CHECK(sniffer->sees(gratuitous_arp(ip("192.0.2.50"), m, true)));
  CHECK(sniffer->sees(unsolicited_advertisement(ip("2001:db8::50"), m)));
  const Netns::Inside inside(node.peer);
  CHECK(contains(run("ip neigh show 192.0.2.50"), "lladdr " + up0_mac));
  CHECK(contains(run("ip neigh show 2001:db8::50"), "lladdr " + up0_mac));
}

TEST_CASE("nothing is announced on a link that is down") {
  const Node node;
  const Netns::Inside inside(node.ns);
  run("ip link set up0 down");
  Kernel kernel{Ownership{}};
  CHECK(kernel.announce("up0", {ip("192.0.2.50")}).error().code == ENETDOWN);
}

TEST_SUITE_END();
