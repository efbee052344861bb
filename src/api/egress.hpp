// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/meta.hpp"
#include "base/ip.hpp"

// Our kinds: egressgateway.spidernet.io/v1beta1. Fields, defaults and meaning: docs/reference.md
// and the schemas in manifests/crds. User-given addresses stay text here, as the API server keeps
// them: what cannot be parsed must become a condition, not a failed decode.
namespace egw::api {

inline constexpr const char* kGroup = "egressgateway.spidernet.io";
inline constexpr const char* kVersion = "v1beta1";
inline constexpr const char* kApiVersion = "egressgateway.spidernet.io/v1beta1";

// Labels and annotations
inline constexpr const char* kLabelPolicyName =
    "spidernet.io/policy-name"; // hashed past 63 characters
inline constexpr const char* kLabelPolicyKind = "spidernet.io/policy-kind";
inline constexpr const char* kLabelPolicyUid = "spidernet.io/policy-uid";
inline constexpr const char* kLabelGateway = "spidernet.io/egressgateway";
inline constexpr const char* kLabelNamespaceDefault =
    "spidernet.io/egressgateway-default"; // or annotation
// On Nodes: what --tunnel-interface and --tunnel-cidr say for all of them. The controller copies it
// to the EgressNode, since agents read no Nodes.
inline constexpr const char* kAnnotationTunnelParent = "egressgateway.spidernet.io/tunnel-parent";
// On Nodes, for whoever sets it on new ones: no pods until the agent has its kernel state in place.
inline constexpr const char* kTaintAgentNotReady = "egressgateway.spidernet.io/agent-not-ready";
inline constexpr const char* kLabelGatewayNode =
    "spidernet.io/egress-gateway-node"; // on EgressNodes: "true"

enum class PlacementPolicy : std::uint8_t {
  AverageSelection,
  MinimumNodeSelection,
  LimitSelection
};
enum class WhenNoGateway : std::uint8_t { Drop, Bypass };
enum class UnservedFamily : std::uint8_t { Drop, Allow };
enum class AllocatorPolicy : std::uint8_t { Default, RoundRobin }; // "default", "rr"

// Which kind of policy; a part of every key, because two kinds may share a name.
enum class PolicyKind : std::uint8_t { EgressGatewayPolicy, EgressPolicy, EgressClusterPolicy };
[[nodiscard]] const char* to_string(PolicyKind kind);
[[nodiscard]] std::optional<PolicyKind> parse_policy_kind(std::string_view text);

struct PolicyKey {
  PolicyKind kind = PolicyKind::EgressGatewayPolicy;
  std::string namespace_, name; // namespace_ is empty for EgressClusterPolicy
  auto operator<=>(const PolicyKey&) const = default;
  [[nodiscard]] std::string to_string() const; // "EgressPolicy default/app"
};

// --- EgressGateway -----------------------------------------------------------------------------

struct EgressGatewaySpec {
  bool cluster_default = false;
  std::vector<std::string> ipv4_pool, ipv6_pool;  // addresses, "a-b", CIDRs
  std::string ipv4_default_eip, ipv6_default_eip; // empty: the lowest address of the pool
  LabelSelector node_selector;
  PlacementPolicy placement = PlacementPolicy::AverageSelection;
  std::int32_t limit = 0; // LimitSelection
  std::optional<std::vector<std::string>> scope_namespaces;
  std::optional<LabelSelector> scope_namespace_selector;
  WhenNoGateway when_no_gateway = WhenNoGateway::Drop;
  UnservedFamily unserved_family = UnservedFamily::Drop;
  bool operator==(const EgressGatewaySpec&) const = default;
};

struct EipEntry {
  std::int32_t id = 0;    // 1..32767, unique in the cluster, kept while the EIP is allocated
  std::string ipv4, ipv6; // both empty: a useNodeIP entry
  std::vector<PolicyKey> policies; // for people: at most 100 names a gateway; agents do not read it
  bool operator==(const EipEntry&) const = default;
};
struct GatewayNodeStatus {
  std::string name;
  std::string status; // phase of the EgressNode
  std::vector<EipEntry> eips;
  bool operator==(const GatewayNodeStatus&) const = default;
};
struct RestingId { // a freed id, not given out again before `until`
  std::int32_t id = 0;
  WallTime until{};
  bool operator==(const RestingId&) const = default;
};
struct IpUsage {
  std::int64_t ipv4_total = 0, ipv4_free = 0, ipv6_total = 0, ipv6_free = 0; // saturate
  bool operator==(const IpUsage&) const = default;
};
struct EgressGatewayStatus {
  std::vector<GatewayNodeStatus> node_list; // every node that the selector matches, by name
  std::vector<EipEntry> unplaced;
  std::vector<RestingId> resting_ids;
  std::int64_t term = 0; // of the leader that wrote last
  IpUsage ip_usage;
  std::vector<Condition> conditions;
  bool operator==(const EgressGatewayStatus&) const = default;
};
struct EgressGateway {
  ObjectMeta meta;
  EgressGatewaySpec spec;
  EgressGatewayStatus status;
  bool operator==(const EgressGateway&) const = default;
};

// --- the three policy kinds --------------------------------------------------------------------

struct PolicySpec {
  std::string gateway; // egressGatewayName
  std::string eip_ipv4, eip_ipv6;
  bool use_node_ip = false;
  AllocatorPolicy allocator = AllocatorPolicy::Default;
  std::optional<LabelSelector> pod_selector;
  std::vector<std::string> pod_subnet;
  std::optional<LabelSelector> namespace_selector; // EgressClusterPolicy
  std::vector<std::string> dest_subnet, excluded_subnet;
  std::optional<std::int32_t> priority; // 1..65536, the smaller wins
  bool operator==(const PolicySpec&) const = default;
};
struct PolicyStatus {
  std::string eip_ipv4, eip_ipv6, node;
  std::int32_t eip_id = 0;           // the entry of the gateway that serves this policy; 0: none
  std::vector<Condition> conditions; // Accepted, Allocated, Ready
  bool operator==(const PolicyStatus&) const = default;
};
struct EgressPolicy { // any of the three kinds
  PolicyKind kind = PolicyKind::EgressGatewayPolicy;
  ObjectMeta meta;
  PolicySpec spec;
  PolicyStatus status;
  [[nodiscard]] PolicyKey key() const { return {kind, meta.namespace_, meta.name}; }
  bool operator==(const EgressPolicy&) const = default;
};

// --- EgressNode ----------------------------------------------------------------------------------

enum class NodePhase : std::uint8_t {
  Pending,
  Init,
  Failed,
  Ready,
  AgentDown,
  NodeDown,
  NodeNotReady
};
[[nodiscard]] const char* to_string(NodePhase phase);
[[nodiscard]] NodePhase parse_node_phase(std::string_view text); // Pending when unknown

struct TunnelParent {
  std::string name, ipv4, ipv6; // applied by the agent
  bool operator==(const TunnelParent&) const = default;
};
struct AgentInfo { // applied by the agent
  std::string version;
  std::int32_t protocol_min = 0, protocol_max = 0;
  std::vector<std::string> features;
  std::int32_t port = 0;
  std::string public_key;
  bool operator==(const AgentInfo&) const = default;
};
struct EgressNodeStatus {
  std::string tunnel_ipv4, tunnel_ipv6, tunnel_mac; // applied by the controller
  TunnelParent parent;
  AgentInfo agent;
  NodePhase phase = NodePhase::Pending; // applied by the controller
  // "DatapathReady", "EIPsUnique" and "PortsAvailable" are the agent's, the others ("Ready",
  // "AddressesAllocated") the controller's: a list map by type, so that server-side apply keeps
  // both.
  std::vector<Condition> conditions;
  bool operator==(const EgressNodeStatus&) const = default;
};
struct EgressNode {
  ObjectMeta meta;
  EgressNodeStatus status;
  bool operator==(const EgressNode&) const = default;
};

// --- endpoint slices ---------------------------------------------------------------------------

struct Endpoint {
  std::string namespace_, pod, node;
  std::vector<std::string> ipv4, ipv6;
  auto operator<=>(const Endpoint&) const = default;
};
struct EgressEndpointSlice { // and EgressClusterEndpointSlice: meta.namespace_ is empty
  ObjectMeta meta;           // labels: policy name, kind, uid, gateway
  std::vector<Endpoint> endpoints;
  bool operator==(const EgressEndpointSlice&) const = default;
};

// --- EgressClusterInfo -------------------------------------------------------------------------

enum class PodCidrMode : std::uint8_t { Auto, Calico, K8s, Off }; // "auto", "calico", "k8s", ""
struct EgressClusterInfoSpec {
  PodCidrMode pod_cidr_mode = PodCidrMode::Auto;
  bool cluster_ip = true, node_ip = true;
  std::vector<std::string> extra_cidr;
  bool operator==(const EgressClusterInfoSpec&) const = default;
};
struct CidrSource { // where the CIDRs of one source come from, e.g. {"node1", [...]}
  std::vector<std::string> ipv4, ipv6;
  bool operator==(const CidrSource&) const = default;
};
struct IdBlock { // ids first..first+31 belong to a gateway
  std::int32_t first = 0;
  std::string gateway, gateway_uid;
  WallTime resting_until{}; // set when the gateway is gone; free again afterwards
  bool operator==(const IdBlock&) const = default;
};
inline constexpr std::int32_t kIdBlockSize = 32;
inline constexpr std::int32_t kMaxEipId = 32767;

struct EgressClusterInfoStatus {
  std::map<std::string, CidrSource> node_ip;  // by node
  std::map<std::string, CidrSource> pod_cidr; // by node or pool
  CidrSource cluster_ip;                      // service ranges
  CidrSource api_server;                      // endpoints behind default/kubernetes
  CidrSource extra_cidr;                      // what of spec.extraCidr could be parsed
  std::string pod_cidr_mode;                  // what was chosen
  std::vector<IdBlock> id_blocks;
  std::vector<Condition> conditions;
  bool operator==(const EgressClusterInfoStatus&) const = default;
};
struct EgressClusterInfo {
  ObjectMeta meta;
  EgressClusterInfoSpec spec;
  EgressClusterInfoStatus status;
  bool operator==(const EgressClusterInfo&) const = default;
};

} // namespace egw::api
