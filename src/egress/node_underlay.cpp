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

// What an address of the tunnel may be. Empty sets and lists ask for nothing.
struct Wanted {
  std::set<Address> known; // by the API server
  LinkChoice choice;

  [[nodiscard]] bool link(const std::string& name) const {
    return choice.names.empty() || matches(choice.names, name);
  }
  [[nodiscard]] bool known_address(const Address& a) const {
    return usable(a) && (known.empty() || known.contains(a));
  }
  // Of the outer packets: a subnet that was chosen is believed.
  [[nodiscard]] bool local(const Address& a) const {
    if (choice.subnets.empty()) return known_address(a);
    return usable(a) && contains(choice.subnets, a);
  }
};

template <class Right>
std::optional<Address> on_link(const net::Host& host, const std::string& link, Family family,
                               const Right& right) {
  const auto addresses = host.addresses.find(link);
  if (addresses == host.addresses.end()) return std::nullopt;
  std::optional<Address> host_prefix;
  for (const Prefix& p : addresses->second) {
    if (p.family() != family || !right(p.address)) continue;
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
          const Wanted& wanted) {
  const auto found = host.links.find(link);
  if (u.local || found == host.links.end() || !wanted.link(link)) return;
  const auto local = on_link(host, link, family, [&](const Address& a) { return wanted.local(a); });
  if (!local) return;
  u.local = local;
  u.link = found->second.index;
  u.parent.name = link;
  // The other family serves policies that use the node's own address.
  for (const Family each : {Family::V4, Family::V6}) {
    const auto address = each == family ? local : on_link(host, link, each, [&](const Address& a) {
      return wanted.known_address(a);
    });
    auto& text = each == Family::V4 ? u.parent.ipv4 : u.parent.ipv6;
    if (address) text = address->to_string();
  }
}

// Of the Node's annotation; nothing: there is none.
std::optional<Result<LinkChoice>> annotated(const api::EgressNode& node) {
  const auto text = node.meta.annotations.find(api::kAnnotationTunnelParent);
  if (!text || text->empty()) return std::nullopt;
  return parse_link_choice(*text);
}

std::string why_none(const Wanted& wanted) {
  const std::string known = join(wanted.known);
  if (!wanted.choice.empty()) {
    return fmt::format(
        "no interface for the tunnel: none that '{}' chooses has an address{}; correct "
        "--tunnel-interface and --tunnel-cidr, or the Node's annotation {}",
        to_string(wanted.choice),
        known.empty() || !wanted.choice.subnets.empty()
            ? ""
            : fmt::format(" that the Node object lists ({}), nor does --tunnel-cidr name a subnet",
                          known),
        api::kAnnotationTunnelParent);
  }
  if (known.empty()) {
    return "no interface for the tunnel: this node has no default route with an address on its "
           "interface; add one";
  }
  return fmt::format(
      "no interface for the tunnel: no interface has an address that the Node "
      "object lists ({}); correct one of them",
      known);
}

} // namespace

Underlay find_underlay(const AgentWorld& world, const NodeAddresses& told, const net::Host& host,
                       const NodeOptions& options) {
  Underlay u;
  Wanted wanted{known_addresses(world.node, told, host), options.tunnel_parent};
  if (const auto self = world.nodes.find(world.node); self != world.nodes.end()) {
    if (auto choice = annotated(self->second)) {
      if (!*choice) {
        u.problem = fmt::format("no interface for the tunnel: the Node's annotation {}: {}",
                                api::kAnnotationTunnelParent, choice->error().message);
        return u;
      }
      wanted.choice = std::move(*choice).value();
    }
  }
  const bool any = !wanted.known.empty() || !wanted.choice.empty();
  for (const Family family : {Family::V4, Family::V6}) {
    const auto link = host.default_link.find(family);
    if (link != host.default_link.end()) take(u, host, link->second, family, wanted);
    for (const bool up : {true, false}) {
      for (const auto& [name, other] : host.links) {
        if (!any || other.up != up || !is_candidate(other, options.ownership.device)) continue;
        take(u, host, name, family, wanted);
      }
    }
    if (u.local) return u;
  }
  u.problem = why_none(wanted);
  return u;
}

std::optional<Address> peer_underlay(const NodeAddresses& told, const api::EgressNode& peer,
                                     Family family, const NodeOptions& options) {
  const auto& parent = peer.status.parent;
  const auto address = Address::parse(family == Family::V4 ? parent.ipv4 : parent.ipv6);
  if (!address || address->family != family || !usable(*address)) return std::nullopt;
  if (told.has(peer.meta.name, *address).value_or(true)) return *address;
  if (contains(options.tunnel_parent.subnets, *address)) return *address;
  const auto choice = annotated(peer);
  if (choice && *choice && contains(choice->value().subnets, *address)) return *address;
  return std::nullopt;
}

IntervalSet node_addresses(const AgentWorld& world, const NodeAddresses& told,
                           const net::Host& host, const NodeOptions& options) {
  std::vector<Range> all = told.all().ranges();
  for (const auto& [name, node] : world.nodes) {
    for (const Family family : {Family::V4, Family::V6}) {
      if (const auto address = peer_underlay(told, node, family, options)) {
        all.push_back(Range::of(*address));
      }
    }
  }
  for (const auto& [link, prefixes] : host.addresses) {
    for (const Prefix& p : prefixes) all.push_back(Range::of(p.address));
  }
  return IntervalSet(std::move(all));
}

std::uint32_t tunnel_mtu(const net::Host& host, const Underlay& underlay,
                         const std::string& device) {
  if (!underlay.local) return 0;
  // VXLAN_HEADROOM and VXLAN6_HEADROOM of the kernel: IP, UDP, VXLAN and Ethernet.
  const std::uint32_t headroom = underlay.local->family == Family::V4 ? 20 + 30 : 40 + 30;
  std::uint32_t mtu = 0;
  if (const auto parent = host.links.find(underlay.parent.name); parent != host.links.end()) {
    mtu = parent->second.mtu > headroom ? parent->second.mtu - headroom : 0;
  }
  const auto tunnel = host.links.find(device);
  if (tunnel == host.links.end() || tunnel->second.mtu == 0) return mtu;
  return mtu == 0 ? tunnel->second.mtu : std::min(mtu, tunnel->second.mtu);
}

EipLink link_for(const Address& eip, const net::Host& host, const std::string& parent,
                 const NodeOptions& options) {
  const auto may_bear = [&](const std::string& name) {
    return (options.eip_links.empty() || matches(options.eip_links, name)) &&
           !matches(options.no_eip_links, name);
  };
  EipLink best{may_bear(parent) ? parent : "", false};
  int best_length = -1;
  for (const auto& [name, prefixes] : host.addresses) {
    const auto link = host.links.find(name);
    if (link == host.links.end() || !is_candidate(link->second, options.ownership.device)) continue;
    if (!may_bear(name)) continue;
    for (const Prefix& p : prefixes) {
      // An address of the host carries its host bits; one without others beside it is no subnet.
      const auto subnet = Prefix::parse(p.to_string());
      if (p.length == p.address.bits() || !subnet || !subnet->contains(eip)) continue;
      if (p.length > best_length || (p.length == best_length && name == parent)) {
        best = {name, true};
        best_length = p.length;
      }
    }
  }
  return best;
}

} // namespace egw::egress
