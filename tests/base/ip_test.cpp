// SPDX-License-Identifier: Apache-2.0
#include "base/ip.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/parsed.hpp"

namespace egw {

namespace {

template <class T>
std::string refusal(std::string_view text) {
  const auto r = T::parse(text);
  return r ? "accepted as " + r->to_string() : r.error().message;
}

std::string strict(std::string_view text) {
  const auto r = Prefix::parse_strict(text);
  return r ? r->to_string() : r.error().message;
}

} // namespace

TEST_CASE("IPv4 addresses are read and written") {
  for (const char* text : {"0.0.0.0", "10.1.2.3", "255.255.255.255", "127.0.0.1"}) {
    CAPTURE(text);
    CHECK(addr(text).to_string() == text);
    CHECK(addr(text).family == Family::V4);
    CHECK(Address::v4(addr(text).v4_host_order()) == addr(text));
  }
  CHECK(addr("10.1.2.3").v4_host_order() == 0x0a010203U);
  CHECK(addr("10.1.2.3").bytes == std::array<std::uint8_t, 16>{10, 1, 2, 3});
  CHECK_THROWS_AS((void)addr("::1").v4_host_order(), std::logic_error);
}

TEST_CASE("IPv6 addresses are written as RFC 5952 says") {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"::", "::"},
      {"::1", "::1"},
      {"1::", "1::"},
      {"0:0:0:0:0:0:0:0", "::"},
      {"2001:0db8::0001", "2001:db8::1"},              // 4.1 leading zeros
      {"2001:db8:0:0:0:0:2:1", "2001:db8::2:1"},       // 4.2.1 as short as possible
      {"2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"}, // 4.2.2 not for one group
      {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},         // 4.2.3 the longest run
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},   // 4.2.3 the first of equals
      {"2001:DB8::ABCD", "2001:db8::abcd"},            // 4.3 lower case
      {"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"},
      {"0:0:3:4:5:6:7:8", "::3:4:5:6:7:8"},
      {"0:2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
      {"1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7:0"},
      {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
      {"::1.2.3.4", "::102:304"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
  };
  for (const auto& [text, canonical] : cases) {
    CAPTURE(text);
    CHECK(addr(text).to_string() == canonical);
    CHECK(addr(canonical) == addr(text));
    CHECK(addr(text).family == Family::V6);
  }
  // Never the result of parse(), but a log may have to show one.
  CHECK(Address::v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}).to_string() ==
        "::ffff:10.0.0.1");
}

TEST_CASE("what is not an address is refused with its text") {
  for (const char* text : {"",
                           " ",
                           "10.1.2.300",
                           "10.1.2",
                           "10.1.2.3.4",
                           "10.1.2.3 ",
                           " 10.1.2.3",
                           "10.1.2.",
                           "10..2.3",
                           "0x0a.1.2.3",
                           "+10.1.2.3",
                           "-1.2.3.4",
                           "167838211",
                           "10.1.2.3/32",
                           ":",
                           ":::",
                           "1::2::3",
                           "1:2:3:4:5:6:7",
                           "1:2:3:4:5:6:7:8:9",
                           "1:2:3:4:5:6:7:8::",
                           "00001::",
                           "g::",
                           "::1.2.3",
                           "::1.2.3.256",
                           "[::1]",
                           "::1/128",
                           "localhost"}) {
    CAPTURE(text);
    CHECK(refusal<Address>(text) == "\"" + std::string(text) + "\" is not an IPv4 or IPv6 address");
  }
}

TEST_CASE("forms that different programs read differently are refused with a remedy") {
  for (const char* text : {"010.1.2.3", "10.01.2.3", "10.1.2.00", "10.1.2.03"}) {
    CAPTURE(text);
    CHECK(refusal<Address>(text).find("leading zeros") != std::string::npos);
  }
  CHECK_FALSE(Address::parse("64:ff9b::192.0.02.33"));
  CHECK(refusal<Address>("::ffff:10.0.0.1") ==
        "\"::ffff:10.0.0.1\" is an IPv4-mapped IPv6 address: write 10.0.0.1");
  CHECK(refusal<Address>("0:0::FFFF:a00:1").find("write 10.0.0.1") != std::string::npos);
  CHECK_FALSE(Prefix::parse("::ffff:0:0/96"));
  CHECK(Address::parse("::fffe:a00:1"));
  CHECK(refusal<Address>("fe80::1%eth0").find("has a zone") != std::string::npos);
  CHECK(refusal<Address>("10.0.0.1%1").find("has a zone") != std::string::npos);
}

TEST_CASE("a message holds what was written, in bounds and printable") {
  using namespace std::string_view_literals;
  CHECK(refusal<Address>("10.0.0.1\0.evil"sv) ==
        "\"10.0.0.1\\x00.evil\" is not an IPv4 or IPv6 address");
  CHECK(refusal<Address>("10.0.0.1\n\xff") ==
        "\"10.0.0.1\\x0a\\xff\" is not an IPv4 or IPv6 address");
  CHECK(refusal<Address>(std::string(1'000'000, '1')).size() < 120);
  CHECK(refusal<Address>(std::string(45, ':')).find("is not an") != std::string::npos);
  CHECK(refusal<Address>(std::string(46, ':')).find("is not an") != std::string::npos);
}

TEST_CASE("addresses are ordered by family, then by value") {
  CHECK(addr("9.0.0.0") < addr("10.0.0.0"));
  CHECK(addr("10.0.0.255") < addr("10.0.1.0"));
  CHECK(addr("255.255.255.255") < addr("::"));
  CHECK(addr("::ff") < addr("::100"));
}

TEST_CASE("stepping carries and borrows, and stops at the ends of the family") {
  CHECK(addr("10.0.0.255").next() == addr("10.0.1.0"));
  CHECK(addr("10.0.1.0").prev() == addr("10.0.0.255"));
  CHECK(addr("::ffff:ffff").next() == addr("::1:0:0"));
  CHECK(addr("1::").prev() == addr("0:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
  for (const Family f : {Family::V4, Family::V6}) {
    CHECK_FALSE(Address::max(f).next());
    CHECK_FALSE(Address::zero(f).prev());
    CHECK(Address::max(f).plus(0) == Address::max(f));
    CHECK_FALSE(Address::max(f).plus(1));
  }
  CHECK(addr("10.0.0.0").plus(0x10203) == addr("10.1.2.3"));
  CHECK(addr("0.0.0.0").plus(0xffffffff) == addr("255.255.255.255"));
  CHECK_FALSE(addr("0.0.0.0").plus(0x100000000));
  CHECK_FALSE(addr("0.0.0.1").plus(0xffffffff));
  CHECK(addr("::1").plus(std::numeric_limits<std::uint64_t>::max()) == addr("0:0:0:1::"));
  CHECK_FALSE(addr("ffff:ffff:ffff:ffff::1").plus(std::numeric_limits<std::uint64_t>::max()));
}

TEST_CASE("kinds of addresses") {
  CHECK(addr("0.0.0.0").is_unspecified());
  CHECK(addr("::").is_unspecified());
  CHECK_FALSE(addr("::1").is_unspecified());
  CHECK(addr("127.255.0.1").is_loopback());
  CHECK(addr("::1").is_loopback());
  CHECK_FALSE(addr("::2").is_loopback());
  CHECK_FALSE(addr("128.0.0.1").is_loopback());
  CHECK_FALSE(addr("7f00::").is_loopback());
  CHECK(addr("224.0.0.1").is_multicast());
  CHECK(addr("239.255.255.255").is_multicast());
  CHECK(addr("ff02::1").is_multicast());
  CHECK_FALSE(addr("240.0.0.0").is_multicast());
  CHECK_FALSE(addr("fe80::1").is_multicast());
  CHECK(addr("169.254.1.1").is_link_local());
  CHECK(addr("fe80::1").is_link_local());
  CHECK(addr("febf:ffff::").is_link_local());
  CHECK_FALSE(addr("fec0::").is_link_local());
  CHECK_FALSE(addr("169.253.1.1").is_link_local());
}

TEST_CASE("hashes differ for different addresses and families") {
  std::unordered_set<Address> seen;
  Address a = addr("10.0.0.0");
  for (int i = 0; i < 1000; ++i) {
    seen.insert(a);
    a = a.next().value();
  }
  CHECK(seen.size() == 1000);
  const std::hash<Address> h;
  CHECK(h(addr("10.0.0.1")) == h(Address::v4(0x0a000001)));
  CHECK(h(addr("10.0.0.1")) != h(addr("a00:1::")));
}

TEST_CASE("a CIDR clears host bits, and a bare address is a host") {
  CHECK(cidr("10.1.2.3/8").to_string() == "10.0.0.0/8");
  CHECK(cidr("10.1.2.3").to_string() == "10.1.2.3/32");
  CHECK(cidr("10.1.2.3/0") == Prefix::all(Family::V4));
  CHECK(cidr("10.1.2.255/25").to_string() == "10.1.2.128/25");
  CHECK(cidr("2001:db8::1").to_string() == "2001:db8::1/128");
  CHECK(cidr("2001:db8:ffff::1/33").to_string() == "2001:db8:8000::/33");
  CHECK(cidr("::1/0") == Prefix::all(Family::V6));
}

TEST_CASE("the strict CIDR refuses host bits and a missing length, and says what to write") {
  CHECK(strict("10.0.0.0/8") == "10.0.0.0/8");
  CHECK(strict("fd00::/64") == "fd00::/64");
  CHECK(strict("10.1.2.3/32") == "10.1.2.3/32");
  CHECK(strict("10.1.2.3/8") ==
        "\"10.1.2.3/8\" has bits set after its first 8: write 10.0.0.0/8 for the whole CIDR or "
        "10.1.2.3 for the one address");
  CHECK(strict("10.1.2.3") == "\"10.1.2.3\" has no prefix length: write 10.1.2.3/32");
  CHECK(strict("nonsense").find("is not a CIDR") != std::string::npos);
}

TEST_CASE("bad lengths are refused with the bound of the family") {
  for (const char* text :
       {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/8 ",
        "10.0.0.0/ 8", "10.0.0.0/1000", "10.0.0.0/8/8", "10.0.0.0/255.0.0.0", "10.0.0.0/264"}) {
    CAPTURE(text);
    CHECK(refusal<Prefix>(text).find("a number from 0 to 32") != std::string::npos);
    CHECK_FALSE(Prefix::parse_strict(text));
  }
  CHECK(refusal<Prefix>("fd00::/129").find("a number from 0 to 128") != std::string::npos);
  CHECK(refusal<Prefix>("10.0.0/8").find("\"10.0.0\" is not an IPv4") != std::string::npos);
  CHECK_FALSE(Prefix::parse("/8"));
  CHECK_FALSE(Prefix::parse(""));
}

TEST_CASE("what a CIDR contains") {
  CHECK(cidr("10.0.0.0/9").contains(addr("10.127.255.255")));
  CHECK_FALSE(cidr("10.0.0.0/9").contains(addr("10.128.0.0")));
  CHECK_FALSE(cidr("0.0.0.0/0").contains(addr("::")));
  CHECK_FALSE(cidr("::/0").contains(addr("0.0.0.0")));
  CHECK(cidr("10.0.0.0/8").contains(cidr("10.1.0.0/16")));
  CHECK_FALSE(cidr("10.1.0.0/16").contains(cidr("10.0.0.0/8")));
  CHECK(cidr("10.1.0.0/16").overlaps(cidr("10.0.0.0/8")));
  CHECK_FALSE(cidr("10.1.0.0/16").overlaps(cidr("10.2.0.0/16")));
  CHECK(cidr("10.0.0.0/9").last() == addr("10.127.255.255"));
  CHECK(cidr("fd00::/64").last() == addr("fd00::ffff:ffff:ffff:ffff"));
  CHECK(cidr("10.0.0.1/32").last() == addr("10.0.0.1"));
}

TEST_CASE("contains agrees with first and last at every length") {
  for (const char* text : {"170.170.170.170", "5555:aaaa:5555:aaaa:5555:aaaa:5555:aaaa"}) {
    const Address a = addr(text);
    for (unsigned length = 0; length <= a.bits(); ++length) {
      CAPTURE(length);
      const Prefix p = cidr(a.to_string() + "/" + std::to_string(length));
      CHECK(p.contains(a));
      CHECK(p.contains(p.first()));
      CHECK(p.contains(p.last()));
      if (const auto before = p.first().prev()) CHECK_FALSE(p.contains(*before));
      if (const auto after = p.last().next()) CHECK_FALSE(p.contains(*after));
      const unsigned host_bits = a.bits() - length;
      const auto most = std::numeric_limits<std::uint64_t>::max();
      CHECK(Range::of(p).size() == (host_bits >= 64 ? most : std::uint64_t{1} << host_bits));
    }
  }
}

TEST_CASE("ranges in their three forms") {
  CHECK(range("10.0.0.1") == Range::of(addr("10.0.0.1")));
  CHECK(range("10.0.0.1-10.0.0.9") == Range{addr("10.0.0.1"), addr("10.0.0.9")});
  CHECK(range("10.0.0.0/24") == Range{addr("10.0.0.0"), addr("10.0.0.255")});
  CHECK(range("10.0.0.5/24") == range("10.0.0.0/24"));
  CHECK(range("fd00::1-fd00::ffff").size() == 0xffff);
  CHECK(range("10.0.0.1-10.0.0.1").to_string() == "10.0.0.1");
  CHECK(range("10.0.0.1-10.0.0.9").to_string() == "10.0.0.1-10.0.0.9");
  CHECK(range("0.0.0.0/0").size() == 0x100000000);
  CHECK(range("::ffff-::1:0:0:0:0").size() == std::numeric_limits<std::uint64_t>::max() - 0xfffd);
  CHECK(range("10.0.0.1-10.0.0.9").contains(addr("10.0.0.9")));
  CHECK_FALSE(range("10.0.0.1-10.0.0.9").contains(addr("10.0.0.10")));
}

TEST_CASE("bad ranges are refused") {
  CHECK(refusal<Range>("10.0.0.9-10.0.0.1") ==
        "\"10.0.0.9-10.0.0.1\" ends before it begins: write 10.0.0.1-10.0.0.9");
  CHECK(refusal<Range>("10.0.0.1-fd00::1") ==
        "\"10.0.0.1-fd00::1\" mixes IPv4 and IPv6 in one range");
  CHECK(refusal<Range>("10.0.0.1-10.0.0.300").find("\"10.0.0.300\" is not") != std::string::npos);
  for (const char* text : {"", "-", "10.0.0.1-", "-10.0.0.1", "10.0.0.1-9", "10.0.0.1 - 10.0.0.9",
                           "10.0.0.1-10.0.0.2-10.0.0.3", "10.0.0.0/24-10.0.1.0/24"}) {
    CAPTURE(text);
    CHECK_FALSE(Range::parse(text));
  }
}

TEST_CASE("MAC addresses") {
  const Mac mac = Mac::parse("66:00:00:00:AB:07").value();
  CHECK(mac.to_string() == "66:00:00:00:ab:07");
  CHECK(mac.bytes == std::array<std::uint8_t, 6>{0x66, 0, 0, 0, 0xab, 0x07});
  for (const char* text :
       {"", "66:00:00:00:00", "66:00:00:00:00:07:", "66:00:00:00:00:07:08", "66-00-00-00-00-07",
        "6:00:00:00:00:007", "g6:00:00:00:00:07", "66:00:00:00:00: 7", "660000000007"}) {
    CAPTURE(text);
    CHECK(refusal<Mac>(text) ==
          "\"" + std::string(text) + "\" is not a MAC address such as 66:00:00:00:00:07");
  }
}

} // namespace egw
