// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <linux/rtnetlink.h>

#include "net/attributes.hpp"
#include "net/events.hpp"
#include "net/neighbour.hpp"
#include "net/recorded.hpp"
#include "net/rtnl_address.hpp"
#include "net/rtnl_neighbour.hpp"
#include "net/rtnl_read.hpp"
#include "netns/sample.hpp"

using namespace egw;
using namespace egw::net;
using namespace egw::test;

namespace {

// What a look would know after everything was made.
Known known_after_making() {
  Known known;
  for (LinkInfo& l : decoded("links", decode_link)) {
    if (l.host.name == "egw0") known.tunnel = l.host.index;
    known.links[l.host.index] = l;
  }
  for (const AddressInfo& a : decoded("addresses", decode_address))
    known.addresses[{a.index, a.prefix}] = a.eip_form;
  for (const char* file : {"neighbours_v4", "neighbours_v6"})
    for (const NeighbourInfo& n : decoded(file, decode_neighbour))
      if (n.permanent) known.neighbours[*n.address] = n.mac;
  for (const NeighbourInfo& n : decoded("fdb", decode_neighbour))
    if (n.index == known.tunnel && n.address) known.fdb[n.mac] = *n.address;
  return known;
}

std::map<int, int> due_by_type(const std::string& file, Known& known) {
  std::map<int, int> due;
  const Buffer bytes = recorded(file);
  for_each_message(
      bytes, [&](const nlmsghdr& h) { due[h.nlmsg_type] += concerns_us(h, Ownership{}, known); });
  return due;
}

} // namespace

TEST_CASE("news that match what is known are none; harm is told") {
  Known known = known_after_making();
  const Known before = known;
  // The kernel tells of the same things again: addresses, neighbours and forwarding entries are
  // noise.
  auto due = due_by_type("events_make", known);
  CHECK(due[RTM_NEWADDR] == 0);
  CHECK(due[RTM_NEWNEIGH] == 0);
  CHECK(known.addresses == before.addresses);
  // Routes and rules of our protocol, not by our own sockets, always count.
  CHECK(due[RTM_NEWROUTE] == 4);
  CHECK(due[RTM_NEWRULE] == 4);

  known = before;
  due = due_by_type("events_harm", known);
  CHECK(due[RTM_NEWLINK] > 0);
  CHECK(due[RTM_DELLINK] == 1);
  CHECK(due[RTM_DELADDR] > 0);
  CHECK(due[RTM_DELNEIGH] > 0);
  CHECK(due[RTM_DELRULE] >= 1);
  CHECK(known.tunnel == 0);
  CHECK(known.link("egw0") == nullptr);
  CHECK(known.neighbours.empty());
}

TEST_CASE(
    "nftables events count for our tables and the FORWARD chain, not for the lease or others") {
  int ours = 0, all = 0;
  const Buffer bytes = recorded("events_nft");
  for_each_message(bytes, [&](const nlmsghdr& h) {
    ++all;
    ours += nft_concerns_us(h, Ownership{});
  });
  CHECK(ours > 10);
  CHECK(ours < all);
  // With another table's name only what iptables did to FORWARD is left: the chain, its policy and
  // three rules.
  Ownership elsewhere;
  elsewhere.table = "nobody";
  int forward = 0;
  for_each_message(bytes, [&](const nlmsghdr& h) { forward += nft_concerns_us(h, elsewhere); });
  CHECK(forward == 5);
}

TEST_CASE("whose address it is") {
  const Ownership own;
  std::map<NftFamily, Table> tables;
  CHECK(is_our_address(ip("192.0.2.50"), own.route_protocol, false, own, tables));
  CHECK_FALSE(is_our_address(ip("192.0.2.50"), 3, true, own, tables));
  CHECK_FALSE(is_our_address(ip("192.0.2.50"), {}, true, own, tables));
  // Kernels before 5.18 keep no protocol: the form, and our own set, tell.
  tables[NftFamily::Ip].sets["eipaddrs"].elements.try_emplace(element("192.0.2.50"));
  CHECK(is_our_address(ip("192.0.2.50"), {}, true, own, tables));
  CHECK_FALSE(is_our_address(ip("192.0.2.50"), {}, false, own, tables));
  CHECK_FALSE(is_our_address(ip("192.0.2.51"), {}, true, own, tables));
  CHECK_FALSE(is_our_address(ip("2001:db8::50"), {}, true, own, tables));
}

TEST_CASE("announcements, byte by byte") {
  const Mac m = mac("02:00:00:00:00:01");
  CHECK(gratuitous_arp(ip("192.0.2.50"), m, false) ==
        Buffer{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0,   1, 8, 6,
               0,    1,    8,    0,    6,    4,    0, 1, 2, 0, 0,   0, 0, 1,
               192,  0,    2,    50,   0,    0,    0, 0, 0, 0, 192, 0, 2, 50});
  const Buffer reply = gratuitous_arp(ip("192.0.2.50"), m, true);
  CHECK(reply[21] == 2);
  CHECK(Buffer(reply.begin() + 32, reply.begin() + 38) == Buffer(6, 0xff));
  const Buffer na = unsolicited_advertisement(ip("2001:db8::50"), m);
  REQUIRE(na.size() == 86);
  CHECK(Buffer(na.begin(), na.begin() + 6) == Buffer{0x33, 0x33, 0, 0, 0, 1});
  CHECK(na[21] == 255); // hop limit
  CHECK(na[54] == 136);
  CHECK(na[58] == 0x20); // override, neither solicited nor router
  // The sum over pseudo header and message, its own checksum included, is all ones.
  std::uint32_t sum = 32 + 58;
  for (std::size_t i = 22; i < na.size(); i += 2) sum += na[i] * 256U + na[i + 1];
  while (sum >> 16U != 0) sum = (sum & 0xffffU) + (sum >> 16U);
  CHECK(sum == 0xffff);
  CHECK(announcement_frames({ip("192.0.2.50"), ip("2001:db8::50")}, m).size() == 3);
}
