// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "net/attributes.hpp"
#include "net/conntrack.hpp"
#include "net/netlink.hpp"
#include "net/recorded.hpp"
#include "net/rtnl_address.hpp"
#include "net/rtnl_link.hpp"
#include "net/rtnl_neighbour.hpp"
#include "net/rtnl_route.hpp"
#include "netns/sample.hpp"

using namespace egw;
using namespace egw::net;
using namespace egw::test;

TEST_CASE("links as the kernel tells them") {
  const auto links = decoded("links", decode_link);
  REQUIRE(links.size() == 4);
  CHECK(links[0].host == HostLink{1, "lo", {}, 65536, true});
  CHECK_FALSE(links[0].ethernet);
  const auto up = std::find_if(links.begin(), links.end(),
                               [](const LinkInfo& l) { return l.host.name == "up0"; });
  REQUIRE(up != links.end());
  CHECK(up->host.mac == mac("02:00:00:00:00:01"));
  CHECK(up->kind == "veth");
  CHECK(up->ethernet);
  CHECK_FALSE(up->vxlan);
  const auto tunnel = std::find_if(links.begin(), links.end(),
                                   [](const LinkInfo& l) { return l.host.name == "egw0"; });
  REQUIRE(tunnel != links.end());
  CHECK(tunnel->alias == "egw tunnel");
  CHECK(tunnel->kind == "vxlan");
  CHECK(tunnel->vxlan ==
        Vxlan{mac("66:00:00:00:00:01"), 100, 7789, ip("192.0.2.1"), up->host.index, 1450});
}

TEST_CASE("addresses as the kernel tells them") {
  const auto all = decoded("addresses", decode_address);
  const auto find = [&](const char* text) {
    const auto it = std::find_if(
        all.begin(), all.end(), [&](const AddressInfo& a) { return a.prefix.address == ip(text); });
    REQUIRE(it != all.end());
    return *it;
  };
  CHECK(find("127.0.0.1").prefix.length == 8);
  CHECK(find("192.0.2.1").prefix.length == 24);
  CHECK_FALSE(find("192.0.2.1").protocol.has_value());
  CHECK_FALSE(find("192.0.2.1").eip_form);
  CHECK(find("172.31.0.1").protocol == 217);
  CHECK_FALSE(find("172.31.0.1").eip_form);
  CHECK(find("192.0.2.50").protocol == 217);
  CHECK(find("192.0.2.50").eip_form);
  CHECK(find("2001:db8::50").protocol == 217);
  CHECK(find("2001:db8::50").eip_form);
  CHECK(find("fe80::6600:1").prefix.length == 64);
}

TEST_CASE("routes and rules as the kernel tells them") {
  const auto v4 = decoded("routes_v4", decode_route);
  const auto ours = [](const std::vector<RouteInfo>& routes) {
    std::vector<RouteInfo> out;
    std::copy_if(routes.begin(), routes.end(), std::back_inserter(out),
                 [](const RouteInfo& r) { return r.protocol == 217; });
    return out;
  };
  const auto own4 = ours(v4);
  REQUIRE(own4.size() == 3);
  CHECK(own4[0].key == RouteKey{7702, prefix("0.0.0.0/0"), 1});
  CHECK(own4[0].kernel_type == RTN_UNICAST);
  CHECK(own4[0].via == ip("172.31.0.2"));
  CHECK(own4[1].key == RouteKey{7702, prefix("0.0.0.0/0"), 4294967295U});
  CHECK(own4[1].kernel_type == RTN_BLACKHOLE);
  CHECK(own4[2].key == RouteKey{7702, prefix("10.1.0.0/16"), 0});
  CHECK(own4[2].kernel_type == RTN_THROW);
  const auto own6 = ours(decoded("routes_v6", decode_route));
  REQUIRE(own6.size() == 1);
  CHECK(own6[0].key == RouteKey{7700, prefix("fd00:1::5/128"), 1024});
  CHECK(own6[0].via == ip("fe80::6600:2"));

  const auto rules = decoded("rules", decode_routing_rule);
  REQUIRE(rules.size() == 7); // with those that every kernel has
  CHECK(rules[1].rule.priority == 97);
  CHECK_FALSE(rules[1].plain); // it has a source, which RoutingRule cannot say
  CHECK(rules[2].rule == RoutingRule{Family::V4, 98, 0, 0x307f, RuleAction::Goto, 100});
  CHECK(rules[2].plain);
  CHECK(rules[2].protocol == 217);
  CHECK(rules[3].rule == RoutingRule{Family::V4, 99, 1, 0x307f, RuleAction::Lookup, 7700});
  CHECK(rules[4].rule == RoutingRule{Family::V4, 100, 0, 0, RuleAction::Nop, 0});
  CHECK(rules[5].protocol == RTPROT_KERNEL);
}

TEST_CASE("neighbours and forwarding entries as the kernel tells them") {
  const auto v4 = decoded("neighbours_v4", decode_neighbour);
  REQUIRE(v4.size() == 1);
  CHECK(v4[0].address == ip("172.31.0.2"));
  CHECK(v4[0].mac == mac("66:00:00:00:00:02"));
  CHECK(v4[0].permanent);
  const auto v6 = decoded("neighbours_v6", decode_neighbour);
  CHECK(std::count_if(v6.begin(), v6.end(), [](const NeighbourInfo& n) { return n.permanent; }) ==
        1);
  const auto fdb = decoded("fdb", decode_neighbour);
  const auto entry = std::find_if(fdb.begin(), fdb.end(), [](const NeighbourInfo& n) {
    return n.mac == mac("66:00:00:00:00:02");
  });
  REQUIRE(entry != fdb.end());
  CHECK(entry->fdb);
  CHECK(entry->address == ip("192.0.2.2"));
}

TEST_CASE("a refusal brings the kernel's own words") {
  const Buffer route = recorded("refused_route"), link = recorded("refused_link");
  const Refusal r = parse_error(*reinterpret_cast<const nlmsghdr*>(route.data()));
  CHECK(r.code == EINVAL);
  CHECK(r.text == "Nexthop has invalid gateway");
  CHECK(describe(r.code, r.text) == "Invalid argument: Nexthop has invalid gateway");
  CHECK(parse_error(*reinterpret_cast<const nlmsghdr*>(link.data())).code == ENODEV);
  CHECK(describe(ENODEV, "") == "No such device");
}

TEST_CASE("a refusal whose code is no errno is a bad message") {
  Buffer bytes = recorded("refused_link");
  const auto code_of = [&](int error) {
    std::memcpy(bytes.data() + NLMSG_HDRLEN, &error, sizeof error);
    return parse_error(*reinterpret_cast<const nlmsghdr*>(bytes.data())).code;
  };
  CHECK(code_of(0) == 0);
  CHECK(code_of(-EPERM) == EPERM);
  CHECK(code_of(-4095) == 4095);
  CHECK(code_of(-4096) == EBADMSG);
  CHECK(code_of(INT_MIN) == EBADMSG);
  CHECK(code_of(1) == EBADMSG);
}

TEST_CASE("connections as the kernel tells them") {
  const auto all = decoded("connections", decode_connection);
  const auto tcp = std::find_if(all.begin(), all.end(),
                                [](const Connection& c) { return c.protocol == IPPROTO_TCP; });
  REQUIRE(tcp != all.end());
  CHECK(tcp->original == Tuple{ip("10.1.0.5"), ip("198.51.100.7"), 40000, 443});
  CHECK(tcp->reply.source == ip("198.51.100.7"));
  CHECK(tcp->reply.destination == ip("192.0.2.50"));
  CHECK(tcp->mark == 0x10001);
  CHECK(tcp->id != 0);
}

TEST_CASE("every recording, cut off anywhere and with any byte changed, is read without harm") {
  const auto read_all = [](const Buffer& bytes) {
    std::size_t read = 0;
    for_each_message(bytes, [&](const nlmsghdr& h) {
      read += decode_link(h).has_value() + decode_address(h).has_value() +
              decode_route(h).has_value() + decode_routing_rule(h).has_value() +
              decode_neighbour(h).has_value() + decode_connection(h).has_value();
      if (h.nlmsg_type == NLMSG_ERROR) read += static_cast<std::size_t>(parse_error(h).code != 0);
    });
    return read;
  };
  for (const char* name :
       {"links", "addresses", "routes_v4", "routes_v6", "rules", "neighbours_v4", "neighbours_v6",
        "fdb", "refused_route", "refused_link", "connections", "events_make", "events_harm"}) {
    CAPTURE(name);
    const Buffer whole = recorded(name);
    const std::size_t all = read_all(whole);
    CHECK(all > 0);
    std::size_t fewer = 0;
    for (std::size_t n = 0; n < whole.size(); n += 3) {
      const Buffer cut(whole.begin(),
                       whole.begin() + static_cast<std::ptrdiff_t>(
                                           n)); // its own allocation: sanitizers see its end
      fewer += read_all(cut) < all;
      for (const int value : {0, 0xff, whole[n] ^ 1}) {
        Buffer changed = whole;
        changed[n] = static_cast<std::uint8_t>(value);
        (void)read_all(changed);
      }
    }
    CHECK(fewer > 0);
  }
}
