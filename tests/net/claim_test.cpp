// SPDX-License-Identifier: Apache-2.0
#include "net/claim.hpp"

#include <doctest/doctest.h>

#include "net/neighbour.hpp"

using namespace egw;
using namespace egw::net;

namespace {

const Address kV4 = *Address::parse("192.0.2.50"), kV6 = *Address::parse("2001:db8::50");
const Address kOwn = *Address::parse("fe80::1");
const Mac kMac = *Mac::parse("02:00:00:00:00:01");
constexpr std::size_t kEthernet = 14, kIpv6 = 40;

std::span<const std::uint8_t> behind(const Buffer& frame, std::size_t headers) {
  return std::span(frame).subspan(headers);
}

} // namespace

TEST_CASE("claims: whoever sends ARP says that the sender's address is its own") {
  for (const bool reply : {false, true}) {
    const Buffer frame = gratuitous_arp(kV4, kMac, reply);
    CHECK(claim_of_arp(behind(frame, kEthernet)) == AddressClaim{kV4, kMac});
  }
  // A question claims nothing.
  CHECK_FALSE(claim_of_arp(behind(arp_probe(kV4, kMac), kEthernet)));
}

TEST_CASE("claims: an advertisement of an address with its MAC") {
  const Buffer frame = unsolicited_advertisement(kV6, kMac);
  CHECK(claim_of_advertisement(behind(frame, kEthernet + kIpv6)) == AddressClaim{kV6, kMac});
  CHECK_FALSE(claim_of_advertisement(behind(neighbour_probe(kV6, kMac, kOwn), kEthernet + kIpv6)));
}

TEST_CASE("claims: what is cut off or of another kind is none") {
  const Buffer arp = gratuitous_arp(kV4, kMac, true);
  const Buffer advertisement = unsolicited_advertisement(kV6, kMac);
  const auto packet = behind(arp, kEthernet);
  const auto message = behind(advertisement, kEthernet + kIpv6);
  for (std::size_t size = 0; size < packet.size(); ++size) {
    CHECK_FALSE(claim_of_arp(packet.first(size)));
  }
  for (std::size_t size = 0; size < message.size(); ++size) {
    CHECK_FALSE(claim_of_advertisement(message.first(size)));
  }
  for (std::size_t at = 0; at < 6; ++at) {
    Buffer other(packet.begin(), packet.end());
    other[at] ^= 0x40;
    CHECK_FALSE(claim_of_arp(other));
  }
  // Another option before it; one of no length would never end.
  Buffer longer(message.begin(), message.end());
  longer.insert(longer.begin() + 24, {14, 1, 0, 0, 0, 0, 0, 0});
  CHECK(claim_of_advertisement(longer) == AddressClaim{kV6, kMac});
  longer[25] = 0;
  CHECK_FALSE(claim_of_advertisement(longer));
}

TEST_CASE("probes, byte by byte") {
  CHECK(arp_probe(kV4, kMac) ==
        Buffer{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0,   6, 4, 0,
               1,    2,    0,    0,    0,    0,    1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 50});
  const Buffer frame = neighbour_probe(kV6, kMac, kOwn);
  REQUIRE(frame.size() == kEthernet + kIpv6 + 32);
  CHECK(Buffer(frame.begin(), frame.begin() + 6) == Buffer{0x33, 0x33, 0xff, 0, 0, 0x50});
  CHECK(Buffer(frame.begin() + 22, frame.begin() + 38) ==
        Buffer{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
  CHECK(Buffer(frame.begin() + 38, frame.begin() + 54) ==
        Buffer{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0x50});
  CHECK(frame[54] == 135);
  std::uint32_t sum = 32 + 58;
  for (std::size_t i = 22; i < frame.size(); i += 2) sum += frame[i] * 256U + frame[i + 1];
  while (sum >> 16U != 0) sum = (sum & 0xffffU) + (sum >> 16U);
  CHECK(sum == 0xffff);
  CHECK(probe_frames({kV4, kV6}, kMac, kOwn) == std::vector{arp_probe(kV4, kMac), frame});
  CHECK(probe_frames({kV4, kV6}, kMac, {}) == std::vector<Buffer>{arp_probe(kV4, kMac)});
}
