// SPDX-License-Identifier: Apache-2.0
#include "net/rtnl_write.hpp"

#include <fmt/format.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>

#include "net/gro.hpp"
#include "net/iptables_forward.hpp"
#include "net/rtnl_address.hpp"
#include "net/rtnl_link.hpp"
#include "net/rtnl_neighbour.hpp"
#include "net/rtnl_route.hpp"
#include "net/state_text.hpp"

namespace egw::net {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

bool deletes(const LinkOp& op) {
  return std::visit(Overloaded{
                        [](const DeleteTunnel&) { return true; },
                        [](const DeleteAddress&) { return true; },
                        [](const DeleteRoute&) { return true; },
                        [](const DeleteRule&) { return true; },
                        [](const DeleteNeighbour&) { return true; },
                        [](const DeleteFdb&) { return true; },
                        [](const auto&) { return false; },
                    },
                    op);
}

constexpr int kTunnelTries = 3;

bool means_gone(int code) {
  constexpr std::array codes{ENOENT, ESRCH, ENODEV, ENXIO, EADDRNOTAVAIL};
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

} // namespace

std::vector<Error> RtnlWriter::apply(const std::vector<LinkOp>& ops) {
  errors_.clear();
  for (const LinkOp& op : ops) step(op);
  flush();
  return std::move(errors_);
}

void RtnlWriter::fail(const LinkOp& op, const std::string& why, int code) {
  errors_.push_back({to_string(op) + ": " + why, code});
}

void RtnlWriter::step(const LinkOp& op) {
  const auto with_tunnel = [&](const auto& encode) {
    if (known_.tunnel != 0) {
      queue(op, encode(known_.tunnel));
    } else if (!deletes(op)) {
      fail(op, fmt::format("there is no tunnel {}", own_.device), ENODEV);
    }
  };
  std::visit(
      Overloaded{
          [&](const PutTunnel& o) {
            flush();
            put_tunnel(op, o);
          },
          [&](const DeleteTunnel&) {
            flush();
            delete_tunnel(op);
          },
          [&](const PutAddress& o) {
            if (const auto index = index_of(op, o.key.link); index != 0)
              queue(op, encode_address_add(index, o.key.prefix, o.value, own_.route_protocol));
          },
          [&](const DeleteAddress& o) {
            if (const LinkInfo* link = known_.link(o.key.link))
              queue(op, encode_address_delete(link->host.index, o.key.prefix));
          },
          [&](const PutRoute& o) {
            std::uint32_t index = 0;
            if (o.value.type == RouteType::Unicast) {
              index = index_of(op, o.value.link);
              if (index == 0) return;
            }
            queue(op, encode_route_put(o.key, o.value, index, own_.route_protocol, o.replace));
          },
          [&](const DeleteRoute& o) { queue(op, encode_route_delete(o.key, own_.route_protocol)); },
          [&](const AddRule& o) {
            queue(op, encode_routing_rule(o.rule, own_.route_protocol, true));
          },
          [&](const DeleteRule& o) {
            queue(op, encode_routing_rule(o.rule, own_.route_protocol, false));
          },
          [&](const PutNeighbour& o) {
            with_tunnel(
                [&](std::uint32_t i) { return encode_neighbour_put(i, o.key.address, o.mac); });
          },
          [&](const DeleteNeighbour& o) {
            with_tunnel([&](std::uint32_t i) { return encode_neighbour_delete(i, o.key.address); });
          },
          [&](const PutFdb& o) {
            with_tunnel([&](std::uint32_t i) { return encode_fdb_put(i, o.mac, o.peer); });
          },
          [&](const DeleteFdb& o) {
            with_tunnel([&](std::uint32_t i) { return encode_fdb_delete(i, o.mac, o.peer); });
          },
          [&](const PutForwardAccepts& o) {
            const auto result = put_forward_accepts(netfilter_, o.family, own_.device);
            if (!result) fail(op, result.error().message, result.error().code);
          },
          [&](const DeleteForwardAccepts& o) {
            const auto result = delete_forward_accepts(netfilter_, o.family, own_.device);
            if (!result) fail(op, result.error().message, result.error().code);
          },
      },
      op);
}

void RtnlWriter::flush() {
  const std::vector<Pending> sent = std::exchange(pending_, {});
  std::vector<Buffer> messages;
  messages.reserve(sent.size());
  for (const Pending& p : sent) messages.push_back(p.message);
  const std::vector<Refusal> refusals = route_.transact(std::move(messages));
  auto refusal = refusals.begin();
  for (std::size_t i = 0; i < sent.size(); ++i) {
    if (refusal != refusals.end() && refusal->index == i) {
      refused(*sent[i].op, *refusal++);
    } else {
      done(*sent[i].op);
    }
  }
}

void RtnlWriter::refused(const LinkOp& op, const Refusal& refusal) {
  if (deletes(op) && means_gone(refusal.code)) return done(op);
  if (refusal.code == EEXIST) {
    if (std::holds_alternative<AddRule>(op)) return;
    if (const auto* address = std::get_if<PutAddress>(&op)) return address_exists(op, *address);
    if (const auto* route = std::get_if<PutRoute>(&op)) return route_exists(op, *route);
  }
  fail(op, describe(refusal.code, refusal.text), refusal.code);
}

void RtnlWriter::done(const LinkOp& op) {
  std::visit(Overloaded{
                 [&](const PutAddress& o) {
                   if (const LinkInfo* link = known_.link(o.key.link))
                     known_.addresses[{link->host.index, o.key.prefix}] = o.value.eip;
                 },
                 [&](const DeleteAddress& o) {
                   if (const LinkInfo* link = known_.link(o.key.link))
                     known_.addresses.erase({link->host.index, o.key.prefix});
                 },
                 [&](const PutNeighbour& o) { known_.neighbours[o.key.address] = o.mac; },
                 [&](const DeleteNeighbour& o) { known_.neighbours.erase(o.key.address); },
                 [&](const PutFdb& o) { known_.fdb[o.mac] = o.peer; },
                 [&](const DeleteFdb& o) { known_.fdb.erase(o.mac); },
                 [](const auto&) {},
             },
             op);
}

std::uint32_t RtnlWriter::index_of(const LinkOp& op, const std::string& name) {
  if (const LinkInfo* link = known_.link(name)) return link->host.index;
  if (auto link = get_link(name)) { // came up after the last look
    const std::uint32_t index = link->host.index;
    known_.links[index] = *std::move(link);
    return index;
  }
  fail(op, "there is no link " + name, ENODEV);
  return 0;
}

std::optional<LinkInfo> RtnlWriter::get_link(const std::string& name) {
  const auto answer = route_.get(encode_link_get(name));
  if (!answer) return {};
  return decode_link(*reinterpret_cast<const nlmsghdr*>(answer->data()));
}

// Ours bears our alias. One that was made a moment ago by a process that died before it could set
// the alias is told by being down, without alias, and exactly what was asked for.
bool RtnlWriter::is_ours(const LinkInfo& link, const Vxlan* wanted) const {
  if (!link.vxlan) return false;
  if (link.alias == own_.alias) return true;
  return wanted && link.alias.empty() && !link.host.up && link.host.mac == wanted->mac &&
         link.vxlan->vni == wanted->vni && link.vxlan->port == wanted->port &&
         link.vxlan->local == wanted->local && link.vxlan->parent == wanted->parent;
}

bool RtnlWriter::send_tunnel(const LinkOp& op, std::vector<Buffer> messages) {
  const auto refusals = route_.transact(std::move(messages));
  if (refusals.empty()) return true;
  fail(op, describe(refusals[0].code, refusals[0].text), refusals[0].code);
  return false;
}

std::optional<bool> RtnlWriter::other_gro(std::uint32_t parent) const {
  const auto link = known_.links.find(parent);
  return link == known_.links.end() ? std::nullopt : missing_gro(route_, own_.device, link->second);
}

void RtnlWriter::put_tunnel(const LinkOp& op, const PutTunnel& put) {
  take_events_(false);
  auto link = get_link(own_.device);
  if (link && !is_ours(*link, &put.vxlan)) {
    fail(
        op,
        fmt::format("a link named {} is there and is not ours (its alias is not \"{}\"): rename or "
                    "delete it, or configure another device name",
                    own_.device, own_.alias),
        EEXIST);
    return;
  }
  if (link && put.recreate) {
    if (!send_tunnel(op, {encode_link_delete(link->host.index)})) return;
    known_.forget_link(link->host.index);
    link.reset();
  }
  // What is told of the tunnel while we change it is taken for ours: whether another changed it in
  // between, the look at the end shows.
  for (int tries = 0; tries < kTunnelTries; ++tries) {
    std::vector<Buffer> messages;
    if (link && link->host.mac != put.vxlan.mac) known_.neighbours.clear(); // the kernel drops them
    if (!link) {
      messages.push_back(encode_tunnel_create(own_.device, put.vxlan));
    } else if (link->host.mac != put.vxlan.mac ||
               (put.vxlan.mtu != 0 && link->host.mtu != put.vxlan.mtu)) {
      messages.push_back(encode_tunnel_change(own_.device, link->host, put.vxlan));
    }
    if (link && link->learning) messages.push_back(encode_tunnel_no_learning(own_.device));
    messages.push_back(encode_tunnel_settings(own_.device, own_.alias));
    messages.push_back(encode_tunnel_up(own_.device));
    bool sent = send_tunnel(op, std::move(messages));
    if (const auto on = other_gro(put.vxlan.parent)) {
      const auto set = set_gro(route_, own_.device, *on);
      if (!set) fail(op, set.error().message, set.error().code);
      sent = sent && set.ok();
    }
    take_events_(true);
    link = get_link(own_.device);
    if (!link || !is_ours(*link, &put.vxlan)) {
      if (sent) fail(op, "it was deleted by another at once", ENODEV);
      return;
    }
    known_.tunnel = link->host.index;
    known_.links[known_.tunnel] = *link;
    // Not the MTU: the parent may allow less.
    const bool right =
        link->vxlan->sound && link->host.mac == put.vxlan.mac && !other_gro(put.vxlan.parent);
    if (!sent || right) return;
  }
  fail(op, "another program changes it as fast as it is put right", EAGAIN);
}

void RtnlWriter::delete_tunnel(const LinkOp& op) {
  take_events_(false);
  const auto link = get_link(own_.device);
  if (!link || !is_ours(*link, nullptr)) return;
  if (send_tunnel(op, {encode_link_delete(link->host.index)})) known_.forget_link(link->host.index);
  take_events_(true);
}

// The link has the address already: ours in another form is made anew, another's is left alone.
void RtnlWriter::address_exists(const LinkOp& op, const PutAddress& put) {
  const LinkInfo* link = known_.link(put.key.link);
  const auto replies = route_.dump(encode_address_dump());
  if (!link || !replies) return fail(op, "cannot be read back", EEXIST);
  std::optional<AddressInfo> found;
  for_each_reply(*replies, [&](const nlmsghdr& h) {
    const auto a = decode_address(h);
    if (a && a->index == link->host.index && a->prefix.address == put.key.prefix.address) found = a;
  });
  const bool ours = found && (link->host.index == known_.tunnel ||
                              found->protocol.value_or(0) == own_.route_protocol ||
                              (!found->protocol && found->eip_form));
  if (!ours) {
    const std::string there = found ? found->prefix.to_string() : std::string("it");
    return fail(
        op,
        fmt::format("{} already has {}, which is not ours: remove it there, or choose another "
                    "address",
                    put.key.link, there),
        EEXIST);
  }
  if (found->prefix == put.key.prefix && found->eip_form == put.value.eip) return done(op);
  const auto refusals = route_.transact(
      {encode_address_delete(found->index, found->prefix),
       encode_address_add(found->index, put.key.prefix, put.value, own_.route_protocol)});
  if (!refusals.empty())
    return fail(op, describe(refusals[0].code, refusals[0].text), refusals[0].code);
  done(op);
}

void RtnlWriter::route_exists(const LinkOp& op, const PutRoute& put) {
  const auto replies =
      route_.dump(encode_route_dump(put.key.destination.family(), 0, put.key.table));
  if (!replies) return fail(op, replies.error().message, replies.error().code);
  std::optional<std::uint8_t> protocol;
  for_each_reply(*replies, [&](const nlmsghdr& h) {
    const auto r = decode_route(h);
    if (r && r->key == put.key) protocol = r->protocol;
  });
  if (protocol && *protocol != own_.route_protocol) {
    return fail(op,
                fmt::format("routing protocol {} holds this route: configure another table number",
                            *protocol),
                EEXIST);
  }
  std::uint32_t index = 0;
  if (put.value.type == RouteType::Unicast) index = index_of(op, put.value.link);
  const auto refusals =
      route_.transact({encode_route_put(put.key, put.value, index, own_.route_protocol, true)});
  if (!refusals.empty()) fail(op, describe(refusals[0].code, refusals[0].text), refusals[0].code);
}

} // namespace egw::net
