// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "net/state.hpp"

// diff: a pure function from two states to the operations that turn one into the other, in an order
// that is safe at each step:
//   1. EIP addresses that go       (a node stops answering before it stops translating)
//   2. links, tunnel addresses, neighbours, FDB, routes, rules that come or change
//   3. one nftables transaction with everything that comes, changes or goes, in all families
//   4. EIP addresses that come     (the ruleset stands before a stranger's packet can be answered)
//   5. routes, rules, neighbours, FDB, links that go
namespace egw::net {

struct PutTunnel {
  Vxlan vxlan;
  bool recreate = false;
  bool operator==(const PutTunnel&) const = default;
};
struct DeleteTunnel {
  bool operator==(const DeleteTunnel&) const = default;
};
struct PutAddress {
  AddressKey key;
  AddressValue value;
  bool operator==(const PutAddress&) const = default;
};
struct DeleteAddress {
  AddressKey key;
  bool operator==(const DeleteAddress&) const = default;
};
// replace: a route of ours with this key and another value stands. Without it an alien one is an
// error.
struct PutRoute {
  RouteKey key;
  RouteValue value;
  bool replace = false;
  bool operator==(const PutRoute&) const = default;
};
struct DeleteRoute {
  RouteKey key;
  RouteValue value;
  bool operator==(const DeleteRoute&) const = default;
};
struct AddRule {
  RoutingRule rule;
  bool operator==(const AddRule&) const = default;
};
struct DeleteRule {
  RoutingRule rule;
  bool operator==(const DeleteRule&) const = default;
};
struct PutNeighbour {
  NeighbourKey key;
  Mac mac;
  bool operator==(const PutNeighbour&) const = default;
};
struct DeleteNeighbour {
  NeighbourKey key;
  bool operator==(const DeleteNeighbour&) const = default;
};
struct PutFdb {
  Mac mac;
  Address peer;
  bool operator==(const PutFdb&) const = default;
};
struct DeleteFdb {
  Mac mac;
  Address peer;
  bool operator==(const DeleteFdb&) const = default;
};
struct PutForwardAccepts {
  Family family;
  bool operator==(const PutForwardAccepts&) const = default;
};
struct DeleteForwardAccepts {
  Family family;
  bool operator==(const DeleteForwardAccepts&) const = default;
};

using LinkOp = std::variant<PutTunnel, DeleteTunnel, PutAddress, DeleteAddress, PutRoute,
                            DeleteRoute, AddRule, DeleteRule, PutNeighbour, DeleteNeighbour, PutFdb,
                            DeleteFdb, PutForwardAccepts, DeleteForwardAccepts>;

// One step inside the nftables transaction.
struct AddTable {
  NftFamily family;
  bool operator==(const AddTable&) const = default;
};
// Binds a table that an agent before left to us.
struct TakeTable {
  NftFamily family;
  bool operator==(const TakeTable&) const = default;
};
struct DeleteTable {
  NftFamily family;
  bool operator==(const DeleteTable&) const = default;
};
struct AddSet {
  NftFamily family;
  std::string name;
  Set set;
  bool operator==(const AddSet&) const = default;
}; // without its elements
struct DeleteSet {
  NftFamily family;
  std::string name;
  bool operator==(const DeleteSet&) const = default;
};
struct AddElements {
  NftFamily family;
  std::string set;
  Set shape;
  Elements elements;
  bool operator==(const AddElements&) const = default;
};
struct DeleteElements {
  NftFamily family;
  std::string set;
  Set shape;
  Elements elements;
  bool operator==(const DeleteElements&) const = default;
};
// Into a set with timeouts, of which a state tells no elements: never made by diff. An element that
// is there already gets the whole time again.
struct AddTimedElements {
  NftFamily family;
  std::string set;
  std::set<Bytes> keys;
  Duration timeout;
  bool operator==(const AddTimedElements&) const = default;
};
struct AddChain {
  NftFamily family;
  std::string name;
  Rare<BaseChain> base;
  bool operator==(const AddChain&) const = default;
};
struct DeleteChain {
  NftFamily family;
  std::string name;
  bool operator==(const DeleteChain&) const = default;
};
struct ReplaceRules {
  NftFamily family;
  std::string chain;
  Rules rules;
  bool operator==(const ReplaceRules&) const = default;
};

using NftOp = std::variant<AddTable, TakeTable, DeleteTable, AddSet, DeleteSet, AddElements,
                           DeleteElements, AddTimedElements, AddChain, DeleteChain, ReplaceRules>;

struct Batch {
  std::vector<LinkOp> before; // steps 1 and 2
  std::vector<NftOp> nft;     // step 3, all or nothing
  std::vector<LinkOp> after;  // steps 4 and 5
  [[nodiscard]] bool empty() const { return before.empty() && nft.empty() && after.empty(); }
  bool operator==(const Batch&) const = default;
};

[[nodiscard]] Batch diff(const State& actual, const State& desired);
[[nodiscard]] std::string to_string(const LinkOp& op); // for logs and errors, one line
[[nodiscard]] std::string to_string(const NftOp& op);

} // namespace egw::net
