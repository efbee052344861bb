// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "base/ip.hpp"
#include "base/packed_items.hpp"
#include "base/rare.hpp"
#include "base/shared_map.hpp"
#include "net/expr.hpp"
#include "net/rules.hpp"

// What a kernel holds, as plain comparable values. `State` is what is ours: desired states are made
// of it, and what is read from the kernel decodes to it. `Host` is what is not ours and only looked
// at.
namespace egw::net {

// How our things are told from those of others. All of it can be configured.
struct Ownership {
  std::string table = "egw";         // nftables tables of this name in ip, ip6 and arp
  std::uint8_t route_protocol = 217; // rtm_protocol, FRA_PROTOCOL and IFA_PROTO; no daemon has 217
  std::string device = "egw0"; // the tunnel; a link of this name without our alias is another's
  std::string alias = "egw tunnel"; // IFLA_IFALIAS
  // Nobody else can change our nftables tables, where the kernel can see to that.
  bool exclusive = true;
  bool operator==(const Ownership&) const = default;
};

// The group (IFLA_GROUP) of the tunnel. Rules know the device by it: a number is compared in a
// fifth of the time that sixteen bytes of a name take, and stays the same when the device is made
// anew.
inline constexpr std::uint32_t kDeviceGroup = 217;

// --- rtnetlink ---------------------------------------------------------------------------------

struct Vxlan {
  Mac mac;
  std::uint32_t vni = 0;
  std::uint16_t port = 0;   // UDP, host order
  Address local;            // underlay address of this node
  std::uint32_t parent = 0; // ifindex
  std::uint32_t mtu = 0;    // bytes; 0 in a desired state: what the kernel derives from the parent
  // Up, of our group, rp_filter 2, src_valid_mark 1, no learning, no generated addresses, GRO as
  // net/gro.hpp says. Desired states have it; what is read from the kernel has not when someone
  // changed one of these by hand.
  bool sound = true;
  bool operator==(const Vxlan&) const = default;
};

struct AddressKey {
  std::string link; // interface name
  Prefix prefix;
  auto operator<=>(const AddressKey&) const = default;
};
// An address of ours. On the tunnel: as given. An EIP (on the parent): scope link (IPv4),
// preferred_lft 0 so that it is never chosen as a source, nodad and noprefixroute.
struct AddressValue {
  bool eip = false;
  auto operator<=>(const AddressValue&) const = default;
};

enum class RouteType : std::uint8_t { Unicast, Blackhole, Throw };
struct RouteKey {
  std::uint32_t table = 0;
  Prefix destination;
  std::uint32_t metric = 0; // of IPv6 never 0, which the kernel reads as 1024
  auto operator<=>(const RouteKey&) const = default;
};
struct RouteValue {
  RouteType type = RouteType::Unicast;
  std::string link;           // Unicast only
  std::optional<Address> via; // Unicast only; always onlink
  auto operator<=>(const RouteValue&) const = default;
};
// A gateway has one for each address of a remote pod.
struct RouteCodec {
  [[nodiscard]] static PackedWriter encode(const RouteKey& key, const RouteValue& value);
  [[nodiscard]] static RouteKey key(std::span<const std::uint8_t> record);
  [[nodiscard]] static RouteValue value(std::span<const std::uint8_t> record);
};
using Routes = SharedMap<RouteKey, RouteValue, PackedItems<RouteKey, RouteValue, RouteCodec>>;

enum class RuleAction : std::uint8_t { Lookup, Goto, Nop };
struct RoutingRule {
  Family family = Family::V4;
  std::uint32_t priority = 0;
  std::uint32_t mark = 0, mask = 0; // mask 0: no mark is looked at
  RuleAction action = RuleAction::Lookup;
  std::uint32_t target = 0; // table of Lookup, priority of Goto
  auto operator<=>(const RoutingRule&) const = default;
};

struct NeighbourKey { // permanent, on the tunnel
  Address address;
  auto operator<=>(const NeighbourKey&) const = default;
};

// --- nftables ----------------------------------------------------------------------------------

enum class NftFamily : std::uint8_t { Ip, Ip6, Arp };
enum class KeyType : std::uint8_t {
  Ipv4,
  Ipv6,
  Mark,
  NfProto,
  Ipv4Ether,
  Ipv6Ether,
  Ifname,
  Ipv4Ifname,
  MarkIpv4,
  MarkIpv6
};
enum class DataType : std::uint8_t { None, Verdict, Mark, Ipv4, Ipv6 };

struct ElementKey {
  Bytes first; // the whole key, each part of a concatenation padded to four bytes
  Bytes last;  // interval sets: the last key that belongs to it; else empty
  // Not inline: GCC 14 warns of an overread in the standard library where it is.
  std::strong_ordering operator<=>(const ElementKey& other) const;
  bool operator==(const ElementKey&) const = default;
};
// A verdict in a map, which has thousands: the name of its chain stands in place. One that is
// longer than any of ours (Bytes::kCapacity) throws std::length_error.
struct ElementVerdict {
  VerdictKind kind = VerdictKind::Drop;
  Bytes chain; // its text
  ElementVerdict() = default;
  ElementVerdict(const Verdict& v) // NOLINT(*-explicit-*): the same in another form
      : kind(v.kind), chain(v.chain.begin(), v.chain.end()) {}
  [[nodiscard]] std::string chain_name() const { return {chain.begin(), chain.end()}; }
  [[nodiscard]] Verdict verdict() const { return {kind, chain_name()}; }
  bool operator==(const ElementVerdict&) const = default;
};
using ElementData = std::variant<std::monostate, ElementVerdict, Bytes>;
struct ElementCodec {
  [[nodiscard]] static PackedWriter encode(const ElementKey& key, const ElementData& data);
  [[nodiscard]] static ElementKey key(std::span<const std::uint8_t> record);
  [[nodiscard]] static ElementData value(std::span<const std::uint8_t> record);
};
using Elements =
    SharedMap<ElementKey, ElementData, PackedItems<ElementKey, ElementData, ElementCodec>>;

struct Set { // or map, when data is not None
  KeyType key = KeyType::Ipv4;
  DataType data = DataType::None;
  bool interval = false;
  // Elements go by themselves (the lease, released pods): never read, compared or pruned.
  bool timeout = false;
  Elements elements{};
  // Room for so many elements; 0: for any number. Where it is told, and elements have neither
  // intervals nor timeouts, the kernel takes a table of that size, in which a packet finds its
  // element in half the time, and refuses more elements (ENFILE).
  std::uint32_t size = 0;
  bool operator==(const Set&) const = default;
};

enum class Hook : std::uint8_t { Prerouting, Input, Forward, Output, Postrouting };
struct BaseChain {
  std::string type; // "filter" or "nat"
  Hook hook = Hook::Prerouting;
  std::int32_t priority = 0;
  bool operator==(const BaseChain&) const = default;
};
struct Chain {
  Rare<BaseChain> base; // policy is always accept
  Rules rules;
  bool operator==(const Chain&) const = default;
};

struct Table {
  SharedMap<std::string, Set> sets;
  SharedMap<std::string, Chain> chains;
  bool dormant = false; // switched off by someone; never desired
  bool unowned = false; // could be bound to our socket, and is to nobody's; never desired
  bool operator==(const Table&) const = default;
};

// --- all that is ours ----------------------------------------------------------------------------

struct State {
  std::optional<Vxlan> tunnel;
  std::map<AddressKey, AddressValue> addresses;
  Routes routes;
  std::set<RoutingRule> rules;
  std::map<NeighbourKey, Mac> neighbours;
  std::map<Mac, Address> fdb; // MAC -> underlay address of the peer
  std::map<NftFamily, Table> tables;
  // Families in which iptables-nft's FORWARD chain holds our two accepts (-i and -o the tunnel).
  std::set<Family> forward_accepts;
  bool operator==(const State&) const = default;
};

// --- what is not ours ----------------------------------------------------------------------------

struct HostLink {
  std::uint32_t index = 0;
  std::string name;
  Mac mac;
  std::uint32_t mtu = 0; // bytes
  bool up = false;
  bool operator==(const HostLink&) const = default;
};

struct Host {
  std::map<std::string, HostLink> links;                // by name, ours included
  std::map<std::string, std::vector<Prefix>> addresses; // by link name, ours left out
  // Link of the main table's default route with the lowest metric, and its source-side gateway.
  std::map<Family, std::string> default_link;
  // Gateway of each link's default route in the main table; of several the lowest metric.
  std::map<std::pair<std::string, Family>, Address> gateways;
  std::set<Family> forward_policy_drop; // iptables-nft's filter FORWARD chain drops by policy
  std::set<Family> legacy_forward_drop; // iptables-legacy's, and has no accepts for the tunnel
  bool ipvs = false; // the kernel has IPVS, so Services may be addresses of this node
  bool operator==(const Host&) const = default;
};

struct Observation {
  State state;
  Host host;
};

// A connection tracking entry (nf_conntrack). Ports are 0 where the protocol has none; for ICMP and
// ICMPv6 source_port is the identifier, destination_port type * 256 + code.
struct Tuple {
  Address source, destination;
  std::uint16_t source_port = 0, destination_port = 0; // host order
  auto operator<=>(const Tuple&) const = default;
};
struct Connection {
  std::uint8_t protocol = 0; // IPPROTO_*
  Tuple original, reply;     // reply.source is the real destination, behind any DNAT
  std::uint32_t mark = 0, id = 0;
  bool operator==(const Connection&) const = default;
};

} // namespace egw::net

// Made once: their members are long.
extern template class egw::SharedMap<
    egw::net::ElementKey, egw::net::ElementData,
    egw::PackedItems<egw::net::ElementKey, egw::net::ElementData, egw::net::ElementCodec>>;
extern template class egw::SharedMap<
    egw::net::RouteKey, egw::net::RouteValue,
    egw::PackedItems<egw::net::RouteKey, egw::net::RouteValue, egw::net::RouteCodec>>;
extern template class egw::SharedMap<std::string, egw::net::Set>;
extern template class egw::SharedMap<std::string, egw::net::Chain>;
