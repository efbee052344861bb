// SPDX-License-Identifier: Apache-2.0
#include "net/rtnl_link.hpp"

#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstring>

#include "net/attributes.hpp"

namespace egw::net {
namespace {

constexpr std::uint32_t kLooseRpFilter = 2;

Buffer link_change(const std::string& name, const auto& fill) {
  Message m(RTM_NEWLINK, 0); // no NLM_F_CREATE: an absent link is an error
  m.header<ifinfomsg>().ifi_family = AF_UNSPEC;
  m.string(IFLA_IFNAME, name);
  fill(m);
  return m.bytes();
}

// Whether the kernel holds what encode_tunnel_settings asks for. A dump carries the whole IPv4
// configuration as an array of 32-bit values whose first one is IPV4_DEVCONF 1.
bool settings_hold(const Attributes& link) {
  const Attributes families = link.nested(IFLA_AF_SPEC);
  const auto conf = families.nested(AF_INET).bytes(IFLA_INET_CONF);
  const auto setting = [&](std::size_t which) {
    std::uint32_t value = 0;
    if (conf.size() >= which * sizeof value)
      std::memcpy(&value, &conf[(which - 1) * sizeof value], sizeof value);
    return value;
  };
  // A kernel without IPv6, or a link where it is off, shows no mode.
  const auto mode = families.nested(AF_INET6).u8(IFLA_INET6_ADDR_GEN_MODE);
  return setting(IPV4_DEVCONF_RP_FILTER) == kLooseRpFilter &&
         setting(IPV4_DEVCONF_SRC_VMARK) == 1 &&
         mode.value_or(IN6_ADDR_GEN_MODE_NONE) == IN6_ADDR_GEN_MODE_NONE;
}

} // namespace

std::optional<LinkInfo> decode_link(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWLINK && message.nlmsg_type != RTM_DELLINK) return {};
  const auto* info = header_of<ifinfomsg>(message);
  if (!info || info->ifi_family != AF_UNSPEC || info->ifi_index <= 0) return {};
  const Attributes a = attributes_of(message, sizeof *info);

  LinkInfo link;
  link.host.index = static_cast<std::uint32_t>(info->ifi_index);
  link.host.name = a.string(IFLA_IFNAME).value_or("");
  link.host.mac = a.mac(IFLA_ADDRESS).value_or(Mac{});
  link.host.mtu = a.u32(IFLA_MTU).value_or(0);
  link.host.up = (info->ifi_flags & IFF_UP) != 0;
  link.ethernet = info->ifi_type == ARPHRD_ETHER;
  link.alias = a.string(IFLA_IFALIAS).value_or("");
  const Attributes details = a.nested(IFLA_LINKINFO);
  link.kind = details.string(IFLA_INFO_KIND).value_or("");
  if (link.kind != "vxlan") return link;

  const Attributes data = details.nested(IFLA_INFO_DATA);
  Vxlan v;
  v.mac = link.host.mac;
  v.mtu = link.host.mtu;
  v.vni = data.u32(IFLA_VXLAN_ID).value_or(0);
  v.port = data.be16(IFLA_VXLAN_PORT).value_or(0);
  v.parent = data.u32(IFLA_VXLAN_LINK).value_or(0);
  if (const auto local4 = data.address(IFLA_VXLAN_LOCAL)) v.local = *local4;
  if (const auto local6 = data.address(IFLA_VXLAN_LOCAL6)) v.local = *local6;
  link.learning = data.u8(IFLA_VXLAN_LEARNING).value_or(1) != 0;
  v.sound = link.host.up && a.u32(IFLA_GROUP) == kDeviceGroup && !link.learning && settings_hold(a);
  link.vxlan = v;
  return link;
}

Buffer encode_link_dump() {
  Message m(RTM_GETLINK, 0);
  m.header<ifinfomsg>().ifi_family = AF_UNSPEC;
  m.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  return m.bytes();
}

Buffer encode_link_get(const std::string& name) {
  Message m(RTM_GETLINK, 0);
  m.header<ifinfomsg>().ifi_family = AF_UNSPEC;
  m.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  m.string(IFLA_IFNAME, name);
  return m.bytes();
}

Buffer encode_tunnel_create(const std::string& name, const Vxlan& v) {
  Message m(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  m.header<ifinfomsg>().ifi_family = AF_UNSPEC;
  m.string(IFLA_IFNAME, name);
  m.mac(IFLA_ADDRESS, v.mac);
  if (v.mtu != 0) m.u32(IFLA_MTU, v.mtu);
  m.nest(IFLA_LINKINFO, [&] {
    m.string(IFLA_INFO_KIND, "vxlan");
    m.nest(IFLA_INFO_DATA, [&] {
      m.u32(IFLA_VXLAN_ID, v.vni);
      m.u32(IFLA_VXLAN_LINK, v.parent);
      m.address(v.local.family == Family::V4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, v.local);
      m.be16(IFLA_VXLAN_PORT, v.port);
      m.u8(IFLA_VXLAN_LEARNING, 0);
    });
  });
  return m.bytes();
}

Buffer encode_tunnel_settings(const std::string& name, const std::string& alias) {
  return link_change(name, [&](Message& m) {
    m.put(IFLA_IFALIAS, {reinterpret_cast<const std::uint8_t*>(alias.data()), alias.size()});
    m.u32(IFLA_GROUP, kDeviceGroup);
    m.nest(IFLA_AF_SPEC, [&] {
      m.nest(AF_INET, [&] {
        m.nest(IFLA_INET_CONF, [&] {
          m.u32(IPV4_DEVCONF_RP_FILTER, kLooseRpFilter);
          m.u32(IPV4_DEVCONF_SRC_VMARK, 1);
        });
      });
      m.nest(AF_INET6, [&] { m.u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE); });
    });
  });
}

Buffer encode_tunnel_up(const std::string& name) {
  Message m(RTM_NEWLINK, 0);
  auto& info = m.header<ifinfomsg>();
  info.ifi_family = AF_UNSPEC;
  info.ifi_flags = IFF_UP;
  info.ifi_change = IFF_UP;
  m.string(IFLA_IFNAME, name);
  return m.bytes();
}

Buffer encode_tunnel_change(const std::string& name, const HostLink& now, const Vxlan& v) {
  return link_change(name, [&](Message& m) {
    if (v.mac != now.mac) m.mac(IFLA_ADDRESS, v.mac);
    if (v.mtu != 0 && v.mtu != now.mtu) m.u32(IFLA_MTU, v.mtu);
  });
}

Buffer encode_tunnel_no_learning(const std::string& name) {
  return link_change(name, [&](Message& m) {
    m.nest(IFLA_LINKINFO, [&] {
      m.string(IFLA_INFO_KIND, "vxlan");
      m.nest(IFLA_INFO_DATA, [&] { m.u8(IFLA_VXLAN_LEARNING, 0); });
    });
  });
}

Buffer encode_link_delete(std::uint32_t index) {
  Message m(RTM_DELLINK, 0);
  auto& info = m.header<ifinfomsg>();
  info.ifi_family = AF_UNSPEC;
  info.ifi_index = static_cast<int>(index);
  return m.bytes();
}

} // namespace egw::net
