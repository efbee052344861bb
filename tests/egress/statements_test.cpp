// SPDX-License-Identifier: Apache-2.0
#include "egress/statements.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace egw;
using namespace egw::egress::nft;
using net::NftFamily;

namespace {

template <class Kind>
std::ptrdiff_t count(const Piece& piece) {
  return std::ranges::count_if(piece,
                               [](const net::Expr& e) { return std::holds_alternative<Kind>(e); });
}

std::vector<Prefix> prefixes(std::initializer_list<const char*> texts) {
  std::vector<Prefix> all;
  for (const char* text : texts) all.push_back(Prefix::parse(text).value());
  return all;
}

} // namespace

TEST_CASE("prefixes of one length next to each other are loaded and masked once") {
  const Piece same =
      daddr_in_none(NftFamily::Ip, prefixes({"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"}));
  CHECK(count<net::expr::Payload>(same) == 1);
  CHECK(count<net::expr::Bitwise>(same) == 1);
  CHECK(count<net::expr::Cmp>(same) == 3);
  // A whole address is compared as it was loaded, and leaves the masked one alone.
  const Piece mixed = daddr_in_none(
      NftFamily::Ip, prefixes({"192.0.2.0/24", "192.0.3.1/32", "198.51.100.0/24", "8.0.0.0/13"}));
  CHECK(count<net::expr::Payload>(mixed) == 1);
  CHECK(count<net::expr::Bitwise>(mixed) == 2);
  // Two bytes are loaded for /16, and what was masked before is not there any more.
  const Piece loaded =
      daddr_in_none(NftFamily::Ip, prefixes({"192.0.2.0/24", "10.8.0.0/16", "198.51.100.0/24"}));
  CHECK(count<net::expr::Payload>(loaded) == 3);
  CHECK(count<net::expr::Bitwise>(loaded) == 2);
  const Piece everything = daddr_in_none(NftFamily::Ip, prefixes({"0.0.0.0/0"}));
  CHECK(count<net::expr::Bitwise>(everything) == 1);
}

TEST_CASE("what the tunnel sends is told from TCP by the protocol where its number could be both") {
  const auto asks_protocol = [](const Piece& piece) { return count<net::expr::Cmp>(piece) == 3; };
  CHECK_FALSE(asks_protocol(vxlan_sent(NftFamily::Ip, 7789, 100)));
  CHECK_FALSE(asks_protocol(vxlan_sent(NftFamily::Ip6, 7789, 0x4fffff)));
  CHECK(asks_protocol(vxlan_sent(NftFamily::Ip, 7789, 0x500000)));
  CHECK(asks_protocol(vxlan_sent(NftFamily::Ip6, 7789, 0xffffff)));
}
