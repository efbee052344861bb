// SPDX-License-Identifier: Apache-2.0
#include "net/diff_nft.hpp"

#include <algorithm>
#include <ranges>
#include <set>

namespace egw::net {
namespace {

Set shape_of(const Set& set) {
  return {set.key, set.data, set.interval, set.timeout, {}, set.size};
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
  const auto* verdict = std::get_if<ElementVerdict>(&data);
  return verdict && chains.contains(verdict->chain_name());
}

class TableDiff {
 public:
  TableDiff(NftFamily family, const Table& actual, const Table& desired, std::vector<NftOp>& ops)
      : family_(family), actual_(actual), desired_(desired), ops_(ops) {}

  void run() {
    find_what_differs();
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
  [[nodiscard]] static const Set* set_of(const Table& table, const std::string& name) {
    const auto it = table.sets.find(name);
    return it == table.sets.end() ? nullptr : &it->second;
  }
  [[nodiscard]] static const Chain* chain_of(const Table& table, const std::string& name) {
    const auto it = table.chains.find(name);
    return it == table.chains.end() ? nullptr : &it->second;
  }
  [[nodiscard]] bool chain_is_rebuilt(const std::string& name) const {
    return !chain_of(actual_, name) || chains_go_.contains(name);
  }

  void find_what_differs() {
    for_each_difference(actual_.sets, desired_.sets,
                        [&](const auto& name, const auto*, const auto*) { sets_.push_back(name); });
    for_each_difference(
        actual_.chains, desired_.chains,
        [&](const auto& name, const auto*, const auto*) { chains_.push_back(name); });
  }

  void find_what_goes() {
    bool remade = false;
    for (const auto& name : sets_) {
      const Set *is = set_of(actual_, name), *wanted = set_of(desired_, name);
      if (!is || (wanted && shape_of(*wanted) == shape_of(*is))) continue;
      sets_go_.insert(name);
      remade = remade || wanted;
    }
    for (const auto& name : chains_) {
      const Chain *is = chain_of(actual_, name), *wanted = chain_of(desired_, name);
      if (!is || (wanted && wanted->base == is->base)) continue;
      chains_go_.insert(name);
      remade = remade || wanted;
    }
    // What is the same in both may refer to what is made anew under its old name.
    if (remade) look_at_all();
  }

  void look_at_all() {
    std::set<std::string> sets, chains;
    for (const Table* table : {&actual_, &desired_}) {
      for (const auto& [name, set] : table->sets) sets.insert(name);
      for (const auto& [name, chain] : table->chains) chains.insert(name);
    }
    sets_.assign(sets.begin(), sets.end());
    chains_.assign(chains.begin(), chains.end());
  }

  // A chain that goes, or whose rules hold on to what goes, is emptied first. Rules of chains that
  // stay as they are but name a set that is made anew are written again.
  void release_chains() {
    for (const auto& name : chains_) {
      const Chain* chain = chain_of(actual_, name);
      if (!chain || chain->rules.empty()) continue;
      const bool holds = chains_go_.contains(name) ||
                         std::any_of(chain->rules.begin(), chain->rules.end(), [&](const Rule& r) {
                           return refers_to_set(r, sets_go_) || refers_to_chain(r, chains_go_);
                         });
      if (!holds) continue;
      ops_.emplace_back(ReplaceRules{family_, name, {}});
      released_.insert(name);
    }
  }

  // Elements of a set that stays, which `from` has and `to` has not, or with another value. A chain
  // that is made anew under its old name is another one for the kernel.
  [[nodiscard]] Elements only_in(const Elements& from, const Elements& to) const {
    Elements only;
    for_each_difference(from, to, [&](const auto& key, const auto* data, const auto*) {
      if (data) only.emplace(key, *data);
    });
    if (chains_go_.empty()) return only;
    for (const auto& [key, data] : from)
      if (refers_to_chain(data, chains_go_)) only.emplace(key, data);
    return only;
  }

  void remove_elements() {
    for (const auto& name : sets_) {
      const Set* set = set_of(actual_, name);
      if (!set || set->timeout) continue;
      Elements gone;
      if (!sets_go_.contains(name)) {
        gone = only_in(set->elements, joined(desired_.sets.at(name)));
      } else if (set->data == DataType::Verdict) {
        // Kernels before 6.4 let go of the chains in a map only when its elements are deleted.
        gone = set->elements;
      }
      if (!gone.empty())
        ops_.emplace_back(DeleteElements{family_, name, shape_of(*set), std::move(gone)});
    }
  }

  void add_sets() {
    // The kernel looks for a set from the first made on. Intervals come last: they may be
    // thousands, and what changes often is not among them.
    for (const bool interval : {false, true}) {
      for (const auto& name : sets_) {
        const Set* set = set_of(desired_, name);
        if (!set || set->interval != interval) continue;
        if (!set_of(actual_, name) || sets_go_.contains(name))
          ops_.emplace_back(AddSet{family_, name, shape_of(*set)});
      }
    }
  }

  void add_chains() {
    for (const auto& name : chains_) {
      const Chain* chain = chain_of(desired_, name);
      if (chain && chain_is_rebuilt(name)) ops_.emplace_back(AddChain{family_, name, chain->base});
    }
  }

  void add_elements() {
    for (const auto& name : sets_) {
      const Set* set = set_of(desired_, name);
      if (!set || set->timeout) continue;
      Elements added = joined(*set);
      const Set* is = set_of(actual_, name);
      if (is && !sets_go_.contains(name)) added = only_in(added, is->elements);
      if (!added.empty())
        ops_.emplace_back(AddElements{family_, name, shape_of(*set), std::move(added)});
    }
  }

  void write_rules() {
    for (const auto& name : chains_) {
      const Chain* chain = chain_of(desired_, name);
      if (!chain) continue;
      const bool empty_now = chain_is_rebuilt(name) || released_.contains(name);
      if (empty_now ? chain->rules.empty() : chain_of(actual_, name)->rules == chain->rules)
        continue;
      ops_.emplace_back(ReplaceRules{family_, name, chain->rules});
    }
  }

  NftFamily family_;
  const Table& actual_;
  const Table& desired_;
  std::vector<NftOp>& ops_;
  std::vector<std::string> sets_, chains_;    // that may have to be touched, in order
  std::set<std::string> sets_go_, chains_go_; // for good, or to be made anew
  std::set<std::string> released_;
};

} // namespace

Elements joined(const Set& set) {
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
    if (asleep || it == actual.end()) {
      ops.emplace_back(AddTable{family});
    } else if (it->second.unowned) {
      ops.emplace_back(TakeTable{family});
    }
    TableDiff(family, asleep || it == actual.end() ? nothing : it->second, table, ops).run();
  }
  for (const auto& [family, table] : actual)
    if (!desired.contains(family)) ops.emplace_back(DeleteTable{family});
  return ops;
}

} // namespace egw::net
