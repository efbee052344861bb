// SPDX-License-Identifier: Apache-2.0
#include "egress/ruleset.hpp"

#include <algorithm>
#include <bit>
#include <set>

#include "base/digest.hpp"
#include "egress/affected.hpp"
#include "egress/statements.hpp"

namespace egw::egress {

namespace {

using net::BaseChain;
using net::Bytes;
using net::DataType;
using net::ElementKey;
using net::Hook;
using net::KeyType;
using net::NftFamily;
using net::Set;
using net::Table;
// The whole file is about these words.
// NOLINTNEXTLINE(google-build-using-namespace)
using namespace nft;

Bytes bytes_of(const Address& a) {
  return {a.bytes.data(), a.bytes.data() + a.size()};
}

ElementKey key_of(const Range& r) {
  return {bytes_of(r.first), bytes_of(r.last)};
}

// Address and MAC as one key; each part starts at a multiple of four bytes.
ElementKey key_of(const Address& a, const Mac& mac) {
  Bytes key = bytes_of(a);
  key.append(mac.bytes.begin(), mac.bytes.end());
  key.resize(key.size() + 2);
  return {key, {}};
}

std::uint32_t tunnelled_bit(const NodeOptions& o) {
  return std::bit_floor(o.ct_mask);
}
std::uint32_t id_mask(const NodeOptions& o) {
  return o.ct_mask & ~tunnelled_bit(o);
}
std::uint32_t id_bits(std::int32_t id, const NodeOptions& o) {
  return (static_cast<std::uint32_t>(id) << std::countr_zero(o.ct_mask)) & id_mask(o);
}

std::string digest_of(const std::vector<Range>& ranges) {
  std::string text;
  for (const Range& r : ranges) text += r.to_string() + ",";
  return short_digest(text);
}

std::string eip_chain(std::int32_t id) {
  return "eip_" + std::to_string(id);
}
// Of connections that leave by another interface than the main table's.
std::string link_chain(std::uint32_t index) {
  return "via_" + std::to_string(index);
}
std::string gateway_chain(std::uint32_t index) {
  return "gw_" + std::to_string(index);
}

// Builds the table of one family. A class of its own only to share what every part needs.
class Builder {
 public:
  Builder(const RulesetInput& input, const NodeOptions& options, Family family)
      : in_(input),
        o_(options),
        family_(family),
        nft_(family == Family::V4 ? NftFamily::Ip : NftFamily::Ip6),
        device_(options.ownership.device) {}

  Table build() {
    sets();
    known();
    classes();
    eips();
    if (in_.underlay == family_) underlay();
    incoming();
    classification();
    forwarding();
    translation();
    return std::move(table_);
  }

 private:
  const RulesetInput& in_;
  const NodeOptions& o_;
  const Family family_;
  const NftFamily nft_;
  const std::string device_;
  Table table_;
  std::set<std::uint32_t> vias_; // indices of links in use

  KeyType address_key() const { return family_ == Family::V4 ? KeyType::Ipv4 : KeyType::Ipv6; }

  void chain(const std::string& name, std::vector<net::Rule> rules) {
    table_.chains[name] = {std::nullopt, std::move(rules)};
  }
  void hook(const std::string& name, BaseChain base, std::vector<net::Rule> rules) {
    table_.chains[name] = {std::move(base), std::move(rules)};
  }

  // A set of ranges named by its content, so that policies with the same destinations share it.
  std::string ranges_set(const std::string& prefix, const std::vector<Range>& ranges) {
    const std::string name = prefix + digest_of(ranges);
    Set& set = table_.sets[name];
    set.key = address_key();
    set.interval = true;
    for (const Range& r : ranges) set.elements[key_of(r)];
    return name;
  }

  void sets() {
    Set cluster{.key = address_key(), .interval = true};
    for (const Range& r : in_.cluster.ranges(family_)) cluster.elements[key_of(r)];
    table_.sets["cluster"] = std::move(cluster);

    Set eips{.key = KeyType::Mark, .data = family_ == Family::V4 ? DataType::Ipv4 : DataType::Ipv6};
    Set addresses{.key = address_key()};
    Set vias{.key = KeyType::Mark, .data = DataType::Verdict};
    for (const auto& [id, place] : in_.eips) {
      const auto& eip = family_ == Family::V4 ? place.ipv4 : place.ipv6;
      if (place.where != EipPlace::Where::Here || !eip) continue;
      eips.elements[{host32(id_bits(id, o_)), {}}] = bytes_of(*eip);
      if (!place.node_ip) addresses.elements[{bytes_of(*eip), {}}];
      if (const std::uint32_t via = place.via(family_); via != 0) {
        vias_.insert(via);
        vias.elements[{host32(id_bits(id, o_)), {}}] =
            net::Verdict{net::VerdictKind::Goto, link_chain(via)};
      }
    }
    table_.sets["eips"] = std::move(eips);
    if (!vias_.empty()) table_.sets["vias"] = std::move(vias);
    table_.sets["eipaddrs"] = std::move(addresses);
    table_.sets["alive"] = {.key = KeyType::NfProto, .timeout = true};
    table_.sets[kReleasedSet] = {.key = address_key(), .timeout = true};

    // Apart, so that no pod of this node gets what a remote one has by using its address.
    Set pods{.key = address_key(), .data = DataType::Mark}, remote = pods;
    for (const auto& [address, id] : in_.pods) {
      if (address.family != family_) continue;
      const bool far =
          std::ranges::binary_search(in_.sources, address, {}, &std::pair<Address, Mac>::first);
      (far ? remote : pods).elements[{bytes_of(address), {}}] = host32(id);
    }
    table_.sets["pods"] = std::move(pods);
    table_.sets[kRemotePodsSet] = std::move(remote);

    Set all_eips{.key = address_key()};
    for (const Address& eip : in_.all_eips) {
      if (eip.family == family_) all_eips.elements[{bytes_of(eip), {}}];
    }
    table_.sets["all_eips"] = std::move(all_eips);

    Set sources{.key = family_ == Family::V4 ? KeyType::Ipv4Ether : KeyType::Ipv6Ether};
    for (const auto& [address, mac] : in_.sources) {
      if (address.family == family_) sources.elements[key_of(address, mac)];
    }
    table_.sets["sources"] = std::move(sources);
  }

  // All pods of this node that are known stand in "pods" or in "known".
  void known() {
    if (o_.unknown_pods == UnknownPods::Allow) return;
    Set known{.key = address_key()};
    for (const Address& address : in_.unselected) {
      if (address.family == family_) known.elements[{bytes_of(address), {}}];
    }
    table_.sets["known"] = std::move(known);
    Set unknown{.key = address_key(), .interval = true};
    for (const Range& r : in_.unknown.ranges(family_)) unknown.elements[key_of(r)];
    table_.sets["unknown"] = std::move(unknown);
  }

  bool has_sources() const { return !table_.sets.at("sources").elements.empty(); }

  // Forwarding sets an IPv4 packet's priority anew (ip_forward), so there only what may end here or
  // goes on untouched needs it cleared; in IPv6 a class begins with that.
  bool forward_clears() const { return family_ == Family::V4; }

  net::Rule decide(Piece match, const PolicyRule& policy) const {
    switch (policy.of(family_)) {
      case Fate::Eip:
        return rule({std::move(match), go(eip_chain(policy.eip_id))});
      case Fate::Untouched:
        return rule({std::move(match), forward_clears() ? clear_priority() : Piece{}, give_back()});
      case Fate::Drop:
        break;
    }
    return rule({std::move(match), drop()});
  }

  void classes() {
    Set map{.key = KeyType::Mark, .data = DataType::Verdict};
    for (const auto& [id, pod_class] : in_.classes) {
      // A class is jumped to: what no policy takes comes back, and goes on untouched, or is dropped
      // when it came by the tunnel.
      std::vector<net::Rule> rules;
      if (!forward_clears()) rules.push_back(rule({clear_priority()}));
      bool inside_is_out = false;
      for (const PolicyRule& policy : pod_class.policies) {
        // Addresses inside the cluster are never captured, whatever a policy says; where it names
        // none of them the look-up is saved.
        if (!inside_is_out && may_capture_inside(policy)) {
          const Piece clear = forward_clears() ? clear_priority() : Piece{};
          rules.push_back(rule({daddr_in(nft_, "cluster"), clear, give_back()}));
          inside_is_out = true;
        }
        add_policy(rules, policy);
      }
      if (forward_clears()) rules.push_back(rule({clear_priority()}));
      chain(pod_class.name, std::move(rules));
      map.elements[{host32(id), {}}] = net::Verdict{net::VerdictKind::Jump, pod_class.name};
    }
    table_.sets["classes"] = std::move(map);
  }

  bool may_capture_inside(const PolicyRule& policy) const {
    return policy.everything_outside || policy.destinations.first_overlap(in_.cluster).has_value();
  }

  void add_policy(std::vector<net::Rule>& rules, const PolicyRule& policy) {
    if (!policy.everything_outside) {
      const auto ranges = policy.destinations.ranges(family_);
      if (!ranges.empty()) {
        rules.push_back(decide(daddr_in(nft_, ranges_set("d_", ranges)), policy));
      }
      return;
    }
    const auto excluded = policy.excluded.ranges(family_);
    if (excluded.empty()) {
      rules.push_back(decide({}, policy));
    } else {
      rules.push_back(decide(daddr_not_in(nft_, ranges_set("x_", excluded)), policy));
    }
  }

  void eips() {
    const std::uint32_t mask = o_.ct_mask;
    for (const auto& [id, place] : in_.eips) {
      std::vector<net::Rule> rules;
      if (place.where == EipPlace::Where::Here) {
        const std::uint32_t mark = ct_mark_here(id, o_);
        const std::uint32_t via = place.via(family_);
        const Piece on = via == 0 ? accept() : go(link_chain(via));
        if (via != 0) chain(link_chain(via), to_link(via));
        rules = {rule({lease_over("alive"), drop()}), rule({ct_mark_is(mask, mark), on}),
                 rule({ct_new(), ct_mark_is(mask, 0), set_ct_mark(mask, mark), on})};
      } else if (place.where == EipPlace::Where::Tunnel) {
        const std::uint32_t mark = ct_mark_tunnelled(id, o_);
        const std::string gateway = gateway_chain(place.gateway);
        rules = {rule({ct_mark_is(mask, mark), go(gateway)}),
                 rule({ct_new(), ct_mark_is(mask, 0), set_ct_mark(mask, mark), go(gateway)})};
        chain(gateway, to_gateway(place.gateway));
      }
      // A connection older than the policy, of another EIP, or invalid; or nobody holds the EIP.
      rules.push_back(rule({drop()}));
      chain(eip_chain(id), std::move(rules));
    }
  }

  std::vector<net::Rule> to_link(std::uint32_t index) const {
    return {rule({set_mark(o_.mark_mask, mark_of(index, o_.mark_mask).value()), accept()})};
  }

  std::vector<net::Rule> to_gateway(std::uint32_t index) const {
    std::vector<net::Rule> rules;
    // What came by the tunnel never goes back into it: two nodes that disagree would play
    // ping-pong. Without remote pods nothing that came by it gets as far as here.
    if (has_sources()) rules.push_back(rule({iifname(device_), drop()}));
    rules.push_back(rule({set_mark(o_.mark_mask, mark_of(index, o_.mark_mask).value()), accept()}));
    return rules;
  }

  // Outer packets of the tunnel. Before conntrack: saves its cost, and leaves no entries behind.
  void underlay() {
    Set nodes{.key = address_key()};
    for (const Address& peer : in_.peers) {
      if (peer.family == family_) nodes.elements[{bytes_of(peer), {}}];
    }
    table_.sets["nodes"] = std::move(nodes);
    hook("raw_pre", {"filter", Hook::Prerouting, -310},
         {rule({udp_dport(o_.port), go("outer_in")})});
    chain("outer_in",
          {rule({saddr_in(nft_, "nodes"), notrack(), accept()}), rule({daddr_is_local(), drop()})});
    hook("raw_out", {"filter", Hook::Output, -310},
         {rule({udp_dport(o_.port), daddr_in(nft_, "nodes"), notrack()})});
  }

  // Connections leave here with an EIP, or with the node's own address in its place.
  bool translates() const { return !table_.sets.at("eips").elements.empty(); }

  // Unsolicited packets to an EIP: new ones before service DNAT, in a NAT chain, which sees the
  // first packet of a connection alone; and all that would end on this node. So packets that are
  // forwarded pay for neither. Replies are the chain "reply"'s.
  void incoming() {
    if (table_.sets.at("eipaddrs").elements.empty()) return;
    std::vector<net::Rule> in{rule({lease_over("alive"), drop()}), rule({ct_reply(), accept()}),
                              rule({echo_request(nft_), accept()})};
    const net::Rule to_eip = rule({daddr_in(nft_, "eipaddrs"), go("eip_in")});
    std::vector<net::Rule> ends_here{to_eip};
    if (family_ == Family::V6) {
      // Asked by multicast or directly, an EIP is only answered for while the lease lasts.
      ends_here.insert(ends_here.begin(),
                       rule({nd_target_in("eipaddrs"), lease_over("alive"), drop()}));
      in.push_back(rule({icmpv6_type(135), accept()}));
      in.push_back(rule({icmpv6_type(136), accept()}));
    }
    in.push_back(rule({drop()}));
    chain("eip_in", std::move(in));
    hook("pre_eip", {"nat", Hook::Prerouting, -110}, {to_eip});
    hook("input", {"filter", Hook::Input, -160}, std::move(ends_here));
  }

  // After service DNAT and the de-NAT of replies, before routing: policies judge the real
  // destination.
  void classification() {
    hook("prerouting", {"filter", Hook::Prerouting, -95},
         {rule({ct_reply(), go("reply")}), rule({iifname(device_), go("tunnel")}),
          rule({classify(nft_, "pods", "classes")}),
          rule({saddr_in(nft_, kReleasedSet), go("released")})});
    unclassified();
    std::vector<net::Rule> tunnel{rule({saddr_mac_not_in(nft_, "sources"), drop()})};
    std::vector<net::Rule> reply{rule({ct_mark_is(o_.ct_mask, 0), accept()})};
    if (translates()) {
      // The pod's node has judged this packet by its policies, and its connection was judged here
      // when it began: its EIP is held here, that is enough.
      if (!vias_.empty()) {
        tunnel.push_back(rule({lease_lasts("alive"), ct_mark_vmap(o_.ct_mask, "vias")}));
      }
      tunnel.push_back(rule({ct_mark_found(o_.ct_mask, "eips"), lease_lasts("alive"), accept()}));
      reply.push_back(rule({ct_mark_is(tunnelled_bit(o_), 0), lease_over("alive"), drop()}));
    }
    tunnel.push_back(rule({classify(nft_, kRemotePodsSet, "classes")}));
    tunnel.push_back(rule({drop()}));
    chain("tunnel", std::move(tunnel));
    // A pod that is in no class (any more) gets no replies: a gateway that let them go by the CNI's
    // own way would open, on the pod's node, a connection from outside that nobody translates, and
    // the pod's answers would show its address.
    const std::uint32_t mark = mark_of(kReplyIndex, o_.mark_mask).value();
    if (has_sources()) {
      reply.push_back(
          rule({daddr_found(nft_, kRemotePodsSet), set_mark(o_.mark_mask, mark), accept()}));
    }
    reply.push_back(rule({daddr_found(nft_, "pods"), accept()}));
    reply.push_back(rule({drop()}));
    chain("reply", std::move(reply));
  }

  // What no policy took.
  void unclassified() {
    // Perhaps the end of a connection that a policy had: no NAT is done for it.
    std::vector<net::Rule> released{rule({ct_invalid(), daddr_not_in(nft_, "cluster"), drop()})};
    if (o_.unknown_pods != UnknownPods::Allow) {
      // Perhaps a pod that the API no longer tells of, or one that got its address at once.
      released.push_back(rule({go("unknown")}));
      table_.chains.at("prerouting")
          .rules.push_back(rule({saddr_in(nft_, "unknown"), go("unknown")}));
      chain("unknown",
            {rule({saddr_in(nft_, "known"), accept()}), rule({saddr_found(nft_, "pods"), accept()}),
             rule({daddr_in(nft_, "cluster"), accept()}),
             // What ends here, at an EIP for one, leaves by no address.
             rule({daddr_is_local(), accept()}), rule({drop()})});
    }
    chain("released", std::move(released));
  }

  // Before mangle and filter, so that no other program sees our packet mark.
  void forwarding() {
    const std::uint32_t reply = mark_of(kReplyIndex, o_.mark_mask).value();
    const std::uint32_t tunnelled = tunnelled_bit(o_);
    std::vector<net::Rule> rules{rule({oifname(device_), go("to_tunnel")}),
                                 rule({mark_is_not(o_.mark_mask, 0), go("marked")}),
                                 rule({ct_mark_is(tunnelled, tunnelled), ct_original(), drop()})};
    if (in_.underlay == family_) {
      // A pod's own VXLAN, which the CNI's masquerade would make look like a peer's.
      rules.push_back(rule({udp_dport(o_.port), daddr_in(nft_, "nodes"), drop()}));
    }
    hook("forward", {"filter", Hook::Forward, -160}, std::move(rules));
    // Meant for a gateway, but not leaving by the tunnel: a route, rule or the device is missing.
    // A reply to a pod of this node is all right.
    std::vector<net::Rule> marked{
        rule({mark_is(o_.mark_mask, reply), set_mark(o_.mark_mask, 0), accept()})};
    for (const std::uint32_t via : vias_) { // by which link is no matter of a wrong source
      const std::uint32_t mark = mark_of(via, o_.mark_mask).value();
      marked.push_back(rule({mark_is(o_.mark_mask, mark), set_mark(o_.mark_mask, 0), accept()}));
    }
    marked.push_back(rule({drop()}));
    chain("marked", std::move(marked));
    chain("to_tunnel", {rule({tcp_syn(), clamp_mss()}), rule({set_mark(o_.mark_mask, 0)})});
  }

  // Before every other source NAT chain. Only a binding keeps a later MASQUERADE from acting, hence
  // the translation of a tunnelled pod to itself.
  void translation() {
    hook("postrouting", {"nat", Hook::Postrouting, 90},
         {rule({oifname(device_), snat_to_saddr(nft_)}),
          // Of a pod that took an EIP for its own: nothing has chosen that source.
          rule({saddr_in(nft_, "all_eips"), daddr_not_in(nft_, "cluster"), drop()}),
          rule({ct_mark_is(o_.ct_mask, 0), accept()}), rule({snat_by_ct_mark(id_mask(o_), "eips")}),
          rule({drop()})});
  }
};

constexpr std::size_t kIfnameKey = 4 + 16; // an IPv4 address and IFNAMSIZ

Table arp_table(const RulesetInput& input) {
  Table table;
  Set eips{.key = KeyType::Ipv4}, links{.key = KeyType::Ipv4Ifname};
  for (const auto& [id, place] : input.eips) {
    if (place.where == EipPlace::Where::Here && place.ipv4 && !place.node_ip) {
      eips.elements[{bytes_of(*place.ipv4), {}}];
      Bytes key = bytes_of(*place.ipv4);
      key.append(place.link4.begin(), place.link4.end());
      key.resize(kIfnameKey);
      links.elements[{std::move(key), {}}];
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

} // namespace

std::uint32_t ct_mark_here(std::int32_t eip_id, const NodeOptions& options) {
  return id_bits(eip_id, options);
}
std::uint32_t ct_mark_tunnelled(std::int32_t eip_id, const NodeOptions& options) {
  return tunnelled_bit(options) | id_bits(eip_id, options);
}

std::map<NftFamily, Table> ruleset(const RulesetInput& input, const NodeOptions& options) {
  return {{NftFamily::Ip, Builder(input, options, Family::V4).build()},
          {NftFamily::Ip6, Builder(input, options, Family::V6).build()},
          {NftFamily::Arp, arp_table(input)}};
}

} // namespace egw::egress
