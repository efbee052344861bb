// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "fuzz/fuzz.hpp"
#include "net/claim.hpp"
#include "net/neighbour.hpp"

// ARP and NDP frames that egw sends: those of any address and MAC, judged by a reader that follows
// the RFCs and shares nothing with what made them. And what others send, any bytes, as claims.
using namespace egw;
using namespace egw::net;
using egw::test::require;

namespace {

constexpr std::size_t kEthernet = 14;

class Frame {
 public:
  explicit Frame(const Buffer& bytes) : rest_(bytes) {}
  [[nodiscard]] unsigned number(std::size_t size) {
    unsigned value = 0;
    for (const std::uint8_t b : bytes(size)) value = value << 8U | b;
    return value;
  }
  [[nodiscard]] std::span<const std::uint8_t> bytes(std::size_t size) {
    require(size <= rest_.size(), "a frame is long enough");
    const auto out = rest_.first(size);
    rest_ = rest_.subspan(size);
    return out;
  }
  [[nodiscard]] bool is(std::span<const std::uint8_t> expected) {
    return std::ranges::equal(bytes(expected.size()), expected);
  }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

 private:
  std::span<const std::uint8_t> rest_;
};

std::span<const std::uint8_t> bytes_of(const Address& a) {
  return {a.bytes.data(), a.size()};
}

// RFC 826 and RFC 5227 section 1.1.
void arp(const Buffer& bytes, const Address& address, const Mac& mac, bool reply) {
  Frame f(bytes);
  const std::vector<std::uint8_t> everybody(6, 0xff), nobody(6, 0);
  require(f.is(everybody) && f.is(mac.bytes), "a broadcast of ours");
  require(f.number(2) == 0x0806 && f.number(2) == 1 && f.number(2) == 0x0800, "ARP for IPv4");
  require(f.number(1) == 6 && f.number(1) == 4, "in its sizes");
  require(f.number(2) == (reply ? 2 : 1), "request or reply");
  require(f.is(mac.bytes) && f.is(bytes_of(address)), "the sender is the holder");
  require(f.is(reply ? everybody : nobody) && f.is(bytes_of(address)), "the target is itself");
  require(f.at_end(), "and nothing follows");
}

// RFC 4861 section 4.4, RFC 8200 section 8.1, RFC 2464 section 7.
void advertisement(const Buffer& bytes, const Address& address, const Mac& mac) {
  Frame f(bytes);
  const std::vector<std::uint8_t> group{0x33, 0x33, 0, 0, 0, 1};
  const std::vector<std::uint8_t> all_nodes{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  require(f.is(group) && f.is(mac.bytes) && f.number(2) == 0x86dd, "a multicast of ours");
  require(f.number(4) == 0x60000000, "IPv6 without class and label");
  const unsigned length = f.number(2);
  require(length == bytes.size() - kEthernet - 40, "its payload is the rest");
  require(f.number(1) == 58 && f.number(1) == 255, "ICMPv6 that no router has forwarded");
  require(f.is(bytes_of(address)) && f.is(all_nodes), "from the address to all nodes");
  require(f.number(1) == 136 && f.number(1) == 0, "a neighbour advertisement");
  (void)f.number(2); // the checksum: below
  require(f.number(4) == 0x20000000, "with Override alone");
  require(f.is(bytes_of(address)), "for the address");
  require(f.number(1) == 2 && f.number(1) == 1 && f.is(mac.bytes), "that is at the MAC");
  require(f.at_end(), "and nothing follows");

  // With its pseudo header and checksum the whole sums up to ones.
  std::uint64_t sum = length + 58;
  for (std::size_t i = kEthernet + 8; i < bytes.size(); i += 2)
    sum += bytes[i] * 256U + bytes[i + 1];
  while (sum > 0xffff) sum = (sum & 0xffffU) + (sum >> 16U);
  require(sum == 0xffff, "the checksum is right");
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span all(data, size);
  if (const auto claim = claim_of_arp(all)) {
    require(claim->address.family == Family::V4, "ARP claims an IPv4 address");
    require(!claim->address.is_unspecified(), "a probe is no claim");
  }
  if (const auto claim = claim_of_advertisement(all)) {
    require(claim->address.family == Family::V6, "an advertisement claims an IPv6 address");
  }
  Mac mac;
  if (size < mac.bytes.size()) return 0;
  std::memcpy(mac.bytes.data(), data, mac.bytes.size());
  data += mac.bytes.size(), size -= mac.bytes.size();

  std::vector<Address> addresses;
  for (const Family family : {Family::V4, Family::V6}) {
    Address a = Address::zero(family);
    if (size < a.size()) break;
    std::memcpy(a.bytes.data(), data, a.size());
    data += a.size(), size -= a.size();
    addresses.push_back(a);
  }
  for (const Address& a : addresses) {
    if (a.family == Family::V4) continue;
    const Buffer frame = unsolicited_advertisement(a, mac);
    const AddressClaim wanted{a, mac};
    require(claim_of_advertisement(std::span(frame).subspan(kEthernet + 40)) == wanted,
            "an announcement is a claim");
  }
  const std::vector<Buffer> frames = announcement_frames(addresses, mac);
  require(frames.size() == (addresses.size() == 2 ? 3 : 2 * addresses.size()), "ARP comes twice");
  for (std::size_t i = 0; i < frames.size(); ++i) {
    if (i < 2) {
      arp(frames[i], addresses[0], mac, i == 1);
    } else {
      advertisement(frames[i], addresses[1], mac);
    }
  }
  return 0;
}
