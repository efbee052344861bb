// SPDX-License-Identifier: Apache-2.0
#include "net/iptables_forward.hpp"

#include "net/nft_batch.hpp"
#include "net/nft_expr.hpp"

namespace egw::net {
namespace {

NftFamily nft_family(Family f) {
  return f == Family::V4 ? NftFamily::Ip : NftFamily::Ip6;
}

Result<void> finish(NftBatch& batch, const char* what) {
  const auto refusals = batch.send();
  if (refusals.empty()) return {};
  return Error{std::string(what) + ": " + describe(refusals[0].code, refusals[0].text),
               refusals[0].code};
}

} // namespace

Rule forward_accept(const std::string& device, bool input) {
  // iptables compares the name with its NUL and nothing after it; nft would pad it to 16 bytes.
  Bytes name(device.begin(), device.end());
  name.resize(name.size() + 1);
  return {expr::MetaLoad{input ? expr::MetaKey::IifName : expr::MetaKey::OifName, 1},
          expr::Cmp{expr::CmpOp::Eq, 1, name}, expr::Counter{},
          expr::Decide{{VerdictKind::Accept, ""}}};
}

ForwardAccepts find_forward_accepts(NetlinkSocket& socket, Family family,
                                    const std::string& device) {
  const Rule input = forward_accept(device, true), output = forward_accept(device, false);
  ForwardAccepts found;
  for (const RuleOfChain& r :
       read_rules(socket, nft_family(family), kIptablesTable, kIptablesForward)) {
    if (r.rule == input) found.input.push_back(r.handle);
    if (r.rule == output) found.output.push_back(r.handle);
  }
  return found;
}

Result<void> put_forward_accepts(NetlinkSocket& socket, Family family, const std::string& device) {
  const ForwardAccepts found = find_forward_accepts(socket, family, device);
  if (found.complete()) return {};
  NftBatch batch(socket);
  for (const bool input : {false, true}) { // the one inserted last stands first
    if (!(input ? found.input : found.output).empty()) continue;
    batch.insert_rule(nft_family(family), kIptablesTable, kIptablesForward,
                      forward_accept(device, input));
  }
  return finish(batch, "insert into iptables' FORWARD chain");
}

Result<void> delete_forward_accepts(NetlinkSocket& socket, Family family,
                                    const std::string& device) {
  const ForwardAccepts found = find_forward_accepts(socket, family, device);
  if (found.input.empty() && found.output.empty()) return {};
  NftBatch batch(socket);
  for (const auto* handles : {&found.input, &found.output})
    for (const std::uint64_t handle : *handles)
      batch.delete_rule(nft_family(family), kIptablesTable, kIptablesForward, handle);
  return finish(batch, "delete from iptables' FORWARD chain");
}

} // namespace egw::net
