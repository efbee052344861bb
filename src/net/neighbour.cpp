// SPDX-License-Identifier: Apache-2.0
#include "net/neighbour.hpp"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/fd.hpp"

namespace egw::net {
namespace {

constexpr Mac kBroadcast{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
constexpr Mac kAllNodesMac{{0x33, 0x33, 0, 0, 0, 1}}; // RFC 2464
constexpr Address kAllNodes{Family::V6, {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
constexpr Address kSolicitedNode{Family::V6,
                                 {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0}};

class Frame {
 public:
  Frame& u8(unsigned v) {
    bytes_.push_back(static_cast<std::uint8_t>(v));
    return *this;
  }
  Frame& u16(unsigned v) { return u8(v >> 8U).u8(v & 0xffU); }
  template <class Range>
  Frame& all(const Range& range) {
    bytes_.insert(bytes_.end(), range.begin(), range.end());
    return *this;
  }
  Frame& address(const Address& a) {
    bytes_.insert(bytes_.end(), a.bytes.begin(),
                  a.bytes.begin() + static_cast<std::ptrdiff_t>(a.size()));
    return *this;
  }
  [[nodiscard]] Buffer take() { return std::move(bytes_); }

 private:
  Buffer bytes_;
};

// RFC 1071.
std::uint16_t checksum(const Buffer& data) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < data.size(); ++i) sum += i % 2 == 0 ? data[i] * 256U : data[i];
  while (sum >> 16U != 0) sum = (sum & 0xffffU) + (sum >> 16U);
  return static_cast<std::uint16_t>(~sum & 0xffffU);
}

// RFC 4861 section 4.4: to all nodes.
Buffer advertisement(const Address& address, const Mac& mac, std::uint16_t sum) {
  constexpr unsigned override_flag = 0x20;
  return Frame()
      .u8(ND_NEIGHBOR_ADVERT)
      .u8(0)
      .u16(sum)
      .u8(override_flag)
      .u8(0)
      .u16(0)
      .address(address)
      .u8(ND_OPT_TARGET_LINKADDR)
      .u8(1)
      .all(mac.bytes)
      .take();
}

// RFC 4861 section 4.3.
Buffer solicitation(const Address& address, const Mac& mac, std::uint16_t sum) {
  return Frame()
      .u8(ND_NEIGHBOR_SOLICIT)
      .u8(0)
      .u16(sum)
      .u16(0)
      .u16(0)
      .address(address)
      .u8(ND_OPT_SOURCE_LINKADDR)
      .u8(1)
      .all(mac.bytes)
      .take();
}

// An IPv6 packet with an ICMPv6 message, which `message` makes with its checksum (RFC 8200 section
// 8.1).
template <class Message>
Buffer icmpv6_frame(const Mac& to_mac, const Mac& mac, const Address& from, const Address& to,
                    const Message& message) {
  const Buffer blank = message(std::uint16_t{0});
  const auto length = static_cast<unsigned>(blank.size());
  const Buffer pseudo = Frame()
                            .address(from)
                            .address(to)
                            .u16(0)
                            .u16(length)
                            .u16(0)
                            .u8(0)
                            .u8(IPPROTO_ICMPV6)
                            .all(blank)
                            .take();
  return Frame()
      .all(to_mac.bytes)
      .all(mac.bytes)
      .u16(ETHERTYPE_IPV6)
      .u8(0x60)
      .u8(0)
      .u16(0)
      .u16(length)
      .u8(IPPROTO_ICMPV6)
      .u8(255)
      .address(from)
      .address(to)
      .all(message(checksum(pseudo)))
      .take();
}

Buffer arp(const Mac& mac, bool reply, const Address& sender, const Mac& target_mac,
           const Address& target) {
  return Frame()
      .all(kBroadcast.bytes)
      .all(mac.bytes)
      .u16(ETHERTYPE_ARP)
      .u16(1)
      .u16(ETHERTYPE_IP)
      .u8(6)
      .u8(4)
      .u16(reply ? 2 : 1)
      .all(mac.bytes)
      .address(sender)
      .all(target_mac.bytes)
      .address(target)
      .take();
}

} // namespace

Buffer gratuitous_arp(const Address& address, const Mac& mac, bool reply) {
  return arp(mac, reply, address, reply ? kBroadcast : Mac{}, address);
}

Buffer unsolicited_advertisement(const Address& address, const Mac& mac) {
  return icmpv6_frame(kAllNodesMac, mac, address, kAllNodes,
                      [&](std::uint16_t sum) { return advertisement(address, mac, sum); });
}

Buffer arp_probe(const Address& address, const Mac& mac) {
  return arp(mac, false, Address::zero(Family::V4), Mac{}, address);
}

Buffer neighbour_probe(const Address& address, const Mac& mac, const Address& from) {
  // RFC 4291 section 2.7.1, RFC 2464 section 7: the group and its MAC end as the address does.
  Address group = kSolicitedNode;
  std::copy_n(address.bytes.begin() + 13, 3, group.bytes.begin() + 13);
  Mac group_mac{{0x33, 0x33, 0, 0, 0, 0}};
  std::copy_n(group.bytes.begin() + 12, 4, group_mac.bytes.begin() + 2);
  return icmpv6_frame(group_mac, mac, from, group,
                      [&](std::uint16_t sum) { return solicitation(address, mac, sum); });
}

std::vector<Buffer> probe_frames(const std::vector<Address>& addresses, const Mac& mac,
                                 const std::optional<Address>& from) {
  std::vector<Buffer> frames;
  frames.reserve(addresses.size());
  for (const Address& a : addresses) {
    if (a.family == Family::V4) {
      frames.push_back(arp_probe(a, mac));
    } else if (from) {
      frames.push_back(neighbour_probe(a, mac, *from));
    }
  }
  return frames;
}

std::vector<Buffer> announcement_frames(const std::vector<Address>& addresses, const Mac& mac) {
  std::vector<Buffer> frames;
  for (const Address& a : addresses) {
    if (a.family == Family::V6) {
      frames.push_back(unsolicited_advertisement(a, mac));
    } else {
      frames.push_back(gratuitous_arp(a, mac, false));
      frames.push_back(gratuitous_arp(a, mac, true));
    }
  }
  return frames;
}

Fd open_packet_socket() {
  // Protocol 0: it receives nothing.
  return Fd(check_errno(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), "open a packet socket"));
}

Result<void> send_frames(const Fd& packet_socket, std::uint32_t index,
                         const std::vector<Buffer>& frames) {
  for (const Buffer& frame : frames) {
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = static_cast<int>(index);
    to.sll_halen = 6;
    std::copy_n(frame.begin(), 6, to.sll_addr);
    if (sendto(packet_socket.get(), frame.data(), frame.size(), 0,
               reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0)
      return Error{"send an announcement: " + std::generic_category().message(errno), errno};
  }
  return {};
}

} // namespace egw::net
