// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "api/meta.hpp"
#include "base/ip.hpp"
#include "base/rare.hpp"

// Objects of Kubernetes itself, only the fields used.
namespace egw::api {

struct Node {
  ObjectMeta meta;
  std::vector<Address> internal_ips;
  std::vector<Prefix> pod_cidrs;
  bool unschedulable = false;
  bool ready = false;                    // condition Ready is "True"
  std::vector<std::string> cilium_cidrs; // annotations of Cilium: its ranges of this node's pods
  std::string tunnel_parent;             // annotation of ours: where the tunnel stands
  std::vector<std::string> taints;       // their keys, in the order of spec.taints
  bool operator==(const Node&) const = default;
};

enum class PodPhase : std::uint8_t { Pending, Running, Succeeded, Failed, Unknown };
struct Pod {
  ObjectMeta meta;
  std::string node_name;
  bool host_network = false;
  PodPhase phase = PodPhase::Pending;
  std::vector<Address> ips; // status.podIPs
  // Of the control plane's own Pods: what --service-cluster-ip-range says.
  Rare<std::vector<std::string>> service_cidrs;
  [[nodiscard]] bool ended() const {
    return phase == PodPhase::Succeeded || phase == PodPhase::Failed;
  }
  bool operator==(const Pod&) const = default;
};

struct Namespace {
  ObjectMeta meta;
  bool operator==(const Namespace&) const = default;
};

// discovery.k8s.io/v1 EndpointSlice: read for default/kubernetes alone.
struct EndpointSlice {
  ObjectMeta meta;
  std::vector<Address> addresses; // of all endpoints
  bool operator==(const EndpointSlice&) const = default;
};

// coordination.k8s.io/v1 Lease
struct Lease {
  ObjectMeta meta;
  std::string holder;
  std::int32_t duration_seconds = 0;
  WallTime acquired{}, renewed{};
  std::int32_t transitions = 0;
  bool operator==(const Lease&) const = default;
};

// v1 Secret. A value that is not base64 reads as empty: no error may show what stands there.
struct Secret {
  ObjectMeta meta;
  std::string type;                        // cannot be changed
  std::map<std::string, std::string> data; // decoded
  bool operator==(const Secret&) const = default;
};

// admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration and MutatingWebhookConfiguration:
// whom the webhooks' clients trust.
enum class WebhookKind : std::uint8_t { Validating, Mutating };
struct WebhookConfiguration {
  ObjectMeta meta;
  std::vector<std::string> ca_bundles; // webhooks[*].clientConfig.caBundle, in base64 as it stands
  bool operator==(const WebhookConfiguration&) const = default;
};

struct ObjectReference {
  std::string api_version, kind, name, namespace_, uid;
  auto operator<=>(const ObjectReference&) const = default;
};

// v1 Event, written only. One that repeats counts up instead of coming again.
struct Event {
  ObjectMeta meta; // a name from content: the same event has the same name
  ObjectReference regarding;
  std::string type; // "Normal" or "Warning"
  std::string reason, message, component;
  std::int32_t count = 1;
  WallTime first{}, last{};
  bool operator==(const Event&) const = default;
};

} // namespace egw::api
