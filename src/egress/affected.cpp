// SPDX-License-Identifier: Apache-2.0
#include "egress/affected.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <string>

#include "egress/class_chain.hpp"
#include "egress/class_data.hpp"
#include "egress/sources.hpp"
#include "egress/statements.hpp"

namespace egw::egress {

namespace {

using net::NftFamily;
using nft::bytes_of;

const net::Table kNoTable;
const net::Set kNoSet;
constexpr const char* kEipChainPrefix = "eip_"; // see eip_chain()

const net::Table& table_of(const net::State& s, NftFamily family) {
  const auto t = s.tables.find(family);
  return t == s.tables.end() ? kNoTable : t->second;
}
const net::Set& set_of(const net::Table& t, const char* name) {
  const auto s = t.sets.find(name);
  return s == t.sets.end() ? kNoSet : s->second;
}

Address address_of(NftFamily family, const net::Bytes& bytes) {
  Address a{family == NftFamily::Ip ? Family::V4 : Family::V6, {}};
  std::copy_n(bytes.begin(), std::min(bytes.size(), a.size()), a.bytes.begin());
  return a;
}

std::uint32_t number(const net::ElementData& id) {
  const auto* bytes = std::get_if<net::Bytes>(&id);
  return bytes == nullptr ? 0 : nft::number_of(*bytes);
}

// The chain of a pod's class tells all that the class decides, as its name is a digest of that:
// unless others share it, and data decide.
std::optional<net::ElementData> class_of(const net::Set& classes, const net::ElementData& id) {
  const auto* bytes = std::get_if<net::Bytes>(&id);
  if (bytes == nullptr) return std::nullopt;
  const auto found = classes.elements.find({*bytes, {}});
  return found == classes.elements.end() ? std::nullopt : std::optional(found->second);
}

bool same_class(const net::Table& before, const net::ElementData& a, const net::Table& after,
                const net::ElementData& b, const std::set<std::uint32_t>& other_data) {
  const auto x = class_of(set_of(before, "classes"), a);
  if (!x || x != class_of(set_of(after, "classes"), b)) return false;
  const auto* chain = std::get_if<net::ElementVerdict>(&*x);
  if (chain == nullptr || !is_shared_chain(chain->chain_name())) return true;
  return a == b && !other_data.contains(number(a));
}

// The chains of the EIPs that a class leads to.
void add_eip_chains(const net::Table& table, const net::ElementData& id,
                    std::set<std::string>& out) {
  const auto chain = class_of(set_of(table, "classes"), id);
  const auto* verdict = chain ? std::get_if<net::ElementVerdict>(&*chain) : nullptr;
  if (verdict == nullptr) return;
  if (is_shared_chain(verdict->chain_name())) {
    for (const std::uint32_t way : ways_of(table, number(id))) {
      if (is_eip(way)) out.insert(eip_chain(static_cast<std::int32_t>(way)));
    }
    return;
  }
  const auto found = table.chains.find(verdict->chain_name());
  if (found == table.chains.end()) return;
  for (const net::Rule& rule : found->second.rules) {
    for (const net::Expr& expr : rule) {
      const auto* decide = std::get_if<net::expr::Decide>(&expr);
      if (decide != nullptr && decide->verdict.chain.starts_with(kEipChainPrefix))
        out.insert(decide->verdict.chain);
    }
  }
}

bool is_rebound(const net::Table& before, const net::ElementData& a, const net::Table& after,
                const net::ElementData& b) {
  std::set<std::string> eips;
  add_eip_chains(before, a, eips);
  add_eip_chains(after, b, eips);
  return eips.size() > 1;
}

// A class id that leads elsewhere than before, so that pods whose id stays are touched too: another
// class took the number. Classes that come or go do so with their pods.
bool renumbered(const net::Table& before, const net::Table& after,
                const std::set<std::uint32_t>& other_data) {
  bool found = false;
  for_each_difference(
      set_of(before, "classes").elements, set_of(after, "classes").elements,
      [&](const auto&, const auto* old, const auto* now) { found = found || (old && now); });
  return found || std::ranges::any_of(other_data, [&](std::uint32_t id) {
           const net::ElementKey key{nft::host32(id), {}};
           return set_of(before, "classes").elements.contains(key) &&
                  set_of(after, "classes").elements.contains(key);
         });
}

void pods(NftFamily family, const net::Table& before, const net::Table& after, Affected& out) {
  // Destinations are judged otherwise, for every pod.
  const bool all = set_of(before, "cluster").elements != set_of(after, "cluster").elements;
  const auto other_data = differing(before, after);
  const bool every_class = renumbered(before, after, other_data);
  for (const bool remote : {false, true}) {
    const char* const set = remote ? kRemotePodsSet : kPodsSet;
    const auto& old_pods = set_of(before, set).elements;
    const auto& new_pods = set_of(after, set).elements;
    const auto look = [&](const net::ElementKey& key, const auto* id, const auto* now) {
      const Address pod = address_of(family, key.first);
      if (id == nullptr) {
        // A remote pod that comes has no connections here but those inside the cluster: those it
        // had when it was here before were forgotten as it went.
        if (!remote) out.pods.insert(pod);
      } else if (all || now == nullptr || !same_class(before, *id, after, *now, other_data)) {
        out.pods.insert(pod);
        if (!remote) {
          out.released.insert(pod);
        } else if (now == nullptr || (!all && is_rebound(before, *id, after, *now))) {
          out.rebound.insert(pod);
        }
      }
    };
    for_each_difference(old_pods, new_pods, look);
    if (!all && !every_class) continue;
    for (const auto& [key, id] : old_pods) {
      const auto now = new_pods.find(key);
      if (now == new_pods.end()) {
        look(key, &id, static_cast<const net::ElementData*>(nullptr));
      } else {
        const net::ElementData is = now->second;
        look(key, &id, &is);
      }
    }
  }
}

// An EIP that comes, or that nobody held before, has no connections yet: they were forgotten when
// it went, and pods that come with it are looked at by address.
void eips(const net::Table& before, const net::Table& after, Affected& out) {
  const std::string prefix = kEipChainPrefix;
  for_each_difference(before.chains, after.chains,
                      [&](const std::string& name, const auto* was, const auto*) {
                        if (was == nullptr || !name.starts_with(prefix)) return;
                        std::int32_t id = 0;
                        const char* const end = name.data() + name.size();
                        if (std::from_chars(name.data() + prefix.size(), end, id).ptr != end)
                          return; // "eip_in"
                        if (was->rules.size() > 1)
                          out.eip_ids.insert(id); // more than the drop at the end
                      });
}

} // namespace

Affected affected(const net::State& before, const net::State& after) {
  Affected out;
  for (const NftFamily family : {NftFamily::Ip, NftFamily::Ip6}) {
    pods(family, table_of(before, family), table_of(after, family), out);
    eips(table_of(before, family), table_of(after, family), out);
  }
  return out;
}

bool remakes_pods(const net::State& before, const net::State& after) {
  return std::ranges::any_of(std::array{NftFamily::Ip, NftFamily::Ip6}, [&](NftFamily family) {
    const net::Set& was = set_of(table_of(before, family), kPodsSet);
    return !was.elements.empty() && was.size != set_of(table_of(after, family), kPodsSet).size;
  });
}

std::shared_ptr<const net::State> closed_to(const std::set<Address>& pods,
                                            const std::shared_ptr<const net::State>& state) {
  std::shared_ptr<net::State> closed;
  for (const Address& pod : pods) {
    const NftFamily family = pod.family == Family::V4 ? NftFamily::Ip : NftFamily::Ip6;
    for (;;) { // a key is an address and a MAC
      const net::State& now = closed ? *closed : *state;
      const auto key = source_of(sources_of(now.tables, pod.family), bytes_of(pod));
      if (!key) break;
      if (!closed) closed = std::make_shared<net::State>(*state);
      closed->tables.at(family).sets.at(kSourcesSet).elements.erase(*key);
    }
  }
  return closed ? closed : state;
}

std::set<Address> shut_out(const net::State& before, const net::State& after) {
  std::set<Address> out;
  for (const NftFamily family : {NftFamily::Ip, NftFamily::Ip6}) {
    const Family ip = family == NftFamily::Ip ? Family::V4 : Family::V6;
    const auto& was = sources_of(before.tables, ip);
    const auto& is = sources_of(after.tables, ip);
    for (const auto& [key, id] : set_of(table_of(before, family), kRemotePodsSet).elements) {
      if (!source_of(was, key.first) && source_of(is, key.first)) {
        out.insert(address_of(family, key.first));
      }
    }
  }
  return out;
}

void hold_back(const std::set<Address>& released, net::Batch& batch) {
  std::map<NftFamily, std::set<net::Bytes>> keys;
  for (const Address& a : released) {
    const auto end = a.bytes.begin() + static_cast<std::ptrdiff_t>(a.size());
    keys[a.family == Family::V4 ? NftFamily::Ip : NftFamily::Ip6].emplace(a.bytes.begin(), end);
  }
  for (auto& [family, set] : keys) {
    batch.nft.emplace_back(
        net::AddTimedElements{family, kReleasedSet, std::move(set), kReleasedTime});
  }
}

} // namespace egw::egress
