// SPDX-License-Identifier: Apache-2.0
#include "net/rtnl_address.hpp"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstring>

#include "net/attributes.hpp"

namespace egw::net {
namespace {

constexpr std::uint32_t kForEver = 0xffffffff;

std::uint8_t kernel_family(Family f) {
  return f == Family::V4 ? AF_INET : AF_INET6;
}

void put_target(Message& m, std::uint32_t index, const Prefix& prefix) {
  auto& h = m.header<ifaddrmsg>();
  h.ifa_family = kernel_family(prefix.family());
  h.ifa_prefixlen = prefix.length;
  h.ifa_index = index;
}

} // namespace

std::optional<AddressInfo> decode_address(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWADDR && message.nlmsg_type != RTM_DELADDR) return {};
  const auto* h = header_of<ifaddrmsg>(message);
  if (!h || (h->ifa_family != AF_INET && h->ifa_family != AF_INET6)) return {};
  const Attributes a = attributes_of(message, sizeof *h);
  // On point-to-point links IFA_ADDRESS is the peer, and IFA_LOCAL, where it stands, is ours.
  auto address = a.address(IFA_LOCAL);
  if (!address) address = a.address(IFA_ADDRESS);
  if (!address || kernel_family(address->family) != h->ifa_family) return {};
  if (h->ifa_prefixlen > address->bits()) return {};

  AddressInfo info;
  info.index = h->ifa_index;
  info.prefix = {*address, h->ifa_prefixlen};
  info.protocol = a.u8(IFA_PROTO);
  ifa_cacheinfo life{};
  const auto bytes = a.bytes(IFA_CACHEINFO);
  if (bytes.size() >= sizeof life) std::memcpy(&life, bytes.data(), sizeof life);
  // IPv4 shows a permanent address as preferred for ever and says by a flag that it is not.
  const bool deprecated = (a.u32(IFA_FLAGS).value_or(h->ifa_flags) & IFA_F_DEPRECATED) != 0;
  info.eip_form = h->ifa_prefixlen == address->bits() && (deprecated || life.ifa_prefered == 0) &&
                  life.ifa_valid == kForEver &&
                  (h->ifa_family == AF_INET6 || h->ifa_scope == RT_SCOPE_LINK);
  return info;
}

Buffer encode_address_dump() {
  Message m(RTM_GETADDR, 0);
  m.header<ifaddrmsg>().ifa_family = AF_UNSPEC;
  return m.bytes();
}

Buffer encode_address_add(std::uint32_t index, const Prefix& prefix, AddressValue value,
                          std::uint8_t protocol) {
  Message m(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  auto& h = m.header<ifaddrmsg>();
  const bool v4 = prefix.family() == Family::V4;
  h.ifa_family = kernel_family(prefix.family());
  h.ifa_prefixlen = prefix.length;
  h.ifa_index = index;
  if (v4) h.ifa_scope = value.eip ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  m.address(IFA_LOCAL, prefix.address);
  m.address(IFA_ADDRESS, prefix.address);
  std::uint32_t flags = 0;
  if (!v4) flags |= IFA_F_NODAD;
  if (!v4 && value.eip) flags |= IFA_F_NOPREFIXROUTE;
  m.u32(IFA_FLAGS, flags);
  m.u8(IFA_PROTO, protocol);
  if (value.eip) {
    ifa_cacheinfo life{};
    life.ifa_prefered = 0;
    life.ifa_valid = kForEver;
    m.put(IFA_CACHEINFO, {reinterpret_cast<const std::uint8_t*>(&life), sizeof life});
  }
  return m.bytes();
}

Buffer encode_address_delete(std::uint32_t index, const Prefix& prefix) {
  Message m(RTM_DELADDR, 0);
  put_target(m, index, prefix);
  m.address(IFA_LOCAL, prefix.address);
  m.address(IFA_ADDRESS, prefix.address);
  return m.bytes();
}

} // namespace egw::net
