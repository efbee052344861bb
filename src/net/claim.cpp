// SPDX-License-Identifier: Apache-2.0
#include "net/claim.hpp"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.hpp"

namespace egw::net {
namespace {

using Packet = std::span<const std::uint8_t>;
constexpr std::size_t kMacSize = 6;

std::size_t u16(Packet bytes, std::size_t at) {
  return static_cast<std::size_t>(bytes[at]) << 8U | bytes[at + 1];
}
Mac mac_at(Packet bytes, std::size_t at) {
  Mac mac;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), kMacSize, mac.bytes.begin());
  return mac;
}
Address address_at(Packet bytes, std::size_t at, Family family) {
  Address address = Address::zero(family);
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), address.size(),
              address.bytes.begin());
  return address;
}

Fd arp_socket() {
  // Without the Ethernet header; nothing but ARP is even looked at.
  return Fd(
      check_errno(socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ARP)),
                  "open an ARP socket"));
}

Fd advertisement_socket() {
  Fd fd(socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMPV6));
  if (!fd && errno == EAFNOSUPPORT) return fd;
  check_errno(fd.get(), "open an ICMPv6 socket");
  icmp6_filter filter{};
  ICMP6_FILTER_SETBLOCKALL(&filter);
  ICMP6_FILTER_SETPASS(ND_NEIGHBOR_ADVERT, &filter);
  check_errno(setsockopt(fd.get(), IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter),
              "filter ICMPv6");
  const int on = 1;
  for (const int option : {IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT}) {
    check_errno(setsockopt(fd.get(), IPPROTO_IPV6, option, &on, sizeof on), "ask for packet info");
  }
  return fd;
}

struct Received {
  std::uint32_t link = 0;
  int hop_limit = 0;
};
Received info_of(msghdr& message) {
  Received found;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != IPPROTO_IPV6) continue;
    if (c->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      found.link = info.ipi6_ifindex;
    } else if (c->cmsg_type == IPV6_HOPLIMIT) {
      std::memcpy(&found.hop_limit, CMSG_DATA(c), sizeof found.hop_limit);
    }
  }
  return found;
}

constexpr std::size_t kLargest = 1500; // of what is of interest
constexpr int kMostAtOnce = 256;       // what comes faster is heard in the next turn

} // namespace

std::optional<AddressClaim> claim_of_arp(Packet packet) {
  constexpr std::size_t sender_mac = 8, sender_ip = 14, size = 28;
  if (packet.size() < size) return std::nullopt;
  const bool plain = u16(packet, 0) == 1 && u16(packet, 2) == ETHERTYPE_IP &&
                     packet[4] == kMacSize && packet[5] == 4;
  if (!plain) return std::nullopt;
  const Address sender = address_at(packet, sender_ip, Family::V4);
  if (sender.is_unspecified()) return std::nullopt; // a probe
  return AddressClaim{sender, mac_at(packet, sender_mac)};
}

std::optional<AddressClaim> claim_of_advertisement(Packet message) {
  constexpr std::size_t target = 8, options = 24;
  if (message.size() < options || message[0] != ND_NEIGHBOR_ADVERT || message[1] != 0) {
    return std::nullopt;
  }
  for (std::size_t at = options; at + 8 <= message.size();) {
    const std::size_t size = message[at + 1] * std::size_t{8};
    if (size == 0 || at + size > message.size()) return std::nullopt;
    if (message[at] == ND_OPT_TARGET_LINKADDR) {
      return AddressClaim{address_at(message, target, Family::V6), mac_at(message, at + 2)};
    }
    at += size;
  }
  return std::nullopt;
}

ClaimListener::ClaimListener() : arp_(arp_socket()), advertisements_(advertisement_socket()) {}

void ClaimListener::drain(const std::function<void(std::uint32_t, const AddressClaim&)>& f) {
  std::array<std::uint8_t, kLargest> bytes{};
  for (int i = 0; i < kMostAtOnce; ++i) {
    sockaddr_ll from{};
    socklen_t length = sizeof from;
    const auto got = recvfrom(arp_.get(), bytes.data(), bytes.size(), 0,
                              reinterpret_cast<sockaddr*>(&from), &length);
    if (got < 0) break;
    if (from.sll_pkttype == PACKET_OUTGOING) continue;
    const auto claim = claim_of_arp(Packet(bytes).first(static_cast<std::size_t>(got)));
    if (claim) f(static_cast<std::uint32_t>(from.sll_ifindex), *claim);
  }
  if (!advertisements_) return;
  for (int i = 0; i < kMostAtOnce; ++i) {
    iovec into{bytes.data(), bytes.size()};
    alignas(cmsghdr) std::array<std::uint8_t, 256> control{};
    msghdr message{};
    message.msg_iov = &into;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const auto got = recvmsg(advertisements_.get(), &message, 0);
    if (got < 0) break;
    const Received info = info_of(message);
    constexpr int on_link = 255; // RFC 4861 section 7.1.2: no router has forwarded it
    if (info.hop_limit != on_link) continue;
    const auto claim = claim_of_advertisement(Packet(bytes).first(static_cast<std::size_t>(got)));
    if (claim) f(info.link, *claim);
  }
}

} // namespace egw::net
