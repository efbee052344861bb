// SPDX-License-Identifier: Apache-2.0
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <optional>

#include "fuzz/netlink.hpp"
#include "net/events.hpp"
#include "net/netlink.hpp"
#include "net/rtnl_address.hpp"
#include "net/rtnl_link.hpp"
#include "net/rtnl_neighbour.hpp"
#include "net/rtnl_route.hpp"

// Dumps and notifications of rtnetlink. What was read is written as a request of ours, which must
// read as the same; numbers are inverted between, so that no bit can be lost in the first reading.
using namespace egw;
using namespace egw::net;
using egw::test::decoded;
using egw::test::require;

namespace {

void address(const nlmsghdr& message) {
  const auto a = decode_address(message);
  if (!a || !a->protocol) return;
  const auto add = encode_address_add(a->index, a->prefix, {a->eip_form}, *a->protocol);
  require(decoded(add, decode_address) == a, "an address that is added");
  const auto gone = decoded(encode_address_delete(a->index, a->prefix), decode_address);
  require(gone && gone->index == a->index && gone->prefix == a->prefix, "one that is deleted");
}

void link(const nlmsghdr& message) {
  const auto l = decode_link(message);
  // No link of a kernel has a longer name, and no request of ours has room for any.
  if (!l || !l->vxlan || l->host.name.size() >= IF_NAMESIZE) return;
  Buffer create = encode_tunnel_create(l->host.name, *l->vxlan);
  reinterpret_cast<ifinfomsg*>(create.data() + NLMSG_HDRLEN)->ifi_index = 1; // the kernel's part
  const auto made = decoded(create, decode_link);
  require(made && made->vxlan, "a tunnel that is made");
  Vxlan same = *l->vxlan;
  same.sound = false; // its settings are a request of their own
  require(*made->vxlan == same && made->host.name == l->host.name && !made->learning, "as asked");
}

void route(const nlmsghdr& message) {
  auto r = decode_route(message);
  if (!r) return;
  for (auto* number : {&r->key.table, &r->key.metric, &r->index}) *number = ~*number;
  RouteValue value;
  switch (r->kernel_type) {
    case RTN_UNICAST:
      value.via = r->via;
      break;
    case RTN_BLACKHOLE:
      value.type = RouteType::Blackhole;
      break;
    case RTN_THROW:
      value.type = RouteType::Throw;
      break;
    default:
      return;
  }
  RouteInfo same = *r;
  if (r->kernel_type != RTN_UNICAST) same.index = 0, same.via.reset();
  // "default" has no address in a request, and in no dump.
  if (r->key.destination.length == 0)
    same.key.destination = Prefix::all(r->key.destination.family());
  for (const bool replace : {false, true}) {
    const auto put = encode_route_put(r->key, value, r->index, r->protocol, replace);
    require(decoded(put, decode_route) == same, "a route that is put");
  }
  const auto gone = decoded(encode_route_delete(r->key, r->protocol), decode_route);
  require(gone && gone->key == same.key && gone->protocol == r->protocol, "one that is deleted");
}

void rule(const nlmsghdr& message) {
  auto r = decode_routing_rule(message);
  if (!r || !r->plain) return;
  for (auto* number : {&r->rule.priority, &r->rule.mark, &r->rule.mask}) *number = ~*number;
  if (r->rule.action != RuleAction::Nop) r->rule.target = ~r->rule.target;
  RuleInfo same = *r;
  if (same.rule.mask == 0) same.rule.mark = 0; // then no mark is looked at
  for (const bool add : {false, true}) {
    const auto request = encode_routing_rule(r->rule, r->protocol, add);
    require(decoded(request, decode_routing_rule) == same, "a rule of ours");
  }
}

void neighbour(const nlmsghdr& message) {
  const auto n = decode_neighbour(message);
  if (!n || !n->address) return;
  NeighbourInfo same = *n;
  same.permanent = true;
  const auto put = n->fdb ? encode_fdb_put(n->index, n->mac, *n->address)
                          : encode_neighbour_put(n->index, *n->address, n->mac);
  require(decoded(put, decode_neighbour) == same, "a neighbour that is put");
}

// What is known already is no news.
void event(const nlmsghdr& message, Known& known) {
  (void)concerns_us(message, Ownership{}, known);
  switch (message.nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
    case RTM_NEWADDR:
    case RTM_DELADDR:
      require(!concerns_us(message, Ownership{}, known), "an event that comes twice");
      break;
    default:
      break;
  }
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Buffer bytes = test::datagram(data, size);
  Known known;
  known.tunnel = 3;
  for_each_message(bytes, [&](const nlmsghdr& h) {
    address(h);
    link(h);
    route(h);
    rule(h);
    neighbour(h);
    event(h, known);
    if (h.nlmsg_type != NLMSG_ERROR) return;
    const Refusal refusal = parse_error(h);
    require(!describe(refusal.code, refusal.text).empty(), "a refusal has words");
  });
  return 0;
}
