// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "net/diff.hpp"
#include "net/state_text.hpp"

namespace egw::net {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

const char* name(Family f) {
  return f == Family::V4 ? "IPv4" : "IPv6";
}

std::string set_name(NftFamily family, const std::string& set) {
  return fmt::format("{} set {}", to_string(family), set);
}

} // namespace

std::string to_string(NftFamily family) {
  switch (family) {
    case NftFamily::Ip:
      return "ip";
    case NftFamily::Ip6:
      return "ip6";
    case NftFamily::Arp:
      return "arp";
  }
  return "?";
}

std::string to_string(const RouteKey& key) {
  return fmt::format("{} table {} metric {}", key.destination.to_string(), key.table, key.metric);
}

std::string to_string(const RouteValue& value) {
  if (value.type == RouteType::Blackhole) return "blackhole";
  if (value.type == RouteType::Throw) return "throw";
  return (value.via ? "via " + value.via->to_string() + " " : std::string()) + "dev " + value.link;
}

std::string to_string(const RoutingRule& r) {
  std::string text = fmt::format("{} pref {}", name(r.family), r.priority);
  if (r.mask != 0) text += fmt::format(" fwmark {:#x}/{:#x}", r.mark, r.mask);
  switch (r.action) {
    case RuleAction::Lookup:
      return text + fmt::format(" lookup {}", r.target);
    case RuleAction::Goto:
      return text + fmt::format(" goto {}", r.target);
    case RuleAction::Nop:
      return text + " nop";
  }
  return text;
}

std::string to_string(const ElementKey& key) {
  std::string text;
  for (const std::uint8_t b : key.first) text += fmt::format("{:02x}", b);
  if (!key.last.empty() && key.last != key.first) {
    text += '-';
    for (const std::uint8_t b : key.last) text += fmt::format("{:02x}", b);
  }
  return text;
}

std::string to_string(const LinkOp& op) {
  return std::visit(
      Overloaded{
          [](const PutTunnel& o) {
            return fmt::format("{} the tunnel: vxlan id {} port {} local {} mac {} mtu {}",
                               o.recreate ? "remake" : "make", o.vxlan.vni, o.vxlan.port,
                               o.vxlan.local.to_string(), o.vxlan.mac.to_string(), o.vxlan.mtu);
          },
          [](const DeleteTunnel&) { return std::string("delete the tunnel"); },
          [](const PutAddress& o) {
            return fmt::format("add {}address {} on {}", o.value.eip ? "egress IP " : "",
                               o.key.prefix.to_string(), o.key.link);
          },
          [](const DeleteAddress& o) {
            return fmt::format("delete address {} on {}", o.key.prefix.to_string(), o.key.link);
          },
          [](const PutRoute& o) {
            return fmt::format("{} route {} {}", o.replace ? "replace" : "add", to_string(o.key),
                               to_string(o.value));
          },
          [](const DeleteRoute& o) { return "delete route " + to_string(o.key); },
          [](const AddRule& o) { return "add rule " + to_string(o.rule); },
          [](const DeleteRule& o) { return "delete rule " + to_string(o.rule); },
          [](const PutNeighbour& o) {
            return fmt::format("put neighbour {} at {}", o.key.address.to_string(),
                               o.mac.to_string());
          },
          [](const DeleteNeighbour& o) { return "delete neighbour " + o.key.address.to_string(); },
          [](const PutFdb& o) {
            return fmt::format("put forwarding entry {} to {}", o.mac.to_string(),
                               o.peer.to_string());
          },
          [](const DeleteFdb& o) { return "delete forwarding entry " + o.mac.to_string(); },
          [](const PutForwardAccepts& o) {
            return fmt::format("insert the two accepts in {} filter FORWARD", name(o.family));
          },
          [](const DeleteForwardAccepts& o) {
            return fmt::format("delete the two accepts in {} filter FORWARD", name(o.family));
          },
      },
      op);
}

std::string to_string(const NftOp& op) {
  return std::visit(
      Overloaded{
          [](const AddTable& o) { return "add table " + to_string(o.family); },
          [](const TakeTable& o) { return "take table " + to_string(o.family); },
          [](const DeleteTable& o) { return "delete table " + to_string(o.family); },
          [](const AddSet& o) { return "add " + set_name(o.family, o.name); },
          [](const DeleteSet& o) { return "delete " + set_name(o.family, o.name); },
          [](const AddElements& o) {
            return fmt::format("add {} element{} to {}", o.elements.size(),
                               o.elements.size() == 1 ? "" : "s", set_name(o.family, o.set));
          },
          [](const DeleteElements& o) {
            return fmt::format("delete {} element{} from {}", o.elements.size(),
                               o.elements.size() == 1 ? "" : "s", set_name(o.family, o.set));
          },
          [](const AddTimedElements& o) {
            return fmt::format("add {} element{} to {} for {} s", o.keys.size(),
                               o.keys.size() == 1 ? "" : "s", set_name(o.family, o.set),
                               std::chrono::duration_cast<std::chrono::seconds>(o.timeout).count());
          },
          [](const AddChain& o) {
            return fmt::format("add {} chain {}", to_string(o.family), o.name);
          },
          [](const DeleteChain& o) {
            return fmt::format("delete {} chain {}", to_string(o.family), o.name);
          },
          [](const ReplaceRules& o) {
            if (o.rules.empty())
              return fmt::format("empty {} chain {}", to_string(o.family), o.chain);
            return fmt::format("write {} rule{} of {} chain {}", o.rules.size(),
                               o.rules.size() == 1 ? "" : "s", to_string(o.family), o.chain);
          },
      },
      op);
}

} // namespace egw::net
