// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "egress/node_plan.hpp"

// Walks a packet through the chains of a planned table, expression by expression, as the kernel
// would: an independent reading of what the rules say.
namespace egw::egress::testing {

// A ruleset that is loaded while the packet is on its way, after so many look-ups. From then on a
// set has the new elements, and none at all for rules of before if it was made anew; of a chain
// that is entered later the kernel may know the old rules or the new.
struct Reload {
  const net::Table* table = nullptr;
  std::size_t after = 0;
  bool chains_too = false;
};

struct Packet {
  Address source, destination;
  std::string iif = "veth1", oif;
  Mac source_mac;
  std::uint32_t mark = 0, ct_mark = 0, priority = 0;
  bool ct_new = true, ct_reply = false, lease = true;
  bool invalid = false;  // for conntrack: no entry, no mark, no direction
  bool released = false; // the source stands in the set of that name
  bool grouped = true;   // the tunnel is in its group
  bool local = false;    // the destination is an address of this node
  std::uint8_t protocol = 17, icmp_type = 0;
  std::uint16_t destination_port = 53;
  std::optional<Address> snat; // after postrouting
  std::optional<Reload> reload;
  std::size_t lookups = 0; // how many there were
};

enum class Verdict { Accept, Drop };

// Runs one base chain; marks and snat of `p` change as the rules say. Throws std::runtime_error for
// a reference to what is not there.
[[nodiscard]] Verdict run(const net::Table& table, const std::string& base_chain, Packet& p);

} // namespace egw::egress::testing
