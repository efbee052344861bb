// SPDX-License-Identifier: Apache-2.0
#include "net/rtnl_read.hpp"

#include <linux/rtnetlink.h>

#include <system_error>

#include "net/gro.hpp"
#include "net/rtnl_address.hpp"
#include "net/rtnl_neighbour.hpp"
#include "net/rtnl_route.hpp"

namespace egw::net {
namespace {

class RtnlReader {
 public:
  RtnlReader(NetlinkSocket& socket, const Ownership& ownership, Observation& into)
      : socket_(socket), own_(ownership), state_(into.state), host_(into.host) {}

  [[nodiscard]] Known read() {
    read_links();
    read_addresses();
    for (const Family family : {Family::V4, Family::V6}) {
      read_own_routes(family);
      read_default_route(family);
      read_rules(family);
    }
    if (known_.tunnel != 0) read_neighbours();
    return std::move(known_);
  }

 private:
  template <class F>
  void dump(Buffer request, const char* what, const F& each) {
    const auto replies = socket_.dump(std::move(request));
    // ENOENT: the routing table is not there yet. EOPNOTSUPP, EAFNOSUPPORT: a kernel without IPv6.
    if (!replies && (replies.error().code == ENOENT || replies.error().code == EOPNOTSUPP ||
                     replies.error().code == EAFNOSUPPORT))
      return;
    if (!replies)
      throw std::system_error(replies.error().code, std::system_category(),
                              std::string("read ") + what);
    for_each_reply(*replies, each);
  }

  void read_links() {
    dump(encode_link_dump(), "links", [&](const nlmsghdr& h) {
      auto link = decode_link(h);
      if (!link) return;
      host_.links[link->host.name] = link->host;
      if (link->host.name == own_.device && link->alias == own_.alias && link->vxlan) {
        known_.tunnel = link->host.index;
        state_.tunnel = link->vxlan;
      }
      const std::uint32_t index = link->host.index;
      known_.links[index] = *std::move(link);
    });
    if (!state_.tunnel) return;
    const auto parent = known_.links.find(state_.tunnel->parent);
    if (parent != known_.links.end() && missing_gro(socket_, own_.device, parent->second)) {
      state_.tunnel->sound = false;
    }
  }

  [[nodiscard]] std::string link_name(std::uint32_t index) const {
    const auto it = known_.links.find(index);
    return it == known_.links.end() ? std::string() : it->second.host.name;
  }

  void read_addresses() {
    dump(encode_address_dump(), "addresses", [&](const nlmsghdr& h) {
      const auto a = decode_address(h);
      if (!a) return;
      known_.addresses[{a->index, a->prefix}] = a->eip_form;
      const bool on_tunnel = known_.tunnel != 0 && a->index == known_.tunnel;
      const std::string link = link_name(a->index);
      if (on_tunnel ||
          is_our_address(a->prefix.address, a->protocol, a->eip_form, own_, state_.tables)) {
        state_.addresses[{link, a->prefix}] = {.eip = !on_tunnel && a->eip_form};
      } else {
        host_.addresses[link].push_back(a->prefix);
      }
    });
  }

  void read_own_routes(Family family) {
    dump(encode_route_dump(family, own_.route_protocol, 0), "routes", [&](const nlmsghdr& h) {
      const auto r = decode_route(h);
      if (!r || r->protocol != own_.route_protocol) return;
      RouteValue value;
      switch (r->kernel_type) {
        case RTN_BLACKHOLE:
          value.type = RouteType::Blackhole;
          break;
        case RTN_THROW:
          value.type = RouteType::Throw;
          break;
        case RTN_UNICAST:
          value.link = link_name(r->index);
          value.via = r->via;
          break;
        default:
          break; // a unicast route without a link here: equal to none that is desired
      }
      state_.routes.insert_or_assign(r->key, value);
    });
  }

  void read_default_route(Family family) {
    std::optional<std::uint32_t> best;
    std::map<std::string, std::uint32_t> metrics; // of the gateways taken
    dump(encode_route_dump(family, 0, RT_TABLE_MAIN), "routes", [&](const nlmsghdr& h) {
      const auto r = decode_route(h);
      if (!r || r->key.table != RT_TABLE_MAIN || r->key.destination.length != 0 ||
          r->kernel_type != RTN_UNICAST || r->index == 0)
        return;
      const std::string link = link_name(r->index);
      if (r->via && r->via->family == family) {
        const auto [known, fresh] = metrics.emplace(link, r->key.metric);
        if (fresh || r->key.metric < known->second) {
          known->second = r->key.metric;
          host_.gateways[{link, family}] = *r->via;
        }
      }
      if (best && *best <= r->key.metric) return;
      best = r->key.metric;
      host_.default_link[family] = link;
    });
  }

  void read_rules(Family family) {
    dump(encode_routing_rule_dump(family), "rules", [&](const nlmsghdr& h) {
      const auto r = decode_routing_rule(h);
      if (r && r->plain && r->protocol == own_.route_protocol) state_.rules.insert(r->rule);
    });
  }

  void read_neighbours() {
    for (const Family family : {Family::V4, Family::V6}) {
      dump(encode_neighbour_dump(family, known_.tunnel), "neighbours", [&](const nlmsghdr& h) {
        const auto n = decode_neighbour(h);
        if (!n || n->index != known_.tunnel || !n->permanent || !n->address) return;
        state_.neighbours[{*n->address}] = n->mac;
        known_.neighbours[*n->address] = n->mac;
      });
    }
    dump(encode_fdb_dump(known_.tunnel), "forwarding entries", [&](const nlmsghdr& h) {
      const auto n = decode_neighbour(h);
      if (!n || !n->fdb || n->index != known_.tunnel || !n->address) return;
      state_.fdb[n->mac] = *n->address;
      known_.fdb[n->mac] = *n->address;
    });
  }

  NetlinkSocket& socket_;
  const Ownership& own_;
  State& state_;
  Host& host_;
  Known known_;
};

} // namespace

bool is_our_address(const Address& address, std::optional<std::uint8_t> protocol, bool eip_form,
                    const Ownership& ownership, const std::map<NftFamily, Table>& tables) {
  if (protocol) return *protocol == ownership.route_protocol;
  if (!eip_form) return false;
  const auto table = tables.find(address.family == Family::V4 ? NftFamily::Ip : NftFamily::Ip6);
  if (table == tables.end()) return false;
  const auto set = table->second.sets.find(kEipSet);
  if (set == table->second.sets.end()) return false;
  const Bytes key(address.bytes.begin(),
                  address.bytes.begin() + static_cast<std::ptrdiff_t>(address.size()));
  return set->second.elements.contains(ElementKey{key, {}});
}

Known read_rtnl(NetlinkSocket& socket, const Ownership& ownership, Observation& into) {
  return RtnlReader(socket, ownership, into).read();
}

} // namespace egw::net
