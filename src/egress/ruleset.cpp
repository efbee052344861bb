// SPDX-License-Identifier: Apache-2.0
#include "egress/ruleset.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <set>
#include <unordered_set>

#include "egress/affected.hpp"
#include "egress/class_chain.hpp"
#include "egress/class_data.hpp"
#include "egress/ruleset_hooks.hpp"
#include "egress/sources.hpp"
#include "egress/statements.hpp"

namespace egw::egress {

namespace {

using net::DataType;
using net::ElementKey;
using net::KeyType;
using net::NftFamily;
using net::Set;
using net::Table;
// The whole file is about these words.
// NOLINTNEXTLINE(google-build-using-namespace)
using namespace nft;

std::uint32_t id_bits(std::int32_t id, const NodeOptions& o) {
  return (static_cast<std::uint32_t>(id) << std::countr_zero(o.ct_mask)) & id_mask(o);
}

// The sets that packets of the fast way are looked up in.
constexpr std::array kSized{"all_eips", "classes", "eipaddrs",     "eips",      "known",
                            "nodes",    kPodsSet,  kRemotePodsSet, kSourcesSet, kWaysMap};

// Where a set of its own is made anew, this node's pods are closed for a moment: it has room for
// more of them than nodes have.
std::uint32_t least_room(const std::string& name) {
  return name == kPodsSet ? 1024 : 64;
}

// Room for so many elements, in steps of four: growing makes the whole set anew. One that has too
// much room keeps it up to a point, so that a count around a step costs nothing.
std::uint32_t room_for(std::size_t count, std::uint32_t now, std::uint32_t room) {
  while (room < count) room *= 4;
  return now >= room && now <= room * 16 ? now : room;
}

// What a class with this chain shares with others.
std::set<std::string> shared_by(const Table& table, const std::string& chain) {
  std::set<std::string> names = destination_sets(table.chains.at(chain));
  if (is_shared_chain(chain)) names.insert(chain);
  return names;
}

// Of connections that leave by another interface than the main table's.
std::string link_chain(std::uint32_t index) {
  return "via_" + std::to_string(index);
}

// Builds the table of one family. A class of its own only to share what every part needs.
class Builder {
 public:
  Builder(const RulesetInput& input, const NodeOptions& options, Family family)
      : in_(input), o_(options), family_(family) {}

  Table build() {
    sets();
    known();
    classes();
    eips();
    add_hooks(table_, in_, o_, family_, vias_);
    return std::move(table_);
  }

  Table update(Table before, std::map<std::string, std::size_t>& users,
               const RulesetChanges& changes) {
    table_ = std::move(before);
    update_pods(table_.sets.at(kPodsSet).elements, changes.pods);
    update_pods(table_.sets.at(kRemotePodsSet).elements, changes.remote_pods);
    update_sources(table_.sets.at(kSourcesSet).elements, changes.sources);
    const auto classes = changes.classes.find(family_);
    if (classes != changes.classes.end()) {
      for (const std::uint32_t id : classes->second) {
        if (table_.sets.at("classes").elements.contains({host32(id), {}})) {
          remove_class(id, users);
        } else {
          add_class(id, *in_.classes.at(id));
          for (const auto& shared : shared_by(table_, chain_of(id))) ++users[shared];
        }
      }
    }
    for (const std::int32_t id : changes.eips) {
      const auto place = in_.eips.find(id);
      if (place == in_.eips.end()) {
        table_.chains.erase(eip_chain(id));
        table_.sets.at(kWaysMap).elements.erase({host32(static_cast<std::uint32_t>(id)), {}});
      } else {
        add_eip(id, place->second);
      }
    }
    update_addresses("known", changes.known);
    update_addresses("all_eips", changes.all_eips);
    if (changes.unknown) {
      table_.sets.at("unknown") = interval_set(family_, changes.unknown->ranges(family_));
    }
    keep_sizes(table_, table_);
    return std::move(table_);
  }

 private:
  void update_addresses(const char* set, const std::map<Address, bool>& changes) {
    for (const auto& [address, there] : changes) {
      if (address.family != family_) continue;
      auto& elements = table_.sets.at(set).elements;
      if (there) {
        elements.try_emplace({bytes_of(address), {}});
      } else {
        elements.erase({bytes_of(address), {}});
      }
    }
  }
  void update_pods(net::Elements& elements,
                   const std::map<Address, std::optional<std::uint32_t>>& changes) const {
    for (const auto& [address, id] : changes) {
      if (address.family != family_) continue;
      const ElementKey key{bytes_of(address), {}};
      if (id) {
        elements.insert_or_assign(key, host32(*id));
      } else {
        elements.erase(key);
      }
    }
  }
  void update_sources(net::Elements& elements,
                      const std::map<Address, std::optional<Mac>>& changes) const {
    for (const auto& [address, mac] : changes) {
      if (address.family != family_) continue;
      if (const auto old = source_of(elements, bytes_of(address))) elements.erase(*old);
      if (mac) elements.try_emplace(source_key(address, *mac));
    }
  }

  const RulesetInput& in_;
  const NodeOptions& o_;
  const Family family_;
  Table table_;
  std::set<std::uint32_t> vias_;                   // indices of links in use
  std::unordered_set<std::uint32_t> classes_used_; // by pods of this family

  void chain(const std::string& name, const std::vector<net::Rule>& rules) {
    table_.chains[name] = {{}, rules};
  }

  void sets() {
    table_.sets["cluster"] = interval_set(family_, in_.cluster.ranges(family_));

    Set eips{.key = KeyType::Mark, .data = family_ == Family::V4 ? DataType::Ipv4 : DataType::Ipv6};
    Set addresses{.key = key_type(family_)};
    Set vias{.key = KeyType::Mark, .data = DataType::Verdict};
    for (const auto& [id, place] : in_.eips) {
      const auto& eip = family_ == Family::V4 ? place.ipv4 : place.ipv6;
      if (place.where != EipPlace::Where::Here || !eip) continue;
      eips.elements.emplace({host32(id_bits(id, o_)), {}}, bytes_of(*eip));
      if (!place.node_ip) addresses.elements.try_emplace({bytes_of(*eip), {}});
      if (const std::uint32_t via = place.via(family_); via != 0) {
        vias_.insert(via);
        vias.elements.emplace({host32(id_bits(id, o_)), {}},
                              net::Verdict{net::VerdictKind::Goto, link_chain(via)});
      }
    }
    table_.sets["eips"] = std::move(eips);
    if (!vias_.empty()) table_.sets["vias"] = std::move(vias);
    table_.sets["eipaddrs"] = std::move(addresses);
    table_.sets["alive"] = {.key = KeyType::NfProto, .timeout = true};
    table_.sets[kReleasedSet] = {.key = key_type(family_), .timeout = true};

    // Apart, so that no pod of this node gets what a remote one has by using its address.
    Set pods{.key = key_type(family_), .data = DataType::Mark}, remote = pods;
    for (const auto& [address, class_id] : in_.pods) {
      if (address.family != family_) continue;
      const bool far = std::ranges::binary_search(in_.sources, address, {},
                                                  [](const auto& source) { return source.first; });
      (far ? remote : pods).elements.emplace({bytes_of(address), {}}, host32(class_id));
      classes_used_.insert(class_id);
    }
    table_.sets[kPodsSet] = std::move(pods);
    table_.sets[kRemotePodsSet] = std::move(remote);

    Set all_eips{.key = key_type(family_)};
    for (const Address& eip : in_.all_eips) {
      if (eip.family == family_) all_eips.elements.try_emplace({bytes_of(eip), {}});
    }
    table_.sets["all_eips"] = std::move(all_eips);

    if (in_.underlay == family_) {
      Set nodes{.key = key_type(family_)};
      for (const Address& peer : in_.peers) {
        if (peer.family == family_) nodes.elements.try_emplace({bytes_of(peer), {}});
      }
      table_.sets["nodes"] = std::move(nodes);
    }

    Set sources{.key = family_ == Family::V4 ? KeyType::Ipv4Ether : KeyType::Ipv6Ether};
    for (const auto& [address, mac] : in_.sources) {
      if (address.family == family_ && mac) sources.elements.try_emplace(source_key(address, *mac));
    }
    table_.sets[kSourcesSet] = std::move(sources);
  }

  // All pods of this node that are known stand in "pods" or in "known".
  void known() {
    if (o_.unknown_pods == UnknownPods::Allow) return;
    Set known{.key = key_type(family_)};
    for (const Address& address : in_.unselected) {
      if (address.family == family_) known.elements.try_emplace({bytes_of(address), {}});
    }
    table_.sets["known"] = std::move(known);
    table_.sets["unknown"] = interval_set(family_, in_.unknown.ranges(family_));
  }

  bool has_sources() const { return !table_.sets.at(kSourcesSet).elements.empty(); }

  void classes() {
    table_.sets["classes"] = {.key = KeyType::Mark, .data = DataType::Verdict};
    // Where no pod has an address of this family, a class would cost memory, and time whenever the
    // kernel validates the table.
    for (const auto& [id, pod_class] : in_.classes) {
      if (classes_used_.contains(id)) add_class(id, *pod_class);
    }
  }

  void add_class(std::uint32_t id, const PodClass& pod_class) {
    if (const auto data = class_data(pod_class, family_, in_.cluster)) {
      add_data(table_, id, *data, family_);
      lead(id, shared_chain_name(*data));
      return;
    }
    ClassChain made = class_chain(pod_class, family_, in_.cluster);
    for (auto& [name, set] : made.sets) table_.sets.try_emplace(name, std::move(set));
    table_.chains.insert_or_assign(pod_class.name, std::move(made.chain));
    lead(id, pod_class.name);
  }
  void lead(std::uint32_t id, const std::string& chain) {
    table_.sets.at("classes").elements.insert_or_assign(
        {host32(id), {}}, net::Verdict{net::VerdictKind::Jump, chain});
  }

  std::string chain_of(std::uint32_t id) const {
    const net::ElementData verdict = table_.sets.at("classes").elements.at({host32(id), {}});
    return std::get<net::ElementVerdict>(verdict).chain_name();
  }

  void remove_class(std::uint32_t id, std::map<std::string, std::size_t>& users) {
    auto& elements = table_.sets.at("classes").elements;
    const ElementKey key{host32(id), {}};
    const std::string name = chain_of(id);
    elements.erase(key);
    if (is_shared_chain(name)) remove_data(table_, id);
    for (const std::string& shared : shared_by(table_, name)) {
      if (--users.at(shared) > 0) continue;
      users.erase(shared);
      table_.sets.erase(shared);
      table_.chains.erase(shared);
    }
    if (!is_shared_chain(name)) table_.chains.erase(name);
  }

  void eips() {
    using net::VerdictKind;
    Set ways{.key = KeyType::Mark, .data = DataType::Verdict};
    ways.elements.emplace({host32(kWayUntaken), {}},
                          net::Verdict{VerdictKind::Goto, kUntakenChain});
    ways.elements.emplace({host32(kWayDrop), {}}, net::Verdict{VerdictKind::Drop, {}});
    table_.sets[kWaysMap] = std::move(ways);
    for (const auto& [id, place] : in_.eips) add_eip(id, place);
  }

  std::vector<net::Rule> to_link(std::uint32_t index) const {
    return {rule({set_mark(o_.mark_mask, mark_of(index, o_.mark_mask).value()), accept()})};
  }

  void add_eip(std::int32_t id, const EipPlace& place) {
    const std::uint32_t mask = o_.ct_mask;
    std::vector<net::Rule> rules;
    // The class id, by which the packet came here. Forwarding sets an IPv4 packet's priority anew
    // (ip_forward), but not an IPv6 packet's, and what IPVS sends is not forwarded.
    const bool stays = family_ == Family::V6 || in_.ipvs;
    if (stays && place.where != EipPlace::Where::Nowhere) rules.push_back(rule({clear_priority()}));
    if (place.where == EipPlace::Where::Here) {
      const std::uint32_t mark = ct_mark_here(id, o_);
      const std::uint32_t via = place.via(family_);
      const Piece on = via == 0 ? accept() : go(link_chain(via));
      if (via != 0) chain(link_chain(via), to_link(via));
      rules.push_back(rule({lease_over("alive"), drop()}));
      rules.push_back(rule({ct_mark_is(mask, mark), on}));
      rules.push_back(rule({ct_new(), set_free_ct_mark(mask, mark), on}));
    } else if (place.where == EipPlace::Where::Tunnel) {
      const std::uint32_t mark = ct_mark_tunnelled(id, o_);
      const Piece by_gateway = set_mark(o_.mark_mask, mark_of(place.gateway, o_.mark_mask).value());
      // What came by the tunnel never goes back into it: two nodes that disagree would play
      // ping-pong. Without remote pods nothing that came by it gets as far as here.
      if (has_sources()) rules.push_back(rule({iifgroup(net::kDeviceGroup), drop()}));
      rules.push_back(rule({ct_mark_is(mask, mark), by_gateway, accept()}));
      rules.push_back(rule({ct_new(), set_free_ct_mark(mask, mark), by_gateway, accept()}));
    }
    // A connection older than the policy, of another EIP, or invalid; or nobody holds the EIP.
    rules.push_back(rule({drop()}));
    chain(eip_chain(id), rules);
    table_.sets.at(kWaysMap).elements.insert_or_assign(
        {host32(static_cast<std::uint32_t>(id)), {}},
        net::Verdict{net::VerdictKind::Goto, eip_chain(id)});
  }
};

} // namespace

std::uint32_t ct_mark_here(std::int32_t eip_id, const NodeOptions& options) {
  return id_bits(eip_id, options);
}
std::uint32_t ct_mark_tunnelled(std::int32_t eip_id, const NodeOptions& options) {
  return tunnelled_bit(options) | id_bits(eip_id, options);
}

std::map<NftFamily, Table> ruleset(const RulesetInput& input, const NodeOptions& options) {
  std::map<NftFamily, Table> tables;
  tables[NftFamily::Ip] = Builder(input, options, Family::V4).build();
  tables[NftFamily::Ip6] = Builder(input, options, Family::V6).build();
  tables[NftFamily::Arp] = arp_table(input);
  for (auto& [family, table] : tables) keep_sizes({}, table);
  return tables;
}

void keep_sizes(const Table& before, Table& after) {
  const auto size_of = [](const Table& table, const std::string& name) {
    const auto set = table.sets.find(name);
    return set == table.sets.end() ? 0 : set->second.size;
  };
  const auto resize = [&](const std::string& name, std::uint32_t room) {
    if (size_of(after, name) != room) after.sets.at(name).size = room;
  };
  for (const char* const name : kSized) {
    const auto set = after.sets.find(name);
    if (set == after.sets.end()) continue;
    resize(name, room_for(set->second.elements.size(), size_of(before, name), least_room(name)));
  }
  // These are made anew together: a packet that is on its way finds nothing any more in one that
  // was, and so finds nothing in the last of them either.
  std::size_t most = 0;
  const auto maps = destination_maps(after);
  for (const std::string& name : maps)
    most = std::max(most, std::as_const(after).sets.at(name).elements.size());
  const std::uint32_t room = room_for(most, size_of(before, kOtherMap), least_room(kOtherMap));
  for (const std::string& name : maps) resize(name, room);
}

SetUsers set_users(const std::map<NftFamily, Table>& tables) {
  SetUsers users;
  for (const auto& [family, table] : tables) {
    const auto classes = table.sets.find("classes");
    if (classes == table.sets.end()) continue;
    for (const auto& [id, data] : classes->second.elements) {
      const std::string chain = std::get<net::ElementVerdict>(data).chain_name();
      for (const std::string& shared : shared_by(table, chain)) ++users[family][shared];
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
