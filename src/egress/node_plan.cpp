// SPDX-License-Identifier: Apache-2.0
#include "egress/node_plan.hpp"

#include <fmt/format.h>

#include "egress/classifier.hpp"
#include "egress/cluster.hpp"
#include "egress/node_places.hpp"
#include "egress/node_pods.hpp"
#include "egress/node_underlay.hpp"
#include "egress/ruleset.hpp"

namespace egw::egress {

namespace {

using net::RouteType;

// One metric for all routes, since IPv6 would read 0 as 1024; the blackhole is what is left when
// the route into the tunnel is not there.
constexpr std::uint32_t kMetric = 1;
constexpr std::uint32_t kLastMetric = 0xffffffff;

struct Peer {
  std::optional<Address> ipv4, ipv6; // in the tunnel: next hops
  std::optional<Mac> mac;

  explicit Peer(const api::EgressNode& node) {
    if (const auto a = Address::parse(node.status.tunnel_ipv4)) ipv4 = *a;
    if (const auto a = Address::parse(node.status.tunnel_ipv6)) ipv6 = *a;
    if (const auto m = Mac::parse(node.status.tunnel_mac)) mac = *m;
  }
  [[nodiscard]] const std::optional<Address>& next_hop(Family f) const {
    return f == Family::V4 ? ipv4 : ipv6;
  }
};

class Planner {
 public:
  Planner(const AgentWorld& world, const net::Host& host, const Marks& previous,
          const NodeOptions& options)
      : world_(world),
        host_(host),
        o_(options),
        told_(world.cluster.status),
        underlay_(find_underlay(world.node, told_, host, options.ownership.device)),
        places_(world, underlay_.parent, node_addresses(world, told_, host)),
        pods_(select_pods(world, places_)) {
    plan_.parent = underlay_.parent;
    plan_.warnings = places_.warnings();
    plan_.warnings.insert(plan_.warnings.end(), pods_.warnings.begin(), pods_.warnings.end());
    if (!underlay_.problem.empty()) plan_.problems.push_back(underlay_.problem);
    plan_.marks = assign_marks(gateway_nodes(), previous, options);
  }

  NodePlan plan() {
    tunnel();
    peers();
    rules();
    gateway_routes();
    return_routes();
    nftables();
    plan_.state.forward_accepts = host_.forward_policy_drop;
    return std::move(plan_);
  }

 private:
  const AgentWorld& world_;
  const net::Host& host_;
  const NodeOptions& o_;
  const NodeAddresses told_; // by EgressClusterInfo
  const Underlay underlay_;
  const Places places_;
  KnownPods pods_;               // nftables(), which comes last, takes it apart
  std::vector<Family> families_; // with a tunnel address of ours
  NodePlan plan_;

  std::set<std::string> gateway_nodes() const {
    std::set<std::string> nodes;
    for (const auto& [id, users] : pods_.eips) {
      const std::string& node = places_.all().at(id).node;
      if (!node.empty() && node != world_.node) nodes.insert(node);
    }
    return nodes;
  }

  void tunnel() {
    const auto self = world_.nodes.find(world_.node);
    if (self == world_.nodes.end()) {
      plan_.problems.push_back(
          fmt::format("there is no EgressNode {} yet: the controller makes one for "
                      "each Node; is it running, and is --node-name right?",
                      world_.node));
      return;
    }
    const Peer own(self->second);
    if (!own.mac || (!own.ipv4 && !own.ipv6)) {
      plan_.problems.push_back(
          fmt::format("EgressNode {} has no tunnel address or MAC yet: the "
                      "controller gives them; see its conditions",
                      world_.node));
      return;
    }
    for (const Family family : {Family::V4, Family::V6}) {
      const auto& address = own.next_hop(family);
      if (!address) continue;
      families_.push_back(family);
      if (underlay_.local) {
        plan_.state.addresses[{o_.ownership.device, Prefix::host(*address)}] = {.eip = false};
      }
    }
    if (!underlay_.local) return;
    plan_.state.tunnel = net::Vxlan{.mac = *own.mac,
                                    .vni = o_.vni,
                                    .port = o_.port,
                                    .local = *underlay_.local,
                                    .parent = underlay_.link};
  }

  // Nodes that this one exchanges packets with, and how to reach them.
  void peers() {
    if (!plan_.state.tunnel) return;
    std::set<std::string> needed = gateway_nodes();
    for (const auto& [ip, node] : pods_.remote) needed.insert(node);
    for (const std::string& name : needed) {
      const auto node = world_.nodes.find(name);
      const auto outer = node == world_.nodes.end()
                             ? std::nullopt
                             : peer_underlay(told_, node->second, underlay_.local->family);
      const Peer peer(node == world_.nodes.end() ? api::EgressNode{} : node->second);
      if (!outer || !peer.mac) {
        plan_.warnings.push_back(
            fmt::format("node {} can't be reached by the tunnel: its EgressNode "
                        "has no MAC or no IPv{} address of its parent interface",
                        name, static_cast<int>(underlay_.local->family)));
        continue;
      }
      plan_.state.fdb.emplace(*peer.mac, *outer);
      for (const Family family : families_) {
        if (peer.next_hop(family)) plan_.state.neighbours[{*peer.next_hop(family)}] = *peer.mac;
      }
    }
  }

  void rules() {
    const auto add = [&](net::RoutingRule rule) { plan_.state.rules.insert(rule); };
    const std::uint32_t first = o_.rule_priority - 1, last = o_.rule_priority + 1;
    for (const Family family : families_) {
      // A rule costs every forwarded packet, several times. Two that jump over the others pay from
      // three on.
      if (!pods_.remote.empty()) add(lookup(family, kReplyIndex));
      for (const auto& [node, index] : plan_.marks.index) add(lookup(family, index));
      if (plan_.marks.index.size() + !pods_.remote.empty() < 3) continue;
      add({family, first, 0, o_.mark_mask, net::RuleAction::Goto, last});
      add({family, last, 0, 0, net::RuleAction::Nop, 0});
    }
  }
  net::RoutingRule lookup(Family family, std::uint32_t index) const {
    return {family,       o_.rule_priority,        mark_of(index, o_.mark_mask).value(),
            o_.mark_mask, net::RuleAction::Lookup, o_.table_base + index - (index == kReplyIndex)};
  }

  void route(std::uint32_t table, const Prefix& to, std::uint32_t metric, net::RouteValue value) {
    plan_.state.routes[{table, to, metric}] = std::move(value);
  }
  void route_by(std::uint32_t table, const Prefix& to, const Address& next_hop) {
    route(table, to, kMetric, {RouteType::Unicast, o_.ownership.device, next_hop});
  }

  void gateway_routes() {
    const std::vector<Prefix> own_pods = pod_prefixes();
    for (const auto& [name, index] : plan_.marks.index) {
      const std::uint32_t table = o_.table_base + index;
      const auto node = world_.nodes.find(name);
      for (const Family family : families_) {
        route(table, Prefix::all(family), kLastMetric, {RouteType::Blackhole, "", {}});
        if (plan_.state.tunnel && node != world_.nodes.end()) {
          const Peer peer(node->second);
          if (peer.next_hop(family)) route_by(table, Prefix::all(family), *peer.next_hop(family));
        }
      }
      // With src_valid_mark the strict rp_filter asks this table for the way back to the pod.
      for (const Prefix& pods : own_pods) {
        route(table, pods, kMetric, {RouteType::Throw, "", {}});
      }
    }
  }

  // IPv4 CIDRs of this node's pods: those that bear its name, and of pools. Where nodes are merged,
  // those that hold a pod of it: there may be thousands.
  std::vector<Prefix> pod_prefixes() const {
    std::set<Prefix> found;
    const auto add = [&](const api::CidrSource& source, const auto& wanted) {
      for (const std::string& text : source.ipv4) {
        const auto prefix = Prefix::parse(text);
        if (prefix && prefix->family() == Family::V4 && wanted(*prefix)) found.insert(*prefix);
      }
    };
    const auto all = [](const Prefix&) { return true; };
    for (const auto& [origin, source] : world_.cluster.status.pod_cidr) {
      if (origin == world_.node || origin.find('/') != std::string::npos) add(source, all);
    }
    const auto merged = world_.cluster.status.pod_cidr.find(kAllNodes);
    if (merged != world_.cluster.status.pod_cidr.end()) {
      const std::set<Address> own = pod_addresses();
      add(merged->second, [&](const Prefix& p) {
        const auto first = own.lower_bound(p.first());
        return first != own.end() && *first <= p.last();
      });
    }
    return {found.begin(), found.end()};
  }
  std::set<Address> pod_addresses() const { // of this node, without the host's own
    std::set<Address> addresses;
    for (const auto& [name, pod] : world_.pods) {
      if (!pod.host_network && !pod.ended()) addresses.insert(pod.ips.begin(), pod.ips.end());
    }
    return addresses;
  }

  // Replies to pods of other nodes go back through the tunnel: by the pod network they would die
  // under strict rp_filter.
  void return_routes() {
    if (!plan_.state.tunnel) return;
    for (const auto& [ip, name] : pods_.remote) {
      const auto node = world_.nodes.find(name);
      if (node == world_.nodes.end()) continue;
      const Peer peer(node->second);
      const auto& next_hop = peer.next_hop(ip.family);
      if (next_hop) route_by(o_.table_base, Prefix::host(ip), *next_hop);
    }
  }

  EipPlace place_of(const Places::Place& place) {
    if (place.node.empty()) return {};
    if (place.node == world_.node) {
      return {.where = EipPlace::Where::Here,
              .ipv4 = place.ipv4,
              .ipv6 = place.ipv6,
              .node_ip = place.node_ip};
    }
    const auto index = plan_.marks.index.find(place.node);
    if (index == plan_.marks.index.end()) return {}; // told once, below
    return {EipPlace::Where::Tunnel, index->second, {}, {}};
  }

  void hold(std::int32_t id, const EipPlace& place) {
    if (place.node_ip) return; // it stands there anyway, and nobody has to be told
    auto& held = plan_.held[id];
    for (const auto& address : {place.ipv4, place.ipv6}) {
      if (!address) continue;
      held.push_back(*address);
      // Without a parent there is no interface to put it on.
      const std::string link =
          link_for(*address, host_, underlay_.parent.name, o_.ownership.device);
      if (!link.empty()) plan_.state.addresses[{link, Prefix::host(*address)}] = {.eip = true};
    }
  }

  void nftables() {
    RulesetInput in;
    in.underlay = underlay_.local ? underlay_.local->family : Family::V4;
    in.cluster = inside_cluster(world_.cluster);
    in.classes = std::move(pods_.classes);
    in.pods = std::move(pods_.pods);
    for (const auto& [name, node] : world_.nodes) {
      const auto outer = peer_underlay(told_, node, in.underlay);
      if (name != world_.node && outer && outer != underlay_.local) in.peers.push_back(*outer);
    }
    in.sources.reserve(pods_.remote.size());
    for (const auto& [ip, name] : pods_.remote) {
      const auto node = world_.nodes.find(name);
      if (node == world_.nodes.end()) continue;
      if (const Peer peer(node->second); peer.mac) in.sources.emplace_back(ip, *peer.mac);
    }
    for (const auto& [id, place] : places_.all()) {
      const bool here = place.node == world_.node;
      if (!here && !pods_.eips.contains(id)) continue;
      const EipPlace where = place_of(place);
      if (here) hold(id, where);
      in.eips.emplace(id, where);
    }
    if (plan_.marks.index.size() < gateway_nodes().size()) {
      plan_.problems.push_back(
          fmt::format("the packet mark's bits {:#x} are too few for {} gateway "
                      "nodes: give --mark-mask more",
                      o_.mark_mask, gateway_nodes().size()));
    }
    plan_.state.tables = ruleset(in, o_);

    auto data = std::make_shared<Classifier::Data>();
    for (const auto& [name, index] : plan_.marks.index) data->gateway_names.emplace(index, name);
    // The ruleset alone asks for these two; an assignment of {} would keep the memory.
    std::vector<Address>().swap(in.peers);
    std::vector<std::pair<Address, Mac>>().swap(in.sources);
    data->input = std::move(in);
    data->options = o_;
    plan_.classifier.data = std::move(data);
  }
};

} // namespace

NodePlan plan_node(const AgentWorld& world, const net::Host& host, const Marks& previous,
                   const NodeOptions& options) {
  return Planner(world, host, previous, options).plan();
}

} // namespace egw::egress
