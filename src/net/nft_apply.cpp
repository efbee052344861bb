// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "net/nft_batch.hpp"
#include "net/nft_set.hpp"

namespace egw::net {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

bool deletes(const NftOp& op) {
  return std::holds_alternative<DeleteTable>(op) || std::holds_alternative<DeleteSet>(op) ||
         std::holds_alternative<DeleteChain>(op) || std::holds_alternative<DeleteElements>(op);
}

// `gone`: steps whose object was found missing by an earlier try.
void write_step(NftBatch& batch, const std::string& table, std::uint32_t table_flags,
                const NftOp& op, bool gone) {
  std::visit(Overloaded{
                 [&](const AddTable& o) { batch.add_table(o.family, table, table_flags); },
                 [&](const TakeTable& o) { batch.add_table(o.family, table, table_flags); },
                 [&](const DeleteTable& o) {
                   if (!gone) batch.delete_table(o.family, table);
                 },
                 [&](const AddSet& o) { batch.add_set(o.family, table, o.name, o.set); },
                 [&](const DeleteSet& o) {
                   if (!gone) batch.delete_set(o.family, table, o.name);
                 },
                 [&](const AddElements& o) {
                   batch.change_elements(o.family, table, o.set, o.shape, o.elements, true);
                 },
                 [&](const DeleteElements& o) {
                   // Some of them are gone: with all added first, deleting them finds every one.
                   if (gone)
                     batch.change_elements(o.family, table, o.set, o.shape, o.elements, true);
                   batch.change_elements(o.family, table, o.set, o.shape, o.elements, false);
                 },
                 [&](const AddTimedElements& o) {
                   using std::chrono::milliseconds;
                   const auto ms = std::chrono::duration_cast<milliseconds>(o.timeout).count();
                   batch.timed_elements(o.family, table, o.set, o.keys,
                                        static_cast<std::uint64_t>(ms));
                 },
                 [&](const AddChain& o) { batch.add_chain(o.family, table, o.name, o.base); },
                 [&](const DeleteChain& o) {
                   if (!gone) batch.delete_chain(o.family, table, o.name);
                 },
                 [&](const ReplaceRules& o) {
                   batch.flush_chain(o.family, table, o.chain);
                   for (const Rule& rule : o.rules)
                     batch.append_rule(o.family, table, o.chain, rule);
                 },
             },
             op);
}

std::vector<Refusal> try_batch(NftOwner& owner, const std::string& table,
                               const std::vector<NftOp>& ops, const std::set<std::size_t>& gone) {
  return owner.use([&](NetlinkSocket& socket) {
    NftBatch batch(socket);
    for (std::size_t i = 0; i < ops.size(); ++i) {
      batch.begin_step();
      write_step(batch, table, owner.table_flags(), ops[i], gone.contains(i));
    }
    return batch.send();
  });
}

} // namespace

std::vector<Error> apply_nft(NftOwner& owner, const std::string& table,
                             const std::vector<NftOp>& ops) {
  if (ops.empty()) return {};
  std::vector<Error> errors;
  for (const NftOp& op : ops) {
    const auto* add = std::get_if<AddElements>(&op);
    if (!add) continue;
    const auto checked = check_elements(add->set, add->shape, add->elements);
    if (!checked) errors.push_back(checked.error());
  }
  if (!errors.empty()) return errors;

  // Steps count from 1 in a batch; 0 is the batch itself.
  auto refusals = try_batch(owner, table, ops, {});
  const bool only_gone = std::all_of(refusals.begin(), refusals.end(), [&](const Refusal& r) {
    return r.code == ENOENT && r.index > 0 && deletes(ops[r.index - 1]);
  });
  if (!refusals.empty() && only_gone) {
    std::set<std::size_t> gone;
    for (const Refusal& r : refusals) gone.insert(r.index - 1);
    refusals = try_batch(owner, table, ops, gone);
  }
  std::set<std::size_t> told;
  for (const Refusal& r : refusals) {
    if (!told.insert(r.index).second) continue;
    std::string what = r.index > 0 ? to_string(ops[r.index - 1]) : "nftables transaction";
    what += ": " + describe(r.code, r.text);
    if (r.code == EPERM) {
      what += " (is the table another process' own? 'nft list tables' shows its name)";
    }
    errors.push_back({std::move(what), r.code});
  }
  return errors;
}

} // namespace egw::net
