// SPDX-License-Identifier: Apache-2.0
#include "egress/node_underlay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

namespace egw::egress {

namespace {

// What the API server knows of this host's addresses; empty: nothing is known (its autodetection
// may be off), or, where nodes are merged, none of them stands there yet.
std::set<Address> known_addresses(const std::string& node, const NodeAddresses& told,
                                  const net::Host& host) {
  if (told.named(node)) return told.of(node);
  std::set<Address> known;
  for (const auto& [link, prefixes] : host.addresses) {
    for (const Prefix& p : prefixes) {
      if (told.has(node, p.address).value_or(false)) known.insert(p.address);
    }
  }
  return known;
}

bool usable(const Address& a) {
  return !a.is_loopback() && !a.is_link_local() && !a.is_multicast() && !a.is_unspecified();
}

std::optional<Address> on_link(const net::Host& host, const std::string& link, Family family,
                               const std::set<Address>& known) {
  const auto addresses = host.addresses.find(link);
  if (addresses == host.addresses.end()) return std::nullopt;
  std::optional<Address> host_prefix;
  for (const Prefix& p : addresses->second) {
    if (p.family() != family || !usable(p.address)) continue;
    if (!known.empty() && !known.contains(p.address)) continue;
    if (p.length != p.address.bits()) return p.address;
    // A lone /32 may be somebody's virtual address: only where there is nothing else.
    if (!host_prefix) host_prefix = p.address;
  }
  return host_prefix;
}

bool is_candidate(const net::HostLink& link, const std::string& tunnel_device) {
  return link.name != tunnel_device && link.name != "lo";
}

std::string join(const std::set<Address>& addresses) {
  std::string text;
  for (const Address& a : addresses) text += (text.empty() ? "" : ", ") + a.to_string();
  return text;
}

void take(Underlay& u, const net::Host& host, const std::string& link, Family family,
          const std::set<Address>& known) {
  const auto found = host.links.find(link);
  const auto local = on_link(host, link, family, known);
  if (!local || found == host.links.end()) return;
  const auto v6 = on_link(host, link, Family::V6, known);
  u.local = local;
  u.link = found->second.index;
  u.parent.name = link;
  if (family == Family::V4) u.parent.ipv4 = local->to_string();
  if (v6) u.parent.ipv6 = v6->to_string();
}

} // namespace

Underlay find_underlay(const std::string& node, const NodeAddresses& told, const net::Host& host,
                       const std::string& tunnel_device) {
  const std::set<Address> known = known_addresses(node, told, host);
  Underlay u;
  for (const Family family : {Family::V4, Family::V6}) {
    const auto link = host.default_link.find(family);
    if (link != host.default_link.end()) take(u, host, link->second, family, known);
    if (!u.local && !known.empty()) {
      for (const auto& [name, other] : host.links) {
        if (!u.local && is_candidate(other, tunnel_device)) take(u, host, name, family, known);
      }
    }
    if (u.local) return u;
  }
  u.problem = known.empty() ? "no interface for the tunnel: this node has no default route with an "
                              "address on its interface; add one"
                            : fmt::format(
                                  "no interface for the tunnel: no interface has an address "
                                  "that the Node object lists ({}); correct one of them",
                                  join(known));
  return u;
}

std::optional<Address> peer_underlay(const NodeAddresses& told, const api::EgressNode& peer,
                                     Family family) {
  const auto& parent = peer.status.parent;
  const auto address = Address::parse(family == Family::V4 ? parent.ipv4 : parent.ipv6);
  if (!address || address->family != family || !usable(*address)) return std::nullopt;
  if (!told.has(peer.meta.name, *address).value_or(true)) return std::nullopt;
  return *address;
}

IntervalSet node_addresses(const AgentWorld& world, const NodeAddresses& told,
                           const net::Host& host) {
  std::vector<Range> all = told.all().ranges();
  for (const auto& [name, node] : world.nodes) {
    for (const Family family : {Family::V4, Family::V6}) {
      if (const auto address = peer_underlay(told, node, family)) {
        all.push_back(Range::of(*address));
      }
    }
  }
  for (const auto& [link, prefixes] : host.addresses) {
    for (const Prefix& p : prefixes) all.push_back(Range::of(p.address));
  }
  return IntervalSet(std::move(all));
}

std::string link_for(const Address& eip, const net::Host& host, const std::string& parent,
                     const std::string& tunnel_device) {
  std::string best = parent;
  int best_length = -1;
  for (const auto& [name, prefixes] : host.addresses) {
    const auto link = host.links.find(name);
    if (link == host.links.end() || !is_candidate(link->second, tunnel_device)) continue;
    for (const Prefix& p : prefixes) {
      // An address of the host carries its host bits; one without others beside it is no subnet.
      const auto subnet = Prefix::parse(p.to_string());
      if (p.length == p.address.bits() || !subnet || !subnet->contains(eip)) continue;
      if (p.length > best_length || (p.length == best_length && name == parent)) {
        best = name;
        best_length = p.length;
      }
    }
  }
  return best;
}

} // namespace egw::egress
