// SPDX-License-Identifier: Apache-2.0
#include "net/rtnl_neighbour.hpp"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "net/attributes.hpp"

namespace egw::net {
namespace {

std::uint8_t kernel_family(Family f) {
  return f == Family::V4 ? AF_INET : AF_INET6;
}

ndmsg& put_header(Message& m, std::uint8_t family, std::uint32_t index) {
  auto& h = m.header<ndmsg>();
  h.ndm_family = family;
  h.ndm_ifindex = static_cast<int>(index);
  return h;
}

} // namespace

std::optional<NeighbourInfo> decode_neighbour(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWNEIGH && message.nlmsg_type != RTM_DELNEIGH) return {};
  const auto* h = header_of<ndmsg>(message);
  if (!h) return {};
  const Attributes a = attributes_of(message, sizeof *h);
  NeighbourInfo n;
  n.index = static_cast<std::uint32_t>(h->ndm_ifindex);
  n.permanent = (h->ndm_state & NUD_PERMANENT) != 0;
  n.fdb = h->ndm_family == AF_BRIDGE;
  n.address = a.address(NDA_DST);
  const auto mac = a.mac(NDA_LLADDR);
  n.mac = mac.value_or(Mac{});
  if (n.fdb) return mac ? std::optional(n) : std::nullopt;
  if (h->ndm_family != AF_INET && h->ndm_family != AF_INET6) return {};
  if (!n.address || kernel_family(n.address->family) != h->ndm_family) return {};
  return n;
}

Buffer encode_neighbour_dump(Family family, std::uint32_t index) {
  Message m(RTM_GETNEIGH, 0);
  put_header(m, kernel_family(family), 0);
  m.u32(NDA_IFINDEX, index);
  return m.bytes();
}

Buffer encode_neighbour_put(std::uint32_t index, const Address& address, const Mac& mac) {
  Message m(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  put_header(m, kernel_family(address.family), index).ndm_state = NUD_PERMANENT;
  m.address(NDA_DST, address);
  m.mac(NDA_LLADDR, mac);
  return m.bytes();
}

Buffer encode_neighbour_delete(std::uint32_t index, const Address& address) {
  Message m(RTM_DELNEIGH, 0);
  put_header(m, kernel_family(address.family), index);
  m.address(NDA_DST, address);
  return m.bytes();
}

Buffer encode_fdb_dump(std::uint32_t index) {
  Message m(RTM_GETNEIGH, 0);
  put_header(m, AF_BRIDGE, index);
  return m.bytes();
}

Buffer encode_fdb_put(std::uint32_t index, const Mac& mac, const Address& peer) {
  Message m(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  ndmsg& h = put_header(m, AF_BRIDGE, index);
  h.ndm_state = NUD_PERMANENT;
  h.ndm_flags = NTF_SELF;
  m.mac(NDA_LLADDR, mac);
  m.address(NDA_DST, peer);
  return m.bytes();
}

Buffer encode_fdb_delete(std::uint32_t index, const Mac& mac, const Address& peer) {
  Message m(RTM_DELNEIGH, 0);
  put_header(m, AF_BRIDGE, index).ndm_flags = NTF_SELF;
  m.mac(NDA_LLADDR, mac);
  m.address(NDA_DST, peer);
  return m.bytes();
}

} // namespace egw::net
