// SPDX-License-Identifier: Apache-2.0
#include "egress/node_plan.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "egress/classifier.hpp"
#include "egress/cluster.hpp"
#include "egress/node_places.hpp"
#include "egress/node_pods.hpp"
#include "egress/node_ranges.hpp"
#include "egress/node_underlay.hpp"
#include "egress/peer.hpp"
#include "egress/ruleset.hpp"

namespace egw::egress {

namespace {

using net::RouteType;

class Planner {
 public:
  Planner(const AgentWorld& world, const net::Host& host, const Marks& previous,
          const NodeOptions& options)
      : world_(world),
        host_(host),
        o_(options),
        told_(world.cluster.status),
        underlay_(find_underlay(world, told_, host, options)),
        places_(world, underlay_.parent, node_addresses(world, told_, host, options)),
        pods_(select_pods(world, places_)) {
    plan_.parent = underlay_.parent;
    plan_.warnings = places_.warnings();
    plan_.disputed = pods_.disputed;
    plan_.warnings.insert(plan_.warnings.end(), pods_.warnings.begin(), pods_.warnings.end());
    if (!underlay_.problem.empty()) plan_.problems.push_back(underlay_.problem);
    plan_.marks = assign_marks(mark_users(), previous, options);
  }

  NodePlan plan() {
    tunnel();
    peers();
    rules();
    gateway_routes();
    return_routes();
    nftables();
    plan_.state.forward_accepts = host_.forward_policy_drop;
    legacy_forward();
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

  // Whether the CNI has rules there that let packets of pods through can't be told.
  void legacy_forward() {
    for (const Family family : host_.legacy_forward_drop) {
      const char* tool = family == Family::V4 ? "iptables-legacy" : "ip6tables-legacy";
      const std::string& device = o_.ownership.device;
      plan_.warnings.push_back(fmt::format(
          "{0}'s FORWARD policy is DROP, and egw leaves its tables alone: unless other rules there "
          "accept packets of pods, add `{0} -I FORWARD -i {1} -j ACCEPT` and "
          "`{0} -I FORWARD -o {1} -j ACCEPT`",
          tool, device));
    }
  }

  std::set<std::string> gateway_nodes() const {
    std::set<std::string> nodes;
    for (const auto& [id, users] : pods_.eips) {
      const std::string& node = places_.all().at(id).node;
      if (!node.empty() && node != world_.node) nodes.insert(node);
    }
    return nodes;
  }

  // EIPs held here stand on the interface whose subnet has them. Where that is not the default
  // route's, their connections leave by it: a mark, a rule and a table for each such interface.
  std::optional<std::string> way_out(const Address& eip) const {
    const EipLink link = link_for(eip, host_, underlay_.parent.name, o_);
    const auto usual = host_.default_link.find(eip.family);
    if (!link.in_subnet || (usual != host_.default_link.end() && usual->second == link.name)) {
      return std::nullopt;
    }
    if (!host_.gateways.contains({link.name, eip.family})) return std::nullopt; // told in hold()
    return link_key(link.name);
  }

  std::set<std::string> mark_users() const {
    std::set<std::string> users = gateway_nodes();
    for (const auto& [id, place] : places_.all()) {
      if (place.node != world_.node || place.node_ip) continue;
      for (const auto& address : {place.ipv4, place.ipv6}) {
        if (!address) continue;
        if (const auto way = way_out(*address)) users.insert(*way);
      }
    }
    return users;
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
    for (const auto& [ip, node] : pods_.remote) needed.insert(*node);
    for (const std::string& name : needed) {
      const auto node = world_.nodes.find(name);
      const auto outer = node == world_.nodes.end()
                             ? std::nullopt
                             : peer_underlay(told_, node->second, underlay_.local->family, o_);
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

  void route(std::uint32_t table, const Prefix& to, std::uint32_t metric,
             const net::RouteValue& value) {
    plan_.state.routes.insert_or_assign({table, to, metric}, value);
  }
  void route_by(std::uint32_t table, const Prefix& to, const Address& next_hop) {
    route(table, to, kMetric, {RouteType::Unicast, o_.ownership.device, next_hop});
  }

  void gateway_routes() {
    const std::vector<Prefix> own_pods = pod_prefixes(world_, Family::V4);
    for (const auto& [name, index] : plan_.marks.index) {
      const std::uint32_t table = o_.table_base + index;
      for (const Prefix& pods : own_pods) {
        // With src_valid_mark the strict rp_filter asks this table for the way back to the pod.
        route(table, pods, kMetric, {RouteType::Throw, "", {}});
      }
      if (const auto link = link_of(name)) {
        link_routes(table, *link);
        continue;
      }
      const auto node = world_.nodes.find(name);
      for (const Family family : families_) {
        route(table, Prefix::all(family), kLastMetric, {RouteType::Blackhole, "", {}});
        if (plan_.state.tunnel && node != world_.nodes.end()) {
          const Peer peer(node->second);
          if (peer.next_hop(family)) route_by(table, Prefix::all(family), *peer.next_hop(family));
        }
      }
    }
  }

  void link_routes(std::uint32_t table, const std::string& link) {
    for (const Prefix& p : host_.addresses.at(link)) {
      const auto subnet = Prefix::parse(p.to_string()); // without host bits
      if (p.length == p.address.bits() || !subnet || p.address.is_link_local()) continue;
      route(table, *subnet, kMetric, {RouteType::Unicast, link, {}});
    }
    for (const Family family : {Family::V4, Family::V6}) {
      const auto gateway = host_.gateways.find({link, family});
      if (gateway == host_.gateways.end()) continue;
      route(table, Prefix::all(family), kMetric, {RouteType::Unicast, link, gateway->second});
    }
  }

  void return_routes() {
    if (!plan_.state.tunnel) return;
    for (const auto& [ip, name] : pods_.remote) {
      const auto node = world_.nodes.find(*name);
      if (node == world_.nodes.end()) continue;
      const Peer peer(node->second);
      const auto& next_hop = peer.next_hop(ip.family);
      if (!next_hop) continue;
      plan_.state.routes.emplace(return_route(ip, o_),
                                 {RouteType::Unicast, o_.ownership.device, next_hop});
    }
  }

  std::uint32_t via(const std::optional<Address>& eip) const {
    const auto way = eip ? way_out(*eip) : std::nullopt;
    const auto index = plan_.marks.index.find(way.value_or(""));
    return index == plan_.marks.index.end() ? 0 : index->second;
  }

  EipPlace place_of(const Places::Place& place) {
    if (place.node.empty()) return {};
    if (place.node == world_.node) {
      EipPlace here{.where = EipPlace::Where::Here,
                    .ipv4 = place.ipv4,
                    .ipv6 = place.ipv6,
                    .node_ip = place.node_ip};
      if (place.node_ip) return here;
      here.via4 = via(place.ipv4);
      here.via6 = via(place.ipv6);
      if (place.ipv4) here.link4 = link_for(*place.ipv4, host_, underlay_.parent.name, o_).name;
      return here;
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
      const EipLink link = link_for(*address, host_, underlay_.parent.name, o_);
      if (!link.name.empty()) {
        plan_.state.addresses[{link.name, Prefix::host(*address)}] = {.eip = true};
      } else if (!underlay_.parent.name.empty()) {
        plan_.warnings.push_back(
            fmt::format("EIP {} stands on no interface of this node: --eip-interface and "
                        "--eip-exclude-interface leave none; replies come only where the network "
                        "routes it here",
                        address->to_string()));
      }
      tell_of_link(*address, link);
    }
  }

  // Pods that the API does not tell of yet.
  void unknown_pods(RulesetInput& in) {
    plan_.pods_starting = pods_.starting;
    if (o_.unknown_pods == UnknownPods::Allow) return;
    in.unselected = std::move(pods_.unselected);
    const bool closed =
        o_.unknown_pods == UnknownPods::Drop || pods_.starting > 0 || world_.stay_closed;
    if (!closed && world_.policies.empty()) return;
    // Where nodes are merged there are thousands to read, and none is missing.
    if (!closed && world_.cluster.status.pod_cidr.contains(kAllNodes)) return;
    IntervalSet ranges = ranges_of_pods(world_);
    for (const Family family : {Family::V4, Family::V6}) {
      if (!ranges.empty(family)) continue;
      const auto pods = pod_addresses(world_);
      const auto of_family = [&](const Address& ip) { return ip.family == family; };
      if (std::ranges::none_of(pods, of_family)) continue;
      plan_.warnings.push_back(
          fmt::format("EgressClusterInfo names no IPv{} range of this node's pods: what a pod "
                      "sends before its address is in the API can't be told apart and leaves by "
                      "the node; name the range in spec.extraCidr",
                      static_cast<int>(family)));
    }
    plan_.closed = closed;
    if (closed) in.unknown = std::move(ranges);
  }

  void tell_of_link(const Address& eip, const EipLink& link) {
    const auto usual = host_.default_link.find(eip.family);
    if (!link.in_subnet || usual == host_.default_link.end() || usual->second == link.name) return;
    if (host_.gateways.contains({link.name, eip.family})) return;
    plan_.warnings.push_back(
        fmt::format("EIP {} is in the subnet of {}, which has no default route: its connections "
                    "to elsewhere leave by {}; give {} one of a higher metric",
                    eip.to_string(), link.name, usual->second, link.name));
  }

  // Of what comes by the tunnel and leaves here, too: the smallest.
  std::uint32_t way_mtu() const {
    std::uint32_t mtu = tunnel_mtu(host_, underlay_, o_.ownership.device);
    for (const auto& [key, value] : plan_.state.addresses) {
      const auto link = value.eip ? host_.links.find(key.link) : host_.links.end();
      if (link != host_.links.end() && link->second.mtu != 0) {
        mtu = std::min(mtu, link->second.mtu);
      }
    }
    return mtu;
  }

  void nftables() {
    RulesetInput in;
    unknown_pods(in);
    in.underlay = underlay_.local ? underlay_.local->family : Family::V4;
    in.cluster = inside_cluster(world_.cluster);
    in.ipvs = host_.ipvs;
    in.classes = std::move(pods_.classes);
    in.pods = std::move(pods_.pods);
    for (const auto& [name, node] : world_.nodes) {
      const auto outer = peer_underlay(told_, node, in.underlay, o_);
      if (name != world_.node && outer && outer != underlay_.local) in.peers.push_back(*outer);
    }
    in.sources.reserve(pods_.remote.size());
    for (const auto& [ip, name] : pods_.remote) {
      const auto node = world_.nodes.find(*name);
      in.sources.emplace_back(ip,
                              node == world_.nodes.end() ? std::nullopt : Peer(node->second).mac);
    }
    for (const auto& [id, place] : places_.all()) {
      const bool here = place.node == world_.node;
      for (const auto& address : {place.ipv4, place.ipv6}) {
        if (address && !place.node_ip) in.all_eips.push_back(*address);
      }
      if (!here && !pods_.eips.contains(id)) continue;
      const EipPlace where = place_of(place);
      if (here) hold(id, where);
      in.eips.emplace(id, where);
    }
    in.mtu = way_mtu();
    if (plan_.marks.index.size() < mark_users().size()) {
      plan_.problems.push_back(
          fmt::format("the packet mark's bits {:#x} are too few for {} gateway "
                      "nodes and interfaces: give --mark-mask more",
                      o_.mark_mask, mark_users().size()));
    }
    plan_.state.tables = ruleset(in, o_);

    auto data = std::make_shared<Classifier::Data>();
    for (const auto& [name, index] : plan_.marks.index) data->gateway_names.emplace(index, name);
    // The ruleset alone asks for these; an assignment of {} would keep the memory.
    std::vector<Address>().swap(in.peers);
    std::vector<Address>().swap(in.unselected);
    in.unknown = IntervalSet();
    decltype(in.sources)().swap(in.sources);
    std::vector<Address>().swap(in.all_eips);
    decltype(in.pods)().swap(in.pods);
    data->input = std::move(in);
    data->take_pods(plan_.state.tables);
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
