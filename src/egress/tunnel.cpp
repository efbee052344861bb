// SPDX-License-Identifier: Apache-2.0
#include "egress/tunnel.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>

#include "base/digest.hpp"
#include "egress/link_choice.hpp"
#include "egress/names.hpp"
#include "egress/policy.hpp"

namespace egw::egress {

Result<void> validate(const TunnelSubnets& subnets) {
  if (subnets.v4.family() != Family::V4 || subnets.v4.length > 29) {
    return Error{fmt::format("the IPv4 tunnel subnet {} must be an IPv4 CIDR of /29 or shorter",
                             subnets.v4.to_string())};
  }
  if (subnets.v6.family() != Family::V6 || subnets.v6.length > 125) {
    return Error{fmt::format("the IPv6 tunnel subnet {} must be an IPv6 CIDR of /125 or shorter",
                             subnets.v6.to_string())};
  }
  return {};
}

namespace {

std::vector<Address> addresses_of(const api::EgressNode& node) {
  std::vector<Address> addresses;
  for (const std::string* text : {&node.status.tunnel_ipv4, &node.status.tunnel_ipv6}) {
    const auto address = Address::parse(*text);
    if (address && std::ranges::count(addresses, *address) == 0) addresses.push_back(*address);
  }
  std::ranges::sort(addresses);
  return addresses;
}

} // namespace

bool TunnelBook::Claimant::operator<(const Claimant& other) const {
  return std::tie(created, *node) < std::tie(other.created, *other.node);
}

// Of all that claim it, in their order.
template <class T, class F>
void TunnelBook::for_each_claimant(const Claims<T>& claims, const T& what, const F& f) {
  static const std::string kFirst; // before every name
  for (auto at = claims.lower_bound({what, {WallTime::min(), &kFirst}});
       at != claims.end() && at->first == what; ++at) {
    f(*at->second.node);
  }
}

template <class T>
const std::string* TunnelBook::first_of(const Claims<T>& claims, const T& what) {
  const std::string* first = nullptr;
  for_each_claimant(claims, what, [&](const std::string& node) {
    if (first == nullptr) first = &node;
  });
  return first;
}

void TunnelBook::remove(const std::string& node) {
  const auto at = nodes_.find(node);
  if (at == nodes_.end()) return;
  const Claim& claim = at->second;
  const Claimant claimant{claim.created, &at->first};
  for (const Address& address : claim.addresses) addresses_.erase({address, claimant});
  if (claim.mac) macs_.erase({*claim.mac, claimant});
  nodes_.erase(at);
}

void TunnelBook::claim(const api::EgressNode& node) {
  remove(node.meta.name);
  const auto at = nodes_.try_emplace(node.meta.name).first;
  Claim& claim = at->second;
  // One that is not written yet comes after all that are.
  claim.created = node.meta.uid.empty() ? WallTime::max() : node.meta.created;
  claim.addresses = addresses_of(node);
  if (const auto mac = Mac::parse(node.status.tunnel_mac)) claim.mac = *mac;
  const Claimant claimant{claim.created, &at->first};
  for (const Address& address : claim.addresses) addresses_.insert({address, claimant});
  if (claim.mac) macs_.insert({*claim.mac, claimant});
}

const std::string* TunnelBook::owner(const Address& address) const {
  return first_of(addresses_, address);
}
const std::string* TunnelBook::owner(const Mac& mac) const {
  return first_of(macs_, mac);
}

std::set<std::string> TunnelBook::claimants(const api::EgressNode& node) const {
  std::set<std::string> names;
  const auto add = [&](const std::string& name) { names.insert(name); };
  for (const Address& address : addresses_of(node)) for_each_claimant(addresses_, address, add);
  if (const auto mac = Mac::parse(node.status.tunnel_mac)) for_each_claimant(macs_, *mac, add);
  names.erase(node.meta.name);
  return names;
}

std::optional<Address> TunnelBook::own(const Prefix& subnet, const std::string& node) const {
  const auto at = nodes_.find(node);
  if (at == nodes_.end()) return std::nullopt;
  for (const Address& address : at->second.addresses) {
    if (subnet.contains(address) && *owner(address) == node) return address;
  }
  return std::nullopt;
}

std::optional<Address> TunnelBook::pick(const Prefix& subnet, const std::string& node) const {
  IntervalSet free;
  free.add(subnet);
  free.remove(subnet.first()); // network; in IPv6 the routers' anycast address (RFC 4291, 2.6.1)
  if (subnet.family() == Family::V4) free.remove(subnet.last());

  const auto digest = sha256("egw tunnel address " + node);
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < sizeof number; ++i) number = number << 8 | digest[i];
  const std::uint64_t size = Range::of(subnet).size();
  const Address start = subnet.first().plus(number % size).value_or(subnet.first());

  const auto scan = [&](const Address& from) -> std::optional<Address> {
    auto at = free.at_or_after(from);
    while (at && at->family == subnet.family()) {
      if (owner(*at) == nullptr) return at;
      const auto next = at->next();
      at = next ? free.at_or_after(*next) : std::nullopt;
    }
    return std::nullopt;
  };
  if (auto found = scan(start)) return found;
  return scan(subnet.first());
}

std::optional<std::string> foreign_parent(const api::Node& node, const api::EgressNode& egress_node,
                                          const TunnelSubnets& subnets) {
  std::vector<Prefix> believed = subnets.underlay;
  if (const auto choice = parse_link_choice(node.tunnel_parent)) {
    believed.insert(believed.end(), choice->subnets.begin(), choice->subnets.end());
  }
  const api::TunnelParent& parent = egress_node.status.parent;
  for (const auto& [text, family] :
       {std::pair{&parent.ipv4, Family::V4}, std::pair{&parent.ipv6, Family::V6}}) {
    if (text->empty()) continue;
    const auto address = Address::parse(*text);
    const auto& known = node.internal_ips;
    if (address && std::ranges::find(known, *address) != known.end()) continue;
    if (address && contains(believed, *address)) continue;
    // A kubelet that was told one family lists no address of the other, though the node may have
    // one.
    const bool lists_family =
        std::ranges::any_of(known, [f = family](const Address& a) { return a.family == f; });
    if (address && address->family == Family::V6 && !lists_family && !parent.ipv4.empty()) continue;
    return *text;
  }
  return std::nullopt;
}

api::NodePhase node_phase(const api::Node* node, const api::EgressNode* egress_node,
                          const TunnelSubnets& subnets) {
  if (node == nullptr || node->meta.deleting || !node->ready) return api::NodePhase::NodeNotReady;
  if (egress_node == nullptr || egress_node->status.tunnel_ipv4.empty() ||
      egress_node->status.tunnel_ipv6.empty()) {
    return api::NodePhase::Pending;
  }
  const auto* datapath = api::find_condition(egress_node->status.conditions, kDatapathReady);
  if (datapath == nullptr || datapath->status == "Unknown") return api::NodePhase::Init;
  if (datapath->status != "True" || foreign_parent(*node, *egress_node, subnets)) {
    return api::NodePhase::Failed;
  }
  return api::NodePhase::Ready;
}

namespace {

std::string pick_address(const EgressNodeInput& in, const TunnelBook& book, const Prefix& subnet,
                         const std::string& present) {
  const std::string& name = in.node->meta.name;
  if (const auto address = Address::parse(present); address && subnet.contains(*address)) {
    const std::string* owner = book.owner(*address);
    if (owner == nullptr || *owner == name) return present;
  }
  // Of a write that failed, but may have been done.
  if (const auto claimed = book.own(subnet, name)) return claimed->to_string();
  if (in.overlap && Range::of(subnet).contains(in.overlap->first)) return "";
  const auto picked = book.pick(subnet, name);
  return picked ? picked->to_string() : "";
}

// From the node's name; another one only while an older node has that. One that was given in such a
// case stays: a MAC that changes breaks the tunnel for a moment.
std::string pick_mac(const std::string& name, const TunnelBook& book, const std::string& present) {
  constexpr int kAttempts = 8;
  std::optional<Mac> free;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const Mac mac = tunnel_mac(name, attempt);
    const std::string* owner = book.owner(mac);
    if (owner != nullptr && *owner != name) continue;
    if (mac.to_string() == present) return present;
    if (!free) free = mac;
  }
  return free.value_or(tunnel_mac(name)).to_string();
}

struct ReadyText {
  bool ready;
  std::string reason, message;
};

ReadyText ready_text(const api::Node& node, const api::EgressNode& wanted,
                     const TunnelSubnets& subnets) {
  const auto* datapath = api::find_condition(wanted.status.conditions, kDatapathReady);
  const std::string phase = api::to_string(wanted.status.phase);
  switch (wanted.status.phase) {
    case api::NodePhase::Ready:
      return {true, "Ready", ""};
    case api::NodePhase::NodeNotReady:
      return {false, phase, "the Node's condition Ready is not True: see kubectl describe node"};
    case api::NodePhase::Pending:
      return {false, phase, "no tunnel addresses yet: see condition AddressesAllocated"};
    case api::NodePhase::Init:
      return {false, phase,
              "the agent has not said yet that its kernel state is in place: see the "
              "agent's pod on this node"};
    case api::NodePhase::Failed:
      if (const auto foreign = foreign_parent(node, wanted, subnets)) {
        return {false, "ForeignParent",
                fmt::format(
                    "status.tunnel.parent {} is not among the Node's addresses: give agents and "
                    "controllers its subnet as --tunnel-cidr, or the kubelet its --node-ip",
                    *foreign)};
      }
      return {false, phase,
              datapath != nullptr && !datapath->message.empty()
                  ? "the agent says: " + datapath->message
                  : std::string("the agent could not put its kernel state in place: see its log")};
    case api::NodePhase::AgentDown:
    case api::NodePhase::NodeDown:
      break;
  }
  return {false, phase, ""};
}

} // namespace

api::EgressNode plan_egress_node(const EgressNodeInput& in, const TunnelBook& book) {
  api::EgressNode wanted = in.current != nullptr ? *in.current : api::EgressNode{};
  const std::string& name = in.node->meta.name;
  wanted.meta.name = name;
  const api::OwnerReference owner{"v1", "Node", name, in.node->meta.uid, false};
  std::erase_if(wanted.meta.owners,
                [&](const auto& o) { return o.kind == "Node" && o.uid != owner.uid; });
  if (std::ranges::find(wanted.meta.owners, owner.uid, &api::OwnerReference::uid) ==
      wanted.meta.owners.end()) {
    wanted.meta.owners.push_back(owner);
  }
  if (in.is_gateway) {
    wanted.meta.labels.set(api::kLabelGatewayNode, "true");
  } else {
    wanted.meta.labels.erase(api::kLabelGatewayNode);
  }
  if (in.node->tunnel_parent.empty()) {
    wanted.meta.annotations.erase(api::kAnnotationTunnelParent);
  } else {
    wanted.meta.annotations.set(api::kAnnotationTunnelParent, in.node->tunnel_parent);
  }
  wanted.status.tunnel_mac = pick_mac(name, book, wanted.status.tunnel_mac);
  wanted.status.tunnel_ipv4 = pick_address(in, book, in.subnets.v4, wanted.status.tunnel_ipv4);
  wanted.status.tunnel_ipv6 = pick_address(in, book, in.subnets.v6, wanted.status.tunnel_ipv6);
  wanted.status.phase = node_phase(in.node, &wanted, in.subnets);

  const auto set = [&](const char* type, bool status, std::string reason, std::string message) {
    api::set_condition(wanted.status.conditions,
                       api::make_condition(type, status, std::move(reason), std::move(message),
                                           wanted.meta.generation),
                       in.now);
  };
  const bool complete = !wanted.status.tunnel_ipv4.empty() && !wanted.status.tunnel_ipv6.empty();
  if (in.overlap) {
    set(kAddressesAllocated, complete, "SubnetOverlap",
        fmt::format("the tunnel subnets overlap {} of the cluster: give the controller another "
                    "--tunnel-ipv4-subnet or --tunnel-ipv6-subnet",
                    in.overlap->to_string()));
  } else if (!complete) {
    set(kAddressesAllocated, false, "SubnetFull",
        "every address of a tunnel subnet is taken: give the controller a larger "
        "--tunnel-ipv4-subnet or --tunnel-ipv6-subnet");
  } else {
    set(kAddressesAllocated, true, "Allocated", "");
  }
  const ReadyText text = ready_text(*in.node, wanted, in.subnets);
  set(kReady, text.ready, text.reason, text.message);
  return wanted;
}

} // namespace egw::egress
