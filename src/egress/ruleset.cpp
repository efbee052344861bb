// SPDX-License-Identifier: Apache-2.0
#include "egress/ruleset.hpp"

#include <algorithm>
#include <bit>
#include <set>
#include <unordered_set>

#include "egress/affected.hpp"
#include "egress/class_chain.hpp"
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

// Of connections that leave by another interface than the main table's.
std::string link_chain(std::uint32_t index) {
  return "via_" + std::to_string(index);
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

  Table update(Table before, std::map<std::string, std::size_t>& users,
               const RulesetChanges& changes) {
    table_ = std::move(before);
    for (const Address& address : changes.pods) {
      if (address.family != family_) continue;
      const ElementKey key{bytes_of(address), {}};
      auto& elements = table_.sets.at("pods").elements;
      const auto pod = in_.pods.find(address);
      if (pod == in_.pods.end()) {
        elements.erase(key);
      } else {
        elements[key] = host32(pod->second.class_id);
      }
    }
    const auto classes = changes.classes.find(family_);
    if (classes != changes.classes.end()) {
      for (const std::uint32_t id : classes->second) {
        if (table_.sets.at("classes").elements.contains({host32(id), {}})) {
          remove_class(id, users);
        } else {
          const PodClass& pod_class = *in_.classes.at(id);
          add_class(id, pod_class);
          for (const auto& set : destination_sets(table_.chains.at(pod_class.name))) ++users[set];
        }
      }
    }
    for (const std::int32_t id : changes.eips) {
      const auto place = in_.eips.find(id);
      if (place == in_.eips.end()) {
        table_.chains.erase(eip_chain(id));
      } else {
        add_eip(id, place->second);
      }
    }
    for (const auto& [address, there] : changes.known) {
      if (address.family != family_) continue;
      auto& elements = table_.sets.at("known").elements;
      if (there) {
        elements[{bytes_of(address), {}}];
      } else {
        elements.erase({bytes_of(address), {}});
      }
    }
    if (changes.unknown) {
      table_.sets.at("unknown") = interval_set(family_, changes.unknown->ranges(family_));
    }
    return std::move(table_);
  }

 private:
  const RulesetInput& in_;
  const NodeOptions& o_;
  const Family family_;
  const NftFamily nft_;
  const std::string device_;
  Table table_;
  std::set<std::uint32_t> vias_;                   // indices of links in use
  std::unordered_set<std::uint32_t> classes_used_; // by pods of this family

  KeyType address_key() const { return family_ == Family::V4 ? KeyType::Ipv4 : KeyType::Ipv6; }

  void chain(const std::string& name, const std::vector<net::Rule>& rules) {
    table_.chains[name] = {{}, rules};
  }
  void hook(const std::string& name, BaseChain base, const std::vector<net::Rule>& rules) {
    table_.chains[name] = {std::move(base), rules};
  }

  void sets() {
    table_.sets["cluster"] = interval_set(family_, in_.cluster.ranges(family_));

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
    for (const auto& [address, pod] : in_.pods) {
      if (address.family != family_) continue;
      const bool far =
          std::ranges::binary_search(in_.sources, address, {}, &std::pair<Address, Mac>::first);
      (far ? remote : pods).elements[{bytes_of(address), {}}] = host32(pod.class_id);
      classes_used_.insert(pod.class_id);
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
    table_.sets["unknown"] = interval_set(family_, in_.unknown.ranges(family_));
  }

  bool has_sources() const { return !table_.sets.at("sources").elements.empty(); }

  void classes() {
    table_.sets["classes"] = {.key = KeyType::Mark, .data = DataType::Verdict};
    // Where no pod has an address of this family, a class would cost memory, and time whenever the
    // kernel validates the table.
    for (const auto& [id, pod_class] : in_.classes) {
      if (classes_used_.contains(id)) add_class(id, *pod_class);
    }
  }

  void add_class(std::uint32_t id, const PodClass& pod_class) {
    ClassChain made = class_chain(pod_class, family_, in_.cluster);
    for (auto& [name, set] : made.sets) table_.sets.try_emplace(name, std::move(set));
    table_.chains.insert_or_assign(pod_class.name, std::move(made.chain));
    table_.sets.at("classes").elements[{host32(id), {}}] =
        net::Verdict{net::VerdictKind::Jump, pod_class.name};
  }

  void remove_class(std::uint32_t id, std::map<std::string, std::size_t>& users) {
    auto& elements = table_.sets.at("classes").elements;
    const ElementKey key{host32(id), {}};
    const std::string name = std::get<net::Verdict>(elements.at(key)).chain;
    for (const std::string& set : destination_sets(table_.chains.at(name))) {
      if (--users.at(set) > 0) continue;
      users.erase(set);
      table_.sets.erase(set);
    }
    table_.sets.at("classes").elements.erase(key);
    table_.chains.erase(name);
  }

  void eips() {
    for (const auto& [id, place] : in_.eips) add_eip(id, place);
  }

  std::vector<net::Rule> to_link(std::uint32_t index) const {
    return {rule({set_mark(o_.mark_mask, mark_of(index, o_.mark_mask).value()), accept()})};
  }

  void add_eip(std::int32_t id, const EipPlace& place) {
    const std::uint32_t mask = o_.ct_mask;
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
      const Piece by_gateway = set_mark(o_.mark_mask, mark_of(place.gateway, o_.mark_mask).value());
      // What came by the tunnel never goes back into it: two nodes that disagree would play
      // ping-pong. Without remote pods nothing that came by it gets as far as here.
      if (has_sources()) rules.push_back(rule({iifname(device_), drop()}));
      rules.push_back(rule({ct_mark_is(mask, mark), by_gateway, accept()}));
      rules.push_back(
          rule({ct_new(), ct_mark_is(mask, 0), set_ct_mark(mask, mark), by_gateway, accept()}));
    }
    // A connection older than the policy, of another EIP, or invalid; or nobody holds the EIP.
    rules.push_back(rule({drop()}));
    chain(eip_chain(id), rules);
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
    // Others may send to this port too: it can be one that a masquerade chose, which is not known
    // before conntrack. What has another network identifier, the VXLAN device takes from nobody.
    chain("outer_in", {rule({saddr_in(nft_, "nodes"), notrack(), accept()}),
                       rule({vxlan_vni(o_.vni), daddr_is_local(), drop()})});
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
    chain("eip_in", in);
    hook("pre_eip", {"nat", Hook::Prerouting, -110}, {to_eip});
    hook("input", {"filter", Hook::Input, -160}, ends_here);
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
    // Without remote pods nothing comes as far as here, and the kernel need not follow the map
    // twice when it validates the table.
    if (has_sources()) tunnel.push_back(rule({classify(nft_, kRemotePodsSet, "classes")}));
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
    reply.push_back(rule({daddr_found(nft_, "pods"), accept()}));
    reply.push_back(rule({drop()}));
    chain("reply", reply);
  }

  // What no policy took. Of a pod that has a class: in its chain's last rule.
  void unclassified() {
    // Perhaps the end of a connection that a policy had: no NAT is done for it.
    std::vector<net::Rule> untaken{
        rule({saddr_in(nft_, kReleasedSet), ct_invalid(), daddr_not_in(nft_, "cluster"), drop()}),
        rule({accept()})};
    if (has_sources()) untaken.insert(untaken.begin(), rule({iifname(device_), drop()}));
    chain(kUntakenChain, untaken);
    // Of an address that was in no class when it was looked up: not to be looked up once more, or a
    // pod that becomes known just then would be let through.
    std::vector<net::Rule> released{rule({ct_invalid(), daddr_not_in(nft_, "cluster"), drop()})};
    if (o_.unknown_pods != UnknownPods::Allow) {
      // Perhaps a pod that the API no longer tells of, or one that got its address at once.
      released.push_back(rule({go("unknown")}));
      table_.chains.at("prerouting")
          .rules.push_back(rule({saddr_in(nft_, "unknown"), go("unknown")}));
      chain("unknown",
            {rule({saddr_in(nft_, "known"), accept()}), rule({daddr_in(nft_, "cluster"), accept()}),
             // What ends here, at an EIP for one, leaves by no address.
             rule({daddr_is_local(), accept()}), rule({drop()})});
    } else {
      // Its class was another one when it was looked up, and is gone.
      released.push_back(rule({saddr_found(nft_, "pods"), drop()}));
    }
    chain("released", released);
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
    hook("forward", {"filter", Hook::Forward, -160}, rules);
    // Meant for a gateway, but not leaving by the tunnel: a route, rule or the device is missing.
    // A reply to a pod of this node is all right.
    std::vector<net::Rule> marked{
        rule({mark_is(o_.mark_mask, reply), set_mark(o_.mark_mask, 0), accept()})};
    for (const std::uint32_t via : vias_) { // by which link is no matter of a wrong source
      const std::uint32_t mark = mark_of(via, o_.mark_mask).value();
      marked.push_back(rule({mark_is(o_.mark_mask, mark), set_mark(o_.mark_mask, 0), accept()}));
    }
    marked.push_back(rule({drop()}));
    chain("marked", marked);
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

SetUsers set_users(const std::map<NftFamily, Table>& tables) {
  SetUsers users;
  for (const auto& [family, table] : tables) {
    for (const auto& [name, chain] : table.chains) {
      for (const std::string& set : destination_sets(chain)) ++users[family][set];
    }
  }
  return users;
}

void update_ruleset(std::map<NftFamily, Table>& tables, SetUsers& users, const RulesetInput& after,
                    const RulesetChanges& changes, const NodeOptions& options) {
  for (const Family family : {Family::V4, Family::V6}) {
    const NftFamily nft = family == Family::V4 ? NftFamily::Ip : NftFamily::Ip6;
    Table& table = tables.at(nft);
    table = Builder(after, options, family).update(std::move(table), users[nft], changes);
  }
}

} // namespace egw::egress
