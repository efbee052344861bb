// SPDX-License-Identifier: Apache-2.0
#include "net/diff_nft.hpp"

#include <algorithm>
#include <ranges>
#include <set>

namespace egw::net {
namespace {

using Elements = std::map<ElementKey, ElementData>;

Set shape_of(const Set& set) {
  return {set.key, set.data, set.interval, set.timeout, {}};
}

// The next key in order, or nothing after the last one.
std::optional<Bytes> next_key(Bytes key) {
  for (std::uint8_t& byte : std::views::reverse(key))
    if (++byte != 0) return key;
  return {};
}

bool refers_to_set(const Rule& rule, const std::set<std::string>& sets) {
  return std::any_of(rule.begin(), rule.end(), [&](const Expr& e) {
    const auto* lookup = std::get_if<expr::Lookup>(&e);
    return lookup && sets.contains(lookup->set);
  });
}

bool refers_to_chain(const Rule& rule, const std::set<std::string>& chains) {
  return std::any_of(rule.begin(), rule.end(), [&](const Expr& e) {
    const auto* decide = std::get_if<expr::Decide>(&e);
    return decide && chains.contains(decide->verdict.chain);
  });
}

bool refers_to_chain(const ElementData& data, const std::set<std::string>& chains) {
  const auto* verdict = std::get_if<Verdict>(&data);
  return verdict && chains.contains(verdict->chain);
}

class TableDiff {
 public:
  TableDiff(NftFamily family, const Table& actual, const Table& desired, std::vector<NftOp>& ops)
      : family_(family), actual_(actual), desired_(desired), ops_(ops) {}

  void run() {
    find_what_goes();
    release_chains();
    remove_elements();
    for (const auto& name : sets_go_) ops_.emplace_back(DeleteSet{family_, name});
    for (const auto& name : chains_go_) ops_.emplace_back(DeleteChain{family_, name});
    add_sets();
    add_chains();
    add_elements();
    write_rules();
  }

 private:
  [[nodiscard]] bool chain_is_rebuilt(const std::string& name) const {
    const auto it = actual_.chains.find(name);
    return it == actual_.chains.end() || chains_go_.contains(name);
  }

  void find_what_goes() {
    for (const auto& [name, set] : actual_.sets) {
      const auto it = desired_.sets.find(name);
      if (it == desired_.sets.end() || shape_of(it->second) != shape_of(set)) sets_go_.insert(name);
    }
    for (const auto& [name, chain] : actual_.chains) {
      const auto it = desired_.chains.find(name);
      if (it == desired_.chains.end() || it->second.base != chain.base) chains_go_.insert(name);
    }
  }

  // A chain that goes, or whose rules hold on to what goes, is emptied first. Rules of chains that
  // stay as they are but name a set that is made anew are written again.
  void release_chains() {
    for (const auto& [name, chain] : actual_.chains) {
      if (chain.rules.empty()) continue;
      const bool holds = chains_go_.contains(name) ||
                         std::any_of(chain.rules.begin(), chain.rules.end(), [&](const Rule& r) {
                           return refers_to_set(r, sets_go_) || refers_to_chain(r, chains_go_);
                         });
      if (!holds) continue;
      ops_.emplace_back(ReplaceRules{family_, name, {}});
      released_.insert(name);
    }
  }

  void remove_elements() {
    for (const auto& [name, set] : actual_.sets) {
      if (set.timeout) continue;
      Elements gone;
      if (sets_go_.contains(name)) {
        // Kernels before 6.4 let go of the chains in a map only when its elements are deleted.
        if (set.data == DataType::Verdict) gone = set.elements;
      } else {
        const Elements wanted = joined(desired_.sets.at(name));
        for (const auto& [key, data] : set.elements) {
          const auto it = wanted.find(key);
          // A chain that is made anew under its old name is another one for the kernel.
          if (it == wanted.end() || it->second != data || refers_to_chain(data, chains_go_))
            gone.emplace(key, data);
        }
      }
      if (!gone.empty())
        ops_.emplace_back(DeleteElements{family_, name, shape_of(set), std::move(gone)});
    }
  }

  void add_sets() {
    for (const auto& [name, set] : desired_.sets)
      if (!actual_.sets.contains(name) || sets_go_.contains(name))
        ops_.emplace_back(AddSet{family_, name, shape_of(set)});
  }

  void add_chains() {
    for (const auto& [name, chain] : desired_.chains)
      if (chain_is_rebuilt(name)) ops_.emplace_back(AddChain{family_, name, chain.base});
  }

  void add_elements() {
    for (const auto& [name, set] : desired_.sets) {
      if (set.timeout) continue;
      Elements added = joined(set);
      const auto it = actual_.sets.find(name);
      if (it != actual_.sets.end() && !sets_go_.contains(name)) {
        std::erase_if(added, [&](const auto& e) {
          const auto old = it->second.elements.find(e.first);
          return old != it->second.elements.end() && old->second == e.second &&
                 !refers_to_chain(e.second, chains_go_);
        });
      }
      if (!added.empty())
        ops_.emplace_back(AddElements{family_, name, shape_of(set), std::move(added)});
    }
  }

  void write_rules() {
    for (const auto& [name, chain] : desired_.chains) {
      const bool empty_now = chain_is_rebuilt(name) || released_.contains(name);
      if (empty_now ? chain.rules.empty() : actual_.chains.at(name).rules == chain.rules) continue;
      ops_.emplace_back(ReplaceRules{family_, name, chain.rules});
    }
  }

  NftFamily family_;
  const Table& actual_;
  const Table& desired_;
  std::vector<NftOp>& ops_;
  std::set<std::string> sets_go_, chains_go_; // for good, or to be made anew
  std::set<std::string> released_;
};

} // namespace

std::map<ElementKey, ElementData> joined(const Set& set) {
  if (!set.interval || set.data != DataType::None) return set.elements;
  Elements out;
  std::optional<ElementKey> open;
  for (const auto& [key, none] : set.elements) { // in order of their first keys
    if (open) {
      const auto after = next_key(open->last);
      if (!after || key.first <= *after) {
        open->last = std::max(open->last, key.last);
        continue;
      }
      out.emplace(*open, std::monostate{});
    }
    open = key;
  }
  if (open) out.emplace(*open, std::monostate{});
  return out;
}

std::vector<NftOp> diff_tables(const std::map<NftFamily, Table>& actual,
                               const std::map<NftFamily, Table>& desired) {
  static const Table nothing;
  std::vector<NftOp> ops;
  for (const auto& [family, table] : desired) {
    const auto it = actual.find(family);
    // The kernel takes no new base chain in the transaction that wakes a table up: it is made anew.
    const bool asleep = it != actual.end() && it->second.dormant;
    if (asleep) ops.emplace_back(DeleteTable{family});
    if (asleep || it == actual.end()) ops.emplace_back(AddTable{family});
    TableDiff(family, asleep || it == actual.end() ? nothing : it->second, table, ops).run();
  }
  for (const auto& [family, table] : actual)
    if (!desired.contains(family)) ops.emplace_back(DeleteTable{family});
  return ops;
}

} // namespace egw::net
