// SPDX-License-Identifier: Apache-2.0
#include "egress/ruleset_hooks.hpp"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>
#include <vector>

#include "egress/affected.hpp"
#include "egress/class_chain.hpp"
#include "egress/class_data.hpp"
#include "egress/sources.hpp"
#include "egress/statements.hpp"

namespace egw::egress {

namespace {

using net::BaseChain;
using net::Bytes;
using net::Hook;
using net::KeyType;
using net::NftFamily;
using net::Set;
using net::Table;
// The whole file is about these words.
// NOLINTNEXTLINE(google-build-using-namespace)
using namespace nft;

class Hooks {
 public:
  Hooks(Table& table, const RulesetInput& input, const NodeOptions& options, Family family,
        const std::set<std::uint32_t>& links)
      : table_(table),
        in_(input),
        o_(options),
        family_(family),
        nft_(family == Family::V4 ? NftFamily::Ip : NftFamily::Ip6),
        vias_(links) {}

  void add() {
    if (in_.underlay == family_) underlay();
    incoming();
    classification();
    forwarding();
    translation();
    if (in_.ipvs) service_proxy();
  }

 private:
  Table& table_;
  const RulesetInput& in_;
  const NodeOptions& o_;
  const Family family_;
  const NftFamily nft_;
  const std::set<std::uint32_t>& vias_;

  void chain(const std::string& name, const std::vector<net::Rule>& rules) {
    table_.chains[name] = {{}, rules};
  }
  void hook(const std::string& name, BaseChain base, const std::vector<net::Rule>& rules) {
    table_.chains[name] = {std::move(base), rules};
  }

  bool has_sources() const { return !table_.sets.at(kSourcesSet).elements.empty(); }

  // Outer packets of the tunnel. Before conntrack: saves its cost, and leaves no entries behind.
  void underlay() {
    hook("raw_pre", {"filter", Hook::Prerouting, -310},
         {rule({udp_dport(nft_, o_.port), go("outer_in")})});
    // Others may send to this port too: it can be one that a masquerade chose, which is not known
    // before conntrack. What has another network identifier, the VXLAN device takes from nobody.
    chain("outer_in", {rule({saddr_in(nft_, "nodes"), notrack(), accept()}),
                       rule({vxlan_vni(o_.vni), daddr_is_local(), drop()})});
    hook("raw_out", {"filter", Hook::Output, -310},
         {rule({vxlan_sent(nft_, o_.port, o_.vni), notrack()})});
  }

  // Connections leave here with an EIP, or with the node's own address in its place.
  bool translates() const { return !table_.sets.at("eips").elements.empty(); }

  bool has_eips() const { return !table_.sets.at("eipaddrs").elements.empty(); }
  net::Rule to_eip() const { return rule({daddr_in(nft_, "eipaddrs"), go("eip_in")}); }

  // The first packet of each connection, before service DNAT: a NAT chain sees no other.
  // Unsolicited ones to an EIP; what else comes to one no policy takes, see unsolicited(). And what
  // comes by a tunnel that lost its group, before rules would take it for a packet of this node.
  void incoming() {
    std::vector<net::Rule> first;
    if (has_sources()) {
      first.push_back(
          rule({iifgroup_not(net::kDeviceGroup), iifname(o_.ownership.device), drop()}));
    }
    if (has_eips()) {
      std::vector<net::Rule> in{rule({lease_over("alive"), drop()}), rule({ct_reply(), accept()}),
                                rule({echo_request(nft_), accept()})};
      if (family_ == Family::V6) {
        in.push_back(rule({icmpv6_type(135), accept()}));
        in.push_back(rule({icmpv6_type(136), accept()}));
      }
      in.push_back(rule({drop()}));
      chain("eip_in", in);
      first.push_back(to_eip());
    }
    if (!first.empty()) hook("pre_eip", {"nat", Hook::Prerouting, -110}, first);
  }

  // What comes to an EIP and is no reply: replies are the chain "reply"'s. Behind all that policies
  // take, which pays nothing for it; an input chain would see each packet of the tunnel, too.
  void unsolicited(std::vector<net::Rule>& rules) const {
    if (!has_eips()) return;
    if (family_ == Family::V6) {
      // Asked by multicast or directly, an EIP is only answered for while the lease lasts.
      rules.push_back(rule({nd_target_in("eipaddrs"), lease_over("alive"), drop()}));
    }
    rules.push_back(to_eip());
  }

  // After service DNAT and the de-NAT of replies, before routing: policies judge the real
  // destination.
  void classification() {
    std::vector<net::Rule> rules{rule({ct_reply(), go("reply")}),
                                 rule({iifgroup(net::kDeviceGroup), go("tunnel")})};
    // Outer packets of the tunnel end here, and need not be looked for below. What else comes from
    // a node to such a port, by whatever protocol, is no pod's: but not what came by the tunnel.
    if (in_.underlay == family_) {
      rules.push_back(rule({dport(o_.port), saddr_in(nft_, "nodes"), accept()}));
    }
    if (in_.ipvs) {
      unsolicited(rules);
      // IPVS takes it there, and what becomes of it is seen on its way out: service_proxy().
      rules.push_back(rule({daddr_is_local(), accept()}));
    }
    for (const net::Rule& r : by_source()) rules.push_back(r);
    if (!in_.ipvs) unsolicited(rules);
    hook("prerouting", {"filter", Hook::Prerouting, -95}, rules);
    unclassified();
    std::vector<net::Rule> tunnel{rule({saddr_mac_not_in(nft_, kSourcesSet), drop()})};
    std::vector<net::Rule> reply{rule({ct_mark_is(o_.ct_mask, 0), accept()})};
    if (translates()) {
      // The pod's node has judged this packet by its policies, and its connection was judged here
      // when it began: its EIP is held here, that is enough.
      if (!vias_.empty()) {
        tunnel.push_back(rule({lease_lasts("alive"), ct_mark_vmap(o_.ct_mask, "vias")}));
      }
      tunnel.push_back(rule({ct_mark_found(o_.ct_mask, "eips"), lease_lasts("alive"),
                             found_by_reply_route(), accept()}));
      reply.push_back(rule({ct_mark_is(tunnelled_bit(o_), 0), lease_over("alive"), drop()}));
    }
    // Without remote pods nothing comes as far as here, and the kernel need not follow the map
    // twice when it validates the table.
    if (has_sources()) {
      tunnel.push_back(rule({found_by_reply_route(), priority_by_saddr(nft_, kRemotePodsSet),
                             go("by_remote_policies")}));
      chain("by_remote_policies", by_policies(rule({drop()})));
    }
    tunnel.push_back(rule({drop()}));
    chain("tunnel", tunnel);
    // A pod that is in no class (any more) gets no replies: a gateway that let them go by the CNI's
    // own way would open, on the pod's node, a connection from outside that nobody translates, and
    // the pod's answers would show its address.
    const std::uint32_t mark = mark_of(kReplyIndex, o_.mark_mask).value();
    if (has_sources()) {
      reply.push_back(
          rule({daddr_found(nft_, kRemotePodsSet), set_mark(o_.mark_mask, mark), accept()}));
    }
    reply.push_back(rule({daddr_found(nft_, kPodsSet), accept()}));
    reply.push_back(rule({drop()}));
    chain("reply", reply);
  }

  // For the kernel's check of a source (rp_filter), which is asked of the tunnel with the mark: the
  // table for replies leads to the pod by the tunnel. Without it the main table leads elsewhere,
  // and the kernel searches all tables once more. The way out is not in that table.
  Piece found_by_reply_route() const {
    if (family_ == Family::V6) return {}; // has no such check
    return set_mark(o_.mark_mask, mark_of(kReplyIndex, o_.mark_mask).value());
  }

  // Of a pod whose class is the packet's priority. A class that was another one when it was looked
  // up leads nowhere any more: to `otherwise`.
  static std::vector<net::Rule> by_policies(const net::Rule& otherwise) {
    return {rule({priority_vmap("classes")}), rule({priority_vmap(kWaysMap)}), otherwise};
  }

  std::vector<net::Rule> by_source() const {
    std::vector<net::Rule> rules{rule({priority_by_saddr(nft_, kPodsSet), go("by_policies")}),
                                 rule({saddr_in(nft_, kReleasedSet), go("released")})};
    if (o_.unknown_pods != UnknownPods::Allow) {
      rules.push_back(rule({saddr_in(nft_, "unknown"), go("unknown")}));
    }
    return rules;
  }

  // What no policy took. Of a pod that has a class: in its chain's last rule.
  void unclassified() {
    // Perhaps the end of a connection that a policy had: no NAT is done for it.
    std::vector<net::Rule> untaken{
        rule({saddr_in(nft_, kReleasedSet), ct_invalid(), daddr_not_in(nft_, "cluster"), drop()})};
    if (has_sources()) {
      untaken.insert(untaken.begin(), rule({iifgroup(net::kDeviceGroup), drop()}));
    }
    unsolicited(untaken);
    untaken.push_back(rule({clear_priority(), accept()}));
    chain(kUntakenChain, untaken);
    // Of an address that was in no class when it was looked up: not to be looked up once more, or a
    // pod that becomes known just then would be let through.
    std::vector<net::Rule> released{rule({ct_invalid(), daddr_not_in(nft_, "cluster"), drop()})};
    if (o_.unknown_pods != UnknownPods::Allow) {
      // Perhaps a pod that the API no longer tells of, or one that got its address at once.
      released.push_back(rule({go("unknown")}));
      std::vector<net::Rule> unknown;
      unsolicited(unknown);
      unknown.push_back(rule({saddr_in(nft_, "known"), accept()}));
      unknown.push_back(rule({daddr_in(nft_, "cluster"), accept()}));
      unknown.push_back(rule({daddr_is_local(), accept()})); // leaves by no address
      unknown.push_back(rule({drop()}));
      chain("unknown", unknown);
    } else {
      // Its class was another one when it was looked up, and is gone.
      released.push_back(rule({saddr_found(nft_, kPodsSet), drop()}));
    }
    chain("released", released);
    chain("by_policies", by_policies(rule({go("released")})));
  }

  // To a number: by the route, the kernel would look up another one for each SYN, together a
  // fiftieth of what a connection costs.
  Piece clamp() const {
    const std::uint32_t headers = family_ == Family::V4 ? 20 + 20 : 40 + 20;
    if (in_.mtu <= headers) return clamp_mss();
    return clamp_mss(static_cast<std::uint16_t>(std::min(in_.mtu - headers, 0xffffU)));
  }

  // Before mangle and filter, so that no other program sees our packet mark.
  void forwarding() {
    const std::uint32_t reply = mark_of(kReplyIndex, o_.mark_mask).value();
    const std::uint32_t tunnelled = tunnelled_bit(o_);
    std::vector<net::Rule> rules{rule({oifgroup(net::kDeviceGroup), go("to_tunnel")})};
    // What came by the tunnel to leave here, or a reply to a pod of this node.
    const net::Rule by_reply_route = rule({take_mark(o_.mark_mask, reply), accept()});
    if (has_sources()) rules.push_back(by_reply_route);
    rules.push_back(rule({mark_is_not(o_.mark_mask, 0), go("marked")}));
    rules.push_back(rule({ct_original(), ct_mark_is(tunnelled, tunnelled), drop()}));
    if (in_.underlay == family_) {
      // A pod's own VXLAN, which the CNI's masquerade would make look like a peer's.
      rules.push_back(rule({udp_dport(nft_, o_.port), daddr_in(nft_, "nodes"), drop()}));
    }
    hook("forward", {"filter", Hook::Forward, -160}, rules);
    // Meant for a gateway, but not leaving by the tunnel: a route, rule or the device is missing.
    std::vector<net::Rule> marked{by_reply_route}; // for IPVS, which comes here alone
    for (const std::uint32_t via : vias_) {        // by which link is no matter of a wrong source
      const std::uint32_t mark = mark_of(via, o_.mark_mask).value();
      marked.push_back(rule({take_mark(o_.mark_mask, mark), accept()}));
    }
    marked.push_back(rule({drop()}));
    chain("marked", marked);
    chain("to_tunnel", {rule({tcp_syn(), clamp()}), rule({set_mark(o_.mark_mask, 0)})});
  }

  // A Service of IPVS is an address of the node. What is sent to it ends here, gets its real
  // destination in `input`, and leaves as if the node had sent it, past prerouting and forward. In
  // `output`, then, a pod's packet is judged, and routed by the mark that it gets.
  void service_proxy() {
    std::vector<net::Rule> rules{rule({ct_reply(), accept()})};
    for (const net::Rule& r : by_source()) rules.push_back(r);
    hook("output", {"route", Hook::Output, -95}, rules);
    hook("leaving", {"filter", Hook::Postrouting, -160},
         {rule({mark_is_not(o_.mark_mask, 0), go("marked_leaving")})});
    chain("marked_leaving",
          {rule({oifgroup(net::kDeviceGroup), go("to_tunnel")}), rule({go("marked")})});
  }

  // Before every other source NAT chain. Only a binding keeps a later MASQUERADE from acting, hence
  // the translation of a tunnelled pod to itself.
  void translation() {
    hook("postrouting", {"nat", Hook::Postrouting, 90},
         {rule({oifgroup(net::kDeviceGroup), snat_to_saddr(nft_)}),
          // Of a pod that took an EIP for its own: nothing has chosen that source.
          rule({saddr_in(nft_, "all_eips"), daddr_not_in(nft_, "cluster"), drop()}),
          rule({ct_mark_is(o_.ct_mask, 0), accept()}), rule({snat_by_ct_mark(id_mask(o_), "eips")}),
          rule({drop()})});
  }
};

constexpr std::size_t kIfnameKey = 4 + 16; // an IPv4 address and IFNAMSIZ

} // namespace

std::uint32_t tunnelled_bit(const NodeOptions& o) {
  return std::bit_floor(o.ct_mask);
}
std::uint32_t id_mask(const NodeOptions& o) {
  return o.ct_mask & ~tunnelled_bit(o);
}

void add_hooks(Table& table, const RulesetInput& input, const NodeOptions& options, Family family,
               const std::set<std::uint32_t>& links) {
  Hooks(table, input, options, family, links).add();
}

Table arp_table(const RulesetInput& input) {
  Table table;
  Set eips{.key = KeyType::Ipv4}, links{.key = KeyType::Ipv4Ifname};
  for (const auto& [id, place] : input.eips) {
    if (place.where == EipPlace::Where::Here && place.ipv4 && !place.node_ip) {
      eips.elements.try_emplace({bytes_of(*place.ipv4), {}});
      Bytes key = bytes_of(*place.ipv4);
      key.append(place.link4.begin(), place.link4.end());
      key.resize(kIfnameKey);
      links.elements.try_emplace({key, {}});
    }
  }
  table.sets["eipaddrs"] = std::move(eips);
  table.sets["eiplinks"] = std::move(links);
  table.sets["alive"] = {.key = KeyType::NfProto, .timeout = true};
  table.chains["input"] = {
      BaseChain{"filter", Hook::Input, 0},
      {rule({arp_request_for("eipaddrs"), lease_over("alive"), drop()}),
       // By itself Linux answers on every interface for any address.
       rule({arp_request_for("eipaddrs"), arp_elsewhere("eiplinks"), drop()})}};
  return table;
}

} // namespace egw::egress
