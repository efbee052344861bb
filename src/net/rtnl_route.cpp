// SPDX-License-Identifier: Apache-2.0
#include "net/rtnl_route.hpp"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "net/attributes.hpp"

namespace egw::net {
namespace {

std::uint8_t kernel_family(Family f) {
  return f == Family::V4 ? AF_INET : AF_INET6;
}

std::optional<Family> our_family(std::uint8_t f) {
  if (f == AF_INET) return Family::V4;
  if (f == AF_INET6) return Family::V6;
  return {};
}

std::uint8_t kernel_type(RouteType t) {
  switch (t) {
    case RouteType::Unicast:
      return RTN_UNICAST;
    case RouteType::Blackhole:
      return RTN_BLACKHOLE;
    case RouteType::Throw:
      return RTN_THROW;
  }
  return RTN_UNSPEC;
}

rtmsg& put_key(Message& m, const RouteKey& key, std::uint8_t protocol) {
  auto& h = m.header<rtmsg>();
  h.rtm_family = kernel_family(key.destination.family());
  h.rtm_dst_len = key.destination.length;
  h.rtm_protocol = protocol;
  h.rtm_table = static_cast<std::uint8_t>(key.table < 256 ? key.table : RT_TABLE_COMPAT);
  m.u32(RTA_TABLE, key.table);
  if (key.destination.length > 0) m.address(RTA_DST, key.destination.address);
  m.u32(RTA_PRIORITY, key.metric);
  return h;
}

// The first next hop of a multipath route stands for all of them: one link says where it leaves.
void decode_multipath(const Attributes& a, RouteInfo& route) {
  const auto hops = a.bytes(RTA_MULTIPATH);
  if (hops.size() < sizeof(rtnexthop)) return;
  const auto* hop = reinterpret_cast<const rtnexthop*>(hops.data());
  route.index = static_cast<std::uint32_t>(hop->rtnh_ifindex);
  if (hop->rtnh_len <= sizeof *hop || hop->rtnh_len > hops.size()) return;
  route.via =
      Attributes(hops.subspan(sizeof *hop, hop->rtnh_len - sizeof *hop)).address(RTA_GATEWAY);
}

} // namespace

std::optional<RouteInfo> decode_route(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWROUTE && message.nlmsg_type != RTM_DELROUTE) return {};
  const auto* h = header_of<rtmsg>(message);
  if (!h || (h->rtm_flags & RTM_F_CLONED) != 0) return {};
  const auto family = our_family(h->rtm_family);
  if (!family) return {};
  const Attributes a = attributes_of(message, sizeof *h);

  RouteInfo route;
  const Address to = a.address(RTA_DST).value_or(Address::zero(*family));
  if (to.family != *family || h->rtm_dst_len > to.bits()) return {};
  route.key.table = a.u32(RTA_TABLE).value_or(h->rtm_table);
  route.key.destination = {to, h->rtm_dst_len};
  route.key.metric = a.u32(RTA_PRIORITY).value_or(0);
  route.kernel_type = h->rtm_type;
  route.protocol = h->rtm_protocol;
  route.index = a.u32(RTA_OIF).value_or(0);
  route.via = a.address(RTA_GATEWAY);
  if (a.has(RTA_MULTIPATH)) decode_multipath(a, route);
  return route;
}

Buffer encode_route_dump(Family family, std::uint8_t protocol, std::uint32_t table) {
  Message m(RTM_GETROUTE, 0);
  auto& h = m.header<rtmsg>();
  h.rtm_family = kernel_family(family);
  h.rtm_protocol = protocol;
  if (table != 0) m.u32(RTA_TABLE, table);
  return m.bytes();
}

Buffer encode_route_put(const RouteKey& key, const RouteValue& value, std::uint32_t index,
                        std::uint8_t protocol, bool replace) {
  Message m(RTM_NEWROUTE, NLM_F_CREATE);
  m.add_flags(replace ? NLM_F_REPLACE : NLM_F_EXCL);
  rtmsg& h = put_key(m, key, protocol);
  h.rtm_type = kernel_type(value.type);
  h.rtm_scope = RT_SCOPE_UNIVERSE;
  if (value.type != RouteType::Unicast) return m.bytes();
  if (key.destination.family() == Family::V4 && !value.via) h.rtm_scope = RT_SCOPE_LINK;
  m.u32(RTA_OIF, index);
  if (value.via) {
    h.rtm_flags |= RTNH_F_ONLINK; // the gateway's address is in no prefix of the link
    m.address(RTA_GATEWAY, *value.via);
  }
  return m.bytes();
}

Buffer encode_route_delete(const RouteKey& key, std::uint8_t protocol) {
  Message m(RTM_DELROUTE, 0);
  rtmsg& h = put_key(m, key, protocol);
  h.rtm_scope = RT_SCOPE_NOWHERE; // any: the protocol, table, prefix and metric name it
  return m.bytes();
}

std::optional<RuleInfo> decode_routing_rule(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWRULE && message.nlmsg_type != RTM_DELRULE) return {};
  const auto* h = header_of<fib_rule_hdr>(message);
  if (!h) return {};
  const auto family = our_family(h->family);
  if (!family) return {};
  const Attributes a = attributes_of(message, sizeof *h);

  RuleInfo info;
  info.protocol = a.u8(FRA_PROTOCOL).value_or(0);
  RoutingRule& r = info.rule;
  r.family = *family;
  r.priority = a.u32(FRA_PRIORITY).value_or(0);
  r.mark = a.u32(FRA_FWMARK).value_or(0);
  r.mask = a.u32(FRA_FWMASK).value_or(0);
  info.plain = h->src_len == 0 && h->dst_len == 0 && h->tos == 0 &&
               (h->flags & FIB_RULE_INVERT) == 0 && !a.has(FRA_IIFNAME) && !a.has(FRA_OIFNAME) &&
               !a.has(FRA_L3MDEV) && !a.has(FRA_UID_RANGE) && !a.has(FRA_IP_PROTO) &&
               !a.has(FRA_SPORT_RANGE) && !a.has(FRA_DPORT_RANGE);
  switch (h->action) {
    case FR_ACT_TO_TBL:
      r.action = RuleAction::Lookup;
      r.target = a.u32(FRA_TABLE).value_or(h->table);
      break;
    case FR_ACT_GOTO:
      r.action = RuleAction::Goto;
      r.target = a.u32(FRA_GOTO).value_or(0);
      break;
    case FR_ACT_NOP:
      r.action = RuleAction::Nop;
      break;
    default:
      info.plain = false;
  }
  return info;
}

Buffer encode_routing_rule_dump(Family family) {
  Message m(RTM_GETRULE, 0);
  m.header<fib_rule_hdr>().family = kernel_family(family);
  return m.bytes();
}

Buffer encode_routing_rule(const RoutingRule& rule, std::uint8_t protocol, bool add) {
  Message m(add ? RTM_NEWRULE : RTM_DELRULE, 0);
  if (add) m.add_flags(NLM_F_CREATE | NLM_F_EXCL);
  auto& h = m.header<fib_rule_hdr>();
  h.family = kernel_family(rule.family);
  m.u32(FRA_PRIORITY, rule.priority);
  m.u8(FRA_PROTOCOL, protocol);
  if (rule.mask != 0) { // a mark of 0 counts: "no mark is set" is what the first rule asks
    m.u32(FRA_FWMARK, rule.mark);
    m.u32(FRA_FWMASK, rule.mask);
  }
  switch (rule.action) {
    case RuleAction::Lookup:
      h.action = FR_ACT_TO_TBL;
      h.table = static_cast<std::uint8_t>(rule.target < 256 ? rule.target : RT_TABLE_UNSPEC);
      m.u32(FRA_TABLE, rule.target);
      break;
    case RuleAction::Goto:
      h.action = FR_ACT_GOTO;
      m.u32(FRA_GOTO, rule.target);
      break;
    case RuleAction::Nop:
      h.action = FR_ACT_NOP;
      break;
  }
  return m.bytes();
}

} // namespace egw::net
