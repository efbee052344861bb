// SPDX-License-Identifier: Apache-2.0
#include "netns/sample.hpp"

#include <net/if.h>

#include <array>
#include <cstring>

namespace egw::test {

using namespace net;
using namespace net::expr;

Bytes key_of(const Address& a) {
  return {a.bytes.begin(), a.bytes.begin() + static_cast<std::ptrdiff_t>(a.size())};
}
Bytes key_of(std::uint32_t host_order) {
  Bytes b(sizeof host_order);
  std::memcpy(b.data(), &host_order, sizeof host_order);
  return b;
}
ElementKey element(const char* address) {
  return {key_of(ip(address)), {}};
}
ElementKey element(std::uint32_t mark) {
  return {key_of(mark), {}};
}
ElementKey interval(const char* first, const char* last) {
  return {key_of(ip(first)), key_of(ip(last))};
}

Node::Node() {
  {
    const Netns::Inside inside(ns);
    run("ip link add up0 type veth peer name peer0 netns " + peer.path() +
        " && ip link set up0 up && ip addr add 192.0.2.1/24 dev up0 && "
        "ip addr add 2001:db8::1/64 dev up0 nodad && ip route add default via 192.0.2.2 && "
        "ip -6 route add default via 2001:db8::2");
  }
  const Netns::Inside inside(peer);
  run("ip link set peer0 up && ip addr add 192.0.2.2/24 dev peer0 && "
      "ip addr add 2001:db8::2/64 dev peer0 nodad");
}

std::uint32_t Node::parent() const {
  return if_nametoindex("up0");
}

namespace {

constexpr std::uint32_t kEipMask = 0x7fff0000, kMarkMask = 0x307f;
const Verdict kDrop{VerdictKind::Drop, ""}, kAccept{VerdictKind::Accept, ""};
Verdict go(const char* chain) {
  return {VerdictKind::Goto, chain};
}
Verdict jump(const char* chain) {
  return {VerdictKind::Jump, chain};
}

Bytes name16(const char* name) {
  Bytes b(name, name + std::strlen(name));
  b.resize(16);
  return b;
}

Rule operator+(Rule a, const Rule& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Rule set_mark(std::uint32_t mark) {
  return {MetaLoad{MetaKey::Mark, 1}, Bitwise{1, 1, key_of(~kMarkMask), key_of(mark)},
          MetaSet{MetaKey::Mark, 1}};
}
Rule ct_eip(CmpOp op, std::uint32_t id) {
  return {CtLoad{CtKey::Mark, 1}, Bitwise{1, 1, key_of(kEipMask), key_of(0)},
          Cmp{op, 1, key_of(id << 16U)}};
}
Rule udp_port() {
  return {MetaLoad{MetaKey::L4proto, 1}, Cmp{CmpOp::Eq, 1, {17}},
          Payload{PayloadBase::Transport, 2, 2, 1}, Cmp{CmpOp::Eq, 1, {0x1e, 0x6d}}};
}
Rule mss() {
  return {MetaLoad{MetaKey::L4proto, 1},
          Cmp{CmpOp::Eq, 1, {6}},
          Payload{PayloadBase::Transport, 13, 1, 1},
          Bitwise{1, 1, {0x06}, {0x00}},
          Cmp{CmpOp::Eq, 1, {0x02}},
          RouteMss{1},
          Byteorder{1, 1, 2, 2},
          TcpMssSet{1}};
}
Rule mss_seen() {
  return {TcpMssLoad{1}, Cmp{CmpOp::Gt, 1, {0x05, 0xb4}}, Counter{}, Decide{kDrop}};
}

Table ip_table(Family family) {
  const bool v4 = family == Family::V4;
  const std::uint32_t length = v4 ? 4 : 16, source = v4 ? 12 : 8, destination = v4 ? 16 : 24;
  const KeyType address = v4 ? KeyType::Ipv4 : KeyType::Ipv6;
  const Payload saddr{PayloadBase::Network, source, length, 1};
  const Payload daddr{PayloadBase::Network, destination, length, 1};
  const char* pod = v4 ? "10.1.0.5" : "fd00:1::5";
  const char* eip = v4 ? "192.0.2.50" : "2001:db8::50";

  Table t;
  t.sets["cluster"] = {
      address, DataType::None, true, false,
      v4 ? Elements{{interval("10.0.0.0", "10.255.255.255"), {}},
                    {interval("127.0.0.0", "127.255.255.255"), {}},
                    {interval("224.0.0.0", "255.255.255.255"), {}}}
         : Elements{{interval("::", "::1"), {}},
                    {interval("fd00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), {}},
                    {interval("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), {}}}};
  t.sets["d_1"] = {address,
                   DataType::None,
                   true,
                   false,
                   {{interval(v4 ? "0.0.0.0" : "::",
                              v4 ? "255.255.255.255" : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                     {}}}};
  t.sets["nodes"] = {
      address, DataType::None, false, false, {{element(v4 ? "192.0.2.2" : "2001:db8::2"), {}}}};
  t.sets["eipaddrs"] = {address, DataType::None, false, false, {{element(eip), {}}}};
  t.sets["alive"] = {KeyType::NfProto, DataType::None, false, true, {}};
  t.sets["uplinks"] = {KeyType::Ifname, DataType::None, false, false, {{{name16("up0"), {}}, {}}}};
  Bytes with_mac = key_of(ip(pod));
  constexpr std::array kMac{0x66, 0, 0, 0, 0, 2, 0, 0}; // padded
  with_mac.append(kMac.begin(), kMac.end());
  t.sets["macs"] = {v4 ? KeyType::Ipv4Ether : KeyType::Ipv6Ether,
                    DataType::None,
                    false,
                    false,
                    {{{with_mac, {}}, {}}}};
  t.sets["eips"] = {KeyType::Mark,
                    v4 ? DataType::Ipv4 : DataType::Ipv6,
                    false,
                    false,
                    {{element(0x10000), key_of(ip(eip))}}};
  t.sets["pods"] = {address, DataType::Verdict, false, false, {{element(pod), go("c_1")}}};
  t.sets["marks"] = {address, DataType::Mark, false, false, {{element(pod), key_of(1U)}}};
  t.sets["classes"] = {KeyType::Mark,
                       DataType::Verdict,
                       false,
                       false,
                       {{element(1U), go("p_A")},
                        {element(2U), jump("p_B")},
                        {element(3U), kDrop},
                        {element(4U), kAccept},
                        {element(5U), Verdict{VerdictKind::Return, ""}}}};

  t.chains["gw_3"] = {
      {},
      {Rule{MetaLoad{MetaKey::IifName, 1}, Cmp{CmpOp::Eq, 1, name16("egw0")}, Decide{kDrop}},
       set_mark(2) + Rule{Decide{kAccept}}}};
  t.chains["eip_1"] = {
      {},
      {ct_eip(CmpOp::Eq, 1) + Rule{Decide{kAccept}},
       Rule{CtLoad{CtKey::State, 1}, Bitwise{1, 1, key_of(8U), key_of(0)},
            Cmp{CmpOp::Neq, 1, key_of(0)}, CtLoad{CtKey::Mark, 1},
            Bitwise{1, 1, key_of(0xffffU), key_of(0x10000U)}, CtSet{CtKey::Mark, 1}},
       Rule{Decide{kDrop}}}};
  t.chains["eip_2"] = {{}, {Rule{Decide{go("gw_3")}}}};
  t.chains["p_A"] = {{}, {Rule{daddr, Lookup{"d_1", 1}, Decide{go("eip_2")}}}};
  t.chains["p_B"] = {{}, {Rule{daddr, Lookup{"cluster", 1, 0, true}, Decide{go("eip_1")}}}};
  t.chains["c_1"] = {{},
                     {Rule{Decide{jump("p_A")}}, Rule{Decide{jump("p_B")}},
                      Rule{Decide{{VerdictKind::Return, ""}}}}};
  t.chains["lone"] = {{}, {}};
  t.chains["raw_pre"] = {
      BaseChain{"filter", Hook::Prerouting, -310},
      {udp_port() + Rule{saddr, Lookup{"nodes", 1}, Notrack{}, Decide{kAccept}},
       udp_port() + Rule{FibAddrType{1}, Cmp{CmpOp::Eq, 1, key_of(2U)}, Decide{kDrop}}}};
  t.chains["raw_out"] = {BaseChain{"filter", Hook::Output, -310},
                         {udp_port() + Rule{daddr, Lookup{"nodes", 1}, Notrack{}}}};
  t.chains["input"] = {
      BaseChain{"filter", Hook::Input, -5},
      {Rule{MetaLoad{MetaKey::NfProto, 1}, Lookup{"alive", 1, 0, true}, daddr,
            Lookup{"eipaddrs", 1}, Decide{kDrop}},
       Rule{MetaLoad{MetaKey::Pkttype, 1}, Cmp{CmpOp::Eq, 1, {1}}, MetaLoad{MetaKey::Iif, 1},
            Cmp{CmpOp::Neq, 1, key_of(7U)}, Decide{kAccept}}}};
  t.chains["prerouting"] = {BaseChain{"filter", Hook::Prerouting, -95},
                            {Rule{CtLoad{CtKey::Direction, 1}, Cmp{CmpOp::Eq, 1, {1}},
                                  CtLoad{CtKey::Status, 1}, Bitwise{1, 1, key_of(0x20U), key_of(0)},
                                  Cmp{CmpOp::Neq, 1, key_of(0)}, Decide{kAccept}},
                             Rule{saddr, Lookup{"pods", 1, 0, false, true}},
                             Rule{saddr, Lookup{"marks", 1, 1}, MetaSet{MetaKey::Mark, 1}},
                             Rule{MetaLoad{MetaKey::Mark, 1}, Lookup{"classes", 1, 0, false, true}},
                             Rule{saddr, Payload{PayloadBase::Link, 6, 6, v4 ? 9U : 2U},
                                  Lookup{"macs", 1, 0, true}, Counter{}, Decide{kDrop}}}};
  t.chains["forward"] = {
      BaseChain{"filter", Hook::Forward, -160},
      {mss(), mss_seen(),
       Rule{MetaLoad{MetaKey::OifName, 1}, Lookup{"uplinks", 1}, MetaLoad{MetaKey::Oif, 1},
            Cmp{CmpOp::Eq, 1, key_of(3U)}},
       Rule{MetaLoad{MetaKey::Mark, 1}, Bitwise{1, 1, key_of(kMarkMask), key_of(0)},
            Byteorder{1, 1, 4, 4}, Cmp{CmpOp::Gt, 1, {0, 0, 0, 1}}, Decide{kDrop}},
       set_mark(0)}};
  t.chains["postrouting"] = {
      BaseChain{"nat", Hook::Postrouting, 90},
      {Rule{MetaLoad{MetaKey::OifName, 1}, Cmp{CmpOp::Eq, 1, name16("egw0")}, saddr, Snat{1}},
       ct_eip(CmpOp::Eq, 0) + Rule{Decide{kAccept}},
       Rule{CtLoad{CtKey::Mark, 1}, Bitwise{1, 1, key_of(kEipMask), key_of(0)},
            Lookup{"eips", 1, 1}, Snat{1}},
       Rule{Immediate{1, key_of(ip(eip))}, Snat{1}}, Rule{Decide{kDrop}}}};
  return t;
}

Table arp_table() {
  Table t;
  t.sets["eipaddrs"] = {KeyType::Ipv4, DataType::None, false, false, {{element("192.0.2.50"), {}}}};
  t.sets["alive"] = {KeyType::NfProto, DataType::None, false, true, {}};
  const Rule closed{Payload{PayloadBase::Network, 24, 4, 1}, Lookup{"eipaddrs", 1},
                    MetaLoad{MetaKey::NfProto, 1}, Lookup{"alive", 1, 0, true}, Decide{kDrop}};
  t.chains["input"] = {BaseChain{"filter", Hook::Input, 0}, {closed}};
  t.chains["output"] = {BaseChain{"filter", Hook::Output, 0}, {}};
  return t;
}

} // namespace

State sample_state(std::uint32_t parent) {
  State s;
  s.tunnel = Vxlan{mac("66:00:00:00:00:01"), 100, 7789, ip("192.0.2.1"), parent, 1450};
  s.addresses[{"egw0", prefix("172.31.0.1/32")}] = {};
  s.addresses[{"egw0", {ip("fe80::6600:1"), 64}}] = {};
  s.addresses[{"up0", prefix("192.0.2.50/32")}] = {.eip = true};
  s.addresses[{"up0", prefix("2001:db8::50/128")}] = {.eip = true};
  s.neighbours[{ip("172.31.0.2")}] = mac("66:00:00:00:00:02");
  s.neighbours[{ip("fe80::6600:2")}] = mac("66:00:00:00:00:02");
  s.fdb[mac("66:00:00:00:00:02")] = ip("192.0.2.2");
  const RouteValue v4{RouteType::Unicast, "egw0", ip("172.31.0.2")};
  const RouteValue v6{RouteType::Unicast, "egw0", ip("fe80::6600:2")};
  s.routes.insert_or_assign({7702, prefix("0.0.0.0/0"), 1}, v4);
  s.routes.insert_or_assign({7702, prefix("0.0.0.0/0"), 4294967295U},
                            {RouteType::Blackhole, "", {}});
  s.routes.insert_or_assign({7702, prefix("10.1.0.0/16"), 0}, {RouteType::Throw, "", {}});
  s.routes.insert_or_assign({7700, prefix("10.1.0.5/32"), 0}, v4);
  s.routes.insert_or_assign({7702, prefix("::/0"), 1}, v6);
  s.routes.insert_or_assign({7702, prefix("::/0"), 4294967295U}, {RouteType::Blackhole, "", {}});
  s.routes.insert_or_assign({7700, prefix("fd00:1::5/128"), 1024}, v6);
  for (const Family f : {Family::V4, Family::V6}) {
    s.rules.insert({f, 98, 0, kMarkMask, RuleAction::Goto, 100});
    s.rules.insert({f, 99, 1, kMarkMask, RuleAction::Lookup, 7700});
    s.rules.insert({f, 99, 2, kMarkMask, RuleAction::Lookup, 7702});
    s.rules.insert({f, 100, 0, 0, RuleAction::Nop, 0});
  }
  s.tables[NftFamily::Ip] = ip_table(Family::V4);
  s.tables[NftFamily::Ip6] = ip_table(Family::V6);
  s.tables[NftFamily::Arp] = arp_table();
  return s;
}

net::Ownership shared_tables() {
  Ownership own;
  own.exclusive = false;
  return own;
}

std::string print(const std::vector<Error>& errors) {
  std::string text;
  for (const Error& e : errors) text += e.message + "\n";
  return text;
}

std::string print(const Batch& batch) {
  std::string text;
  for (const LinkOp& op : batch.before) text += "before: " + to_string(op) + "\n";
  for (const NftOp& op : batch.nft) text += "nft: " + to_string(op) + "\n";
  for (const LinkOp& op : batch.after) text += "after: " + to_string(op) + "\n";
  return text;
}

std::vector<Error> reconcile(Kernel& kernel, const State& desired) {
  return kernel.apply(diff(kernel.observe().state, desired));
}

} // namespace egw::test
