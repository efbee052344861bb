// SPDX-License-Identifier: Apache-2.0
#include "net/claim.hpp"

#include <doctest/doctest.h>
#include <net/if.h>
#include <poll.h>

#include <array>
#include <optional>

#include "net/neighbour.hpp"
#include "netns/sample.hpp"

using namespace egw;
using namespace egw::net;
using namespace egw::test;

TEST_SUITE_BEGIN("netns");

namespace {

// What the listener hears of the address; `again` is called at first and while nothing comes.
template <class F>
std::optional<AddressClaim> hears(ClaimListener& listener, const Address& address,
                                  std::uint32_t link, const F& again) {
  std::optional<AddressClaim> found;
  for (int times = 0; !found && times < 10;) {
    if (times == 0) again();
    std::array<pollfd, 2> fds{pollfd{listener.arp_fd(), POLLIN, 0},
                              pollfd{listener.advertisement_fd(), POLLIN, 0}};
    if (poll(fds.data(), fds.size(), 500) <= 0) {
      ++times;
      again();
      continue;
    }
    listener.drain([&](std::uint32_t on, const AddressClaim& claim) {
      if (claim.address == address && on == link) found = claim;
    });
  }
  return found;
}

} // namespace

TEST_CASE("another host that has an address answers a probe, and its own words are heard") {
  const Node node;
  Mac peer_mac;
  {
    const Netns::Inside inside(node.peer);
    std::string text = run("ip -j link show peer0 | jq -r '.[0].address'");
    text.pop_back();
    peer_mac = mac(text.c_str());
    run("ip addr add 192.0.2.50/32 dev peer0 && ip addr add 2001:db8::50/128 dev peer0 nodad");
  }
  const Address v4 = ip("192.0.2.50"), v6 = ip("2001:db8::50");
  {
    const Netns::Inside inside(node.ns);
    ClaimListener listener;
    const std::uint32_t link = if_nametoindex("up0");
    Kernel kernel{Ownership{}};
    for (const Address& address : {v4, v6}) {
      const auto ask = [&] { REQUIRE(kernel.probe("up0", {address}, ip("2001:db8::1")).ok()); };
      CHECK(hears(listener, address, link, ask) == AddressClaim{address, peer_mac});
    }
  }
  const Netns::Inside inside(node.ns);
  ClaimListener listener;
  for (const Address& address : {v4, v6}) {
    const auto announce = [&] {
      const Netns::Inside there(node.peer);
      REQUIRE(Kernel{Ownership{}}.announce("peer0", {address}).ok());
    };
    CHECK(hears(listener, address, if_nametoindex("up0"), announce) ==
          AddressClaim{address, peer_mac});
  }
}

TEST_CASE("what this host says itself is not heard") {
  const Node node;
  const Netns::Inside inside(node.ns);
  ClaimListener listener;
  Kernel kernel{Ownership{}};
  REQUIRE(kernel.announce("up0", {ip("192.0.2.60"), ip("2001:db8::60")}).ok());
  REQUIRE(kernel.probe("up0", {ip("192.0.2.2")}, {}).ok()); // answered after what was sent before
  const std::uint32_t link = if_nametoindex("up0");
  bool own = false;
  bool answered = false;
  while (!answered) {
    std::array<pollfd, 1> fds{pollfd{listener.arp_fd(), POLLIN, 0}};
    REQUIRE(poll(fds.data(), fds.size(), 5000) > 0);
    listener.drain([&](std::uint32_t on, const AddressClaim& claim) {
      own = own || claim.address == ip("192.0.2.60") || claim.address == ip("2001:db8::60");
      answered = answered || (on == link && claim.address == ip("192.0.2.2"));
    });
  }
  CHECK_FALSE(own);
}

TEST_SUITE_END();
