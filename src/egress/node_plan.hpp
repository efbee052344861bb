// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/core.hpp"
#include "api/egress.hpp"
#include "base/ip.hpp"
#include "egress/labels_pool.hpp"
#include "egress/link_choice.hpp"
#include "egress/pod_ips.hpp"
#include "egress/policy.hpp"
#include "net/state.hpp"

// World, node -> what that node's kernel should hold. Pure: the same input gives the same State.
namespace egw::egress {

// Traffic to outside the cluster from an address of this node's pods that no known pod has: a pod
// can send before its address is in the API.
enum class UnknownPods : std::uint8_t {
  Auto, // dropped while a pod starts here that a policy will select
  Drop, // always dropped
  Allow,
};

// What can be configured about a node's kernel. Every value has the same meaning on all nodes of a
// cluster but `mark_mask`, the routing numbers and `unknown_pods`, which are local.
struct NodeOptions {
  net::Ownership ownership;
  std::uint32_t vni = 100;          // 1..2^24-1
  std::uint16_t port = 7789;        // UDP
  std::uint32_t mark_mask = 0x307f; // packet mark bits owned; at least three
  std::uint32_t ct_mask =
      0xffff0000; // connection mark bits owned: 15 of EIP id, the highest "tunnelled"
  std::uint32_t rule_priority = 99; // one below (98) and one above (100) are used as well
  std::uint32_t table_base = 7700;  // replies; gateways use the numbers after it
  UnknownPods unknown_pods = UnknownPods::Auto;
  // Where the tunnel stands, unless the Node's annotation says otherwise; empty: on the interface
  // of the default route. Addresses within its subnets are believed of every node.
  LinkChoice tunnel_parent{};
  // Interfaces that EIPs may stand on, and those that they may not, as patterns of names.
  std::vector<std::string> eip_links{}, no_eip_links{};
  bool operator==(const NodeOptions&) const = default;
};

// What a gateway node needs of an endpoint slice. It keeps thousands: names and texts are left out.
struct RemotePods {
  struct Pod {
    Address ip;
    NamePool::Handle node;
    bool operator==(const Pod&) const = default;
  };
  std::string policy_uid;   // empty: the slice names no policy
  NamePool::Handle gateway; // whose watch told of the slice, and of which kind it is
  bool cluster = false;
  std::vector<Pod> pods; // an address that can't be read is left out
  bool operator==(const RemotePods&) const = default;
};
[[nodiscard]] RemotePods remote_pods(const api::EgressEndpointSlice& slice, NamePool& names);

// What a node needs of a pod of its own. There may be thousands, and most share their labels.
struct LocalPod {
  LabelsPool::Handle labels;
  WallTime created{};
  PodIps ips;
  bool host_network = false, ended = false;
  bool operator==(const LocalPod&) const = default;
};
using LocalPods = std::map<api::NamespacedName, LocalPod>;
[[nodiscard]] LocalPod local_pod(const api::Pod& pod, LabelsPool& labels);
[[nodiscard]] PodView view(const LocalPods::value_type& pod);

// Everything that an agent knows from the API server.
struct AgentWorld {
  std::string node; // ours
  std::map<std::string, api::EgressGateway> gateways;
  std::map<api::PolicyKey, CompiledPolicy> policies;
  std::map<std::string, api::EgressNode> nodes;
  std::map<std::string, api::Namespace> namespaces;
  SharedPool<LabelsPool> labels;
  SharedPool<NamePool> names; // of nodes and gateways
  LocalPods pods;             // of this node
  // As long as packets may be under way that were looked up before a pod became known, or in a map
  // that was made anew, addresses that are not known stay closed; as if another pod was starting.
  bool stay_closed = false;
  std::map<api::NamespacedName, RemotePods> slices;
  api::EgressClusterInfo cluster;
};

// Packet marks are local to a node: index 1 is "reply", 2 and up are gateway nodes, and interfaces
// other than the default route's whose EIPs leave by them. An index stays
// with its node for as long as the node is used, so that packets under way keep their meaning.
inline constexpr std::uint32_t kReplyIndex = 1;
struct Marks {
  std::map<std::string, std::uint32_t> index; // by node name, or by link_key
  bool operator==(const Marks&) const = default;
};
// In place of a node's name; no node has a '/' in its own.
[[nodiscard]] std::string link_key(const std::string& link);
[[nodiscard]] std::optional<std::string> link_of(const std::string& key);
// Spreads an index over the bits of the mask, lowest first. nullopt: more than fit.
[[nodiscard]] std::optional<std::uint32_t> mark_of(std::uint32_t index, std::uint32_t mask);
// What the kernel holds of an earlier run: a gateway's table number tells its index, and the
// table's next hop, a tunnel address, the node.
[[nodiscard]] Marks recover_marks(const net::State& actual,
                                  const std::map<std::string, api::EgressNode>& nodes,
                                  const NodeOptions& options);

// What should become of a packet of a pod, as the ruleset would decide: for explain, for tests as
// an oracle, and for finding connections that decided otherwise.
class Classifier {
 public:
  struct Decision {
    enum class Kind : std::uint8_t { Untouched, Drop, Here, Tunnel } kind = Kind::Untouched;
    std::int32_t eip_id = 0;  // Here and Tunnel
    std::string gateway_node; // Tunnel
    std::size_t nth = 0;      // of the pod's policies, in their order: the one that took it
    bool operator==(const Decision&) const = default;
  };
  [[nodiscard]] Decision decide(const Address& pod, const Address& destination) const;
  // The ct mark (within ct_mask) that a connection decided so bears; nullopt for Drop.
  [[nodiscard]] std::optional<std::uint32_t> expected_mark(const Decision& d) const;

  struct Data; // shared, immutable
  std::shared_ptr<const Data> data;
};

// Entries that a newer plan decides otherwise: they are forgotten, so that the connection starts
// anew under the present rules or ends. Entries that are right are never touched.
[[nodiscard]] std::vector<net::Connection> stale(const std::vector<net::Connection>& connections,
                                                 const Classifier& classifier);

struct NodePlan {
  net::State state;
  api::TunnelParent parent;                          // empty name: none was found
  std::map<std::int32_t, std::vector<Address>> held; // EIPs that this node holds, by id
  Marks marks;
  Classifier classifier;
  std::size_t pods_starting = 0; // that a policy will select, and that have no address yet
  bool disputed = false;         // slices tell of an address as a pod's of two nodes
  bool closed = false;           // addresses of this node's pods that are not known get nowhere
  // Why this node's datapath can't be complete (for DatapathReady), and what is wrong elsewhere: a
  // peer that is not ready must not make its users unready.
  std::vector<std::string> problems, warnings;
};

[[nodiscard]] NodePlan plan_node(const AgentWorld& world, const net::Host& host,
                                 const Marks& previous, const NodeOptions& options);

} // namespace egw::egress
