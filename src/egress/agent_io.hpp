// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "api/core.hpp"
#include "api/egress.hpp"
#include "base/error.hpp"
#include "egress/port_watch.hpp"
#include "net/diff.hpp"
#include "net/state.hpp"

// What goes into the agent's core, and what comes out of it. Plain values: who fetched an object
// and how the kernel is asked is none of its business.
namespace egw::egress::agent {

// --- events: the API server ----------------------------------------------------------------------

// A complete list: what is not among the items is gone. Until each kind had one, the kernel is left
// as it is. `unreadable` exist, but could not be decoded: what was known of them stays.
template <class T>
struct Listed {
  std::vector<T> items;
  std::vector<api::NamespacedName> unreadable{};
};
template <class T>
struct Changed {
  T object;
};
template <class T>
struct Gone {
  api::NamespacedName key;
};

struct PoliciesListed {
  api::PolicyKind kind = api::PolicyKind::EgressGatewayPolicy;
  std::vector<api::EgressPolicy> items;
  std::vector<api::NamespacedName> unreadable{};
};
struct PolicyGone {
  api::PolicyKey key;
};

// Slices are watched by gateway, namespaced and cluster-wide ones apart.
struct SliceScope {
  std::string gateway;
  bool cluster = false;
  auto operator<=>(const SliceScope&) const = default;
};
struct SlicesListed {
  SliceScope scope;
  std::vector<api::EgressEndpointSlice> items;
  std::vector<api::NamespacedName> unreadable{};
};
struct SliceChanged {
  SliceScope scope;
  api::EgressEndpointSlice object;
};
struct SliceGone {
  SliceScope scope;
  api::NamespacedName key;
};

// --- events: answers and the kernel --------------------------------------------------------------

struct Observed { // to Observe
  Result<net::Observation> observation;
};
struct Applied { // to Apply; no errors: the kernel is as desired
  std::vector<Error> errors;
};
struct Connections { // to ListConnections
  Result<std::vector<net::Connection>> connections;
};
struct Forgotten { // to Forget
  Result<void> result;
};
struct PatchDone { // to PatchEgressNode: the object after it
  Result<api::EgressNode> node;
};
struct InsertFailures { // to AskInsertFailures: net::Conntrack::insert_failures()
  Result<std::uint64_t> count;
};
struct Crowds { // to CountConnections
  Result<std::vector<Crowd>> crowds;
};
struct Claimed { // another host says on the wire that an EIP of this node is its own
  Address address;
  Mac mac;
  std::string link;
};
struct KernelChanged {}; // by somebody else
struct Stop {};          // no action follows; the kernel stays as it is

using Event =
    std::variant<Listed<api::EgressGateway>, Changed<api::EgressGateway>, Gone<api::EgressGateway>,
                 Listed<api::EgressNode>, Changed<api::EgressNode>, Gone<api::EgressNode>,
                 Listed<api::Namespace>, Changed<api::Namespace>, Gone<api::Namespace>,
                 Listed<api::Pod>, Changed<api::Pod>, Gone<api::Pod>,
                 Listed<api::EgressClusterInfo>, Changed<api::EgressClusterInfo>,
                 Gone<api::EgressClusterInfo>, PoliciesListed, Changed<api::EgressPolicy>,
                 PolicyGone, SlicesListed, SliceChanged, SliceGone, Observed, Applied, Connections,
                 Forgotten, PatchDone, InsertFailures, Crowds, Claimed, KernelChanged, Stop>;

// --- actions: carried out in order, but for the second pair, which may take its time; each of the
// first four is answered by its event
// ------------------

struct Observe {};
struct Apply {
  net::Batch batch;
};
// Connections of these pods, those whose connection mark bears one of these EIPs' ids, and, when
// `all_marked`, all whose mark has any of our bits.
struct ListConnections {
  std::vector<Address> sources;
  std::vector<std::int32_t> eip_ids;
  bool all_marked = false;
  bool operator==(const ListConnections&) const = default;
};
struct Forget {
  std::vector<net::Connection> connections;
};
struct PatchEgressNode { // the agent's part of the status alone
  api::EgressNode node;
};
struct Announce {
  std::string link;
  std::vector<Address> addresses;
  bool operator==(const Announce&) const = default;
};
// How many connections of this node the kernel could not enter.
struct AskInsertFailures {};
// Destinations to which one EIP has at least so many connections.
struct CountConnections {
  std::size_t at_least = 0;
};
// Asks on the link whether another host has these addresses, without claiming them.
struct Probe {
  std::string link;
  std::vector<Address> addresses;
  std::optional<Address> from{}; // an IPv6 address of the link that is no EIP
  bool operator==(const Probe&) const = default;
};
// Whose claims are to be heard: EIPs of this node, by the ifindex of the link that bears them.
struct WatchClaims {
  struct Link {
    std::string name;
    Mac mac; // our own
    std::set<Address> addresses;
    bool operator==(const Link&) const = default;
  };
  std::map<std::uint32_t, Link> links;
  bool operator==(const WatchClaims&) const = default;
};
// Slices of these gateways are wanted, and of no others.
struct WatchSlices {
  std::set<std::string> gateways;
  bool operator==(const WatchSlices&) const = default;
};
// Whether the kernel holds no EIP but those that a complete and current placement gives to this
// node: only then may the lease be renewed.
struct ConfirmPlacement {
  bool confirmed = false;
};
// For people, on change: why the datapath is not complete, and what is wrong elsewhere.
struct Tell {
  std::vector<std::string> problems, warnings;
  bool operator==(const Tell&) const = default;
};
using Action = std::variant<Observe, Apply, ListConnections, Forget, PatchEgressNode, Announce,
                            Probe, WatchClaims, AskInsertFailures, CountConnections, WatchSlices,
                            ConfirmPlacement, Tell>;

} // namespace egw::egress::agent
