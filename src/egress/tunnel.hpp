// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "api/core.hpp"
#include "api/egress.hpp"
#include "base/error.hpp"
#include "base/interval_set.hpp"
#include "base/ip.hpp"

// The addresses of the nodes' tunnel devices, and what the controller says in an EgressNode.
namespace egw::egress {

inline constexpr const char* kAddressesAllocated = "AddressesAllocated"; // condition on EgressNodes

struct TunnelSubnets {
  Prefix v4{Address::v4(0xac1f0000), 16}; // 172.31.0.0/16
  Prefix v6{Address::v6({0xfd, 0x11}), 112};
  // Where outer packets may come from besides the addresses that Nodes list.
  std::vector<Prefix> underlay{};
};
// Room for at least two nodes, the right families.
[[nodiscard]] Result<void> validate(const TunnelSubnets& subnets);

// Who has which tunnel address and MAC. Of two that claim one, the older EgressNode has it.
class TunnelBook {
 public:
  // What a node's EgressNode holds or is about to; replaces what it claimed before.
  void claim(const api::EgressNode& node);
  void remove(const std::string& node);
  // nullptr: nobody.
  [[nodiscard]] const std::string* owner(const Address& address) const;
  [[nodiscard]] const std::string* owner(const Mac& mac) const;
  [[nodiscard]] std::set<std::string> claimants(const api::EgressNode& node) const; // others

  // The address of the subnet that the node claims, if no older one does.
  [[nodiscard]] std::optional<Address> own(const Prefix& subnet, const std::string& node) const;

  // A free address of the subnet, from the node's name on, so that a node that comes back finds its
  // own again. IPv4: not the first and the last. Nothing: all are taken.
  [[nodiscard]] std::optional<Address> pick(const Prefix& subnet, const std::string& node) const;

 private:
  struct Claimant {
    WallTime created{};
    const std::string* node = nullptr; // a key of nodes_
    bool operator<(const Claimant& other) const;
  };
  template <class T>
  using Claims = std::set<std::pair<T, Claimant>>;
  struct Claim {
    WallTime created{};
    std::vector<Address> addresses;
    std::optional<Mac> mac;
  };
  template <class T, class F>
  static void for_each_claimant(const Claims<T>& claims, const T& what, const F& f);
  template <class T>
  [[nodiscard]] static const std::string* first_of(const Claims<T>& claims, const T& what);

  Claims<Address> addresses_;
  Claims<Mac> macs_;
  std::map<std::string, Claim> nodes_;
};

struct EgressNodeInput {
  const api::Node* node = nullptr;          // exists
  const api::EgressNode* current = nullptr; // nullptr: not there yet
  bool is_gateway = false;                  // a gateway's selector matches it
  TunnelSubnets subnets;
  std::optional<Range> overlap; // of a subnet with an address of the cluster: nothing new from it
  WallTime now{};
};
// The EgressNode as the controller wants it: label, owner, tunnel addresses, MAC, phase,
// conditions. Everything else in it stays.
[[nodiscard]] api::EgressNode plan_egress_node(const EgressNodeInput& input,
                                               const TunnelBook& book);

// The phase that follows from the Node and from what its agent says. nullptr: there is none.
[[nodiscard]] api::NodePhase node_phase(const api::Node* node, const api::EgressNode* egress_node,
                                        const TunnelSubnets& subnets = {});
// An agent's underlay address that is neither among its Node's addresses nor in a subnet that the
// options or the Node's annotation name: nothing when it is right.
[[nodiscard]] std::optional<std::string> foreign_parent(const api::Node& node,
                                                        const api::EgressNode& egress_node,
                                                        const TunnelSubnets& subnets = {});

} // namespace egw::egress
