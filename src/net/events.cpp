// SPDX-License-Identifier: Apache-2.0
#include "net/events.hpp"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>

#include <algorithm>

#include "net/attributes.hpp"
#include "net/iptables_forward.hpp"
#include "net/rtnl_address.hpp"
#include "net/rtnl_neighbour.hpp"
#include "net/rtnl_route.hpp"

namespace egw::net {
namespace {

bool has_addresses(const Known& known, std::uint32_t index) {
  return std::any_of(known.addresses.begin(), known.addresses.end(),
                     [&](const auto& a) { return a.first.first == index; });
}

bool tells_of_features(const nlmsghdr& message) {
  return attributes_of(message, sizeof(ifinfomsg)).u32(IFLA_EVENT) == IFLA_EVENT_FEATURES;
}

// Links without addresses (pods' ends, bridge ports) come and go all the time and concern nobody
// here.
bool link_event(const nlmsghdr& message, const Ownership& ownership, Known& known) {
  auto link = decode_link(message);
  if (!link) return false;
  const std::uint32_t index = link->host.index;
  const auto it = known.links.find(index);
  const bool matters =
      index == known.tunnel || link->host.name == ownership.device || has_addresses(known, index);
  if (message.nlmsg_type == RTM_DELLINK) {
    if (it == known.links.end()) return false;
    known.forget_link(index);
    return matters;
  }
  if (it != known.links.end() && it->second == *link) {
    // Offloads are nowhere in the message. The tunnel's GRO depends on its parent's.
    const auto ours = known.links.find(known.tunnel);
    const bool of_tunnel = ours != known.links.end() && ours->second.vxlan &&
                           (index == known.tunnel || index == ours->second.vxlan->parent);
    return of_tunnel && tells_of_features(message);
  }
  const bool had_our_name = it != known.links.end() && it->second.host.name == ownership.device;
  known.links[index] = *std::move(link);
  return matters || had_our_name;
}

bool address_event(const nlmsghdr& message, Known& known) {
  const auto a = decode_address(message);
  if (!a) return false;
  const auto key = std::pair(a->index, a->prefix);
  const bool matters = a->index == known.tunnel || !a->prefix.address.is_link_local();
  const auto it = known.addresses.find(key);
  if (message.nlmsg_type == RTM_DELADDR) {
    if (it == known.addresses.end()) return false;
    known.addresses.erase(it);
    return matters;
  }
  if (it != known.addresses.end() && it->second == a->eip_form) return false;
  known.addresses[key] = a->eip_form;
  return matters;
}

bool route_event(const nlmsghdr& message, const Ownership& ownership, const Known& known) {
  const auto r = decode_route(message);
  if (!r) return false;
  if (r->protocol == ownership.route_protocol) {
    // Routes of a link that we deleted ourselves go without saying.
    return r->index == 0 || known.links.contains(r->index);
  }
  return r->key.table == RT_TABLE_MAIN && r->key.destination.length == 0;
}

bool neighbour_event(const nlmsghdr& message, Known& known) {
  const auto n = decode_neighbour(message);
  if (!n || known.tunnel == 0 || n->index != known.tunnel || !n->address) return false;
  const bool goes = message.nlmsg_type == RTM_DELNEIGH;
  if (n->fdb) {
    const auto it = known.fdb.find(n->mac);
    const bool same = it != known.fdb.end() && it->second == *n->address;
    return goes ? same : !same;
  }
  const auto it = known.neighbours.find(*n->address);
  if (it == known.neighbours.end()) return !goes && n->permanent;
  return goes || !n->permanent || n->mac != it->second;
}

} // namespace

void Known::forget_link(std::uint32_t index) {
  links.erase(index);
  std::erase_if(addresses, [&](const auto& a) { return a.first.first == index; });
  if (index != tunnel) return;
  tunnel = 0;
  neighbours.clear();
  fdb.clear();
}

const LinkInfo* Known::link(const std::string& name) const {
  const auto it = std::find_if(links.begin(), links.end(),
                               [&](const auto& l) { return l.second.host.name == name; });
  return it == links.end() ? nullptr : &it->second;
}

bool concerns_us(const nlmsghdr& message, const Ownership& ownership, Known& known) {
  switch (message.nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return link_event(message, ownership, known);
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return address_event(message, known);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return route_event(message, ownership, known);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return neighbour_event(message, known);
    case RTM_NEWRULE:
    case RTM_DELRULE: {
      const auto r = decode_routing_rule(message);
      return r && r->protocol == ownership.route_protocol;
    }
    default:
      return false;
  }
}

bool nft_concerns_us(const nlmsghdr& message, const Ownership& ownership) {
  if (message.nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES) return false;
  const int type = message.nlmsg_type & 0xff;
  if (type == NFT_MSG_NEWGEN) return false; // the messages before it said what changed
  const auto* h = header_of<nfgenmsg>(message);
  if (!h) return false;
  const bool ip = h->nfgen_family == NFPROTO_IPV4 || h->nfgen_family == NFPROTO_IPV6;
  if (!ip && h->nfgen_family != NFPROTO_ARP) return false;
  const Attributes a = attributes_of(message, sizeof *h);
  // The table's name is the first attribute in every kind of message.
  const std::string table = a.string(NFTA_TABLE_NAME).value_or("");
  if (table == ownership.table) {
    const bool elements = type == NFT_MSG_NEWSETELEM || type == NFT_MSG_DELSETELEM;
    return !elements || a.string(NFTA_SET_ELEM_LIST_SET) != kLeaseSet;
  }
  if (!ip || table != kIptablesTable) return false;
  switch (type) {
    case NFT_MSG_DELTABLE:
      return true;
    case NFT_MSG_NEWCHAIN:
    case NFT_MSG_DELCHAIN:
      return a.string(NFTA_CHAIN_NAME) == kIptablesForward;
    case NFT_MSG_NEWRULE:
    case NFT_MSG_DELRULE:
      return a.string(NFTA_RULE_CHAIN) == kIptablesForward;
    default:
      return false;
  }
}

} // namespace egw::net
