// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "api/json.hpp"
#include "api/json_read.hpp"
#include "api/json_write.hpp"
#include "api/ranges.hpp"

// Kubernetes' own kinds.
namespace egw::api {
namespace {

constexpr std::array<std::pair<const char*, PodPhase>, 6> kPodPhases{
    {{"Pending", PodPhase::Pending},
     {"Running", PodPhase::Running},
     {"Succeeded", PodPhase::Succeeded},
     {"Failed", PodPhase::Failed},
     {"Unknown", PodPhase::Unknown},
     {"", PodPhase::Pending}}};

// Cilium's own, in the names of its present and of its older releases.
constexpr std::array kCiliumAnnotations = {
    "network.cilium.io/ipv4-pod-cidr", "network.cilium.io/ipv6-pod-cidr",
    "io.cilium.network.ipv4-pod-cidr", "io.cilium.network.ipv6-pod-cidr"};

// As kubeadm labels the Pods of a control plane, and as others do.
bool runs_control_plane(const ObjectMeta& meta) {
  if (meta.namespace_ != kSystemNamespace) return false;
  const auto is = [&](const char* label) {
    const auto value = meta.labels.find(label);
    return value == "kube-apiserver" || value == "kube-controller-manager";
  };
  return is("component") || is("k8s-app");
}

void read_service_ranges(const Field& spec, Pod& pod) {
  std::vector<std::string> found;
  spec["containers"].each([&](const Field& container) {
    std::vector<std::string> words;
    container["command"].read(words);
    container["args"].read(words);
    std::ranges::move(service_ranges_of(words), std::back_inserter(found));
  });
  if (!found.empty()) pod.service_cidrs = std::move(found);
}

void read_node(const Field& root, Node& node) {
  read_head(root, {"Node"}, node.meta);
  const Field spec = root["spec"];
  spec["podCIDRs"].read(node.pod_cidrs);
  if (node.pod_cidrs.empty() && spec["podCIDR"].present()) {
    spec["podCIDR"].read(node.pod_cidrs.emplace_back());
  }
  spec["unschedulable"].read(node.unschedulable);
  spec["taints"].each([&](const Field& taint) { taint["key"].read(node.taints.emplace_back()); });
  const Field status = root["status"];
  status["addresses"].each([&](const Field& item) {
    std::string type;
    item["type"].read(type);
    // Other types (Hostname, InternalDNS, ExternalIP) hold names or addresses that no node answers
    // for.
    if (type == "InternalIP") item["address"].read(node.internal_ips.emplace_back());
  });
  std::vector<Condition> conditions;
  status["conditions"].read(conditions);
  const Condition* ready = find_condition(conditions, "Ready");
  node.ready = ready != nullptr && ready->status == "True";
  for (const char* name : kCiliumAnnotations) {
    if (const auto text = node.meta.annotations.find(name)) node.cilium_cidrs.emplace_back(*text);
  }
  if (const auto text = node.meta.annotations.find(kAnnotationTunnelParent)) {
    node.tunnel_parent = *text;
  }
}

void read_pod(const Field& root, Pod& pod) {
  read_head(root, {"Pod"}, pod.meta);
  const Field spec = root["spec"];
  spec["nodeName"].read(pod.node_name);
  spec["hostNetwork"].read(pod.host_network);
  if (runs_control_plane(pod.meta)) read_service_ranges(spec, pod);
  const Field status = root["status"];
  status["phase"].read(pod.phase, kPodPhases);
  status["podIPs"].each([&](const Field& item) { item["ip"].read(pod.ips.emplace_back()); });
}

void read_slice(const Field& root, EndpointSlice& slice) {
  read_head(root, {"EndpointSlice"}, slice.meta);
  std::string type;
  root["addressType"].read(type);
  if (type == "FQDN") return; // names, not addresses
  root["endpoints"].each([&](const Field& item) {
    item["addresses"].each([&](const Field& a) { a.read(slice.addresses.emplace_back()); });
  });
}

void read_lease(const Field& root, Lease& lease) {
  read_head(root, {"Lease"}, lease.meta);
  const Field spec = root["spec"];
  spec["holderIdentity"].read(lease.holder);
  spec["leaseDurationSeconds"].read(lease.duration_seconds);
  spec["acquireTime"].read(lease.acquired);
  spec["renewTime"].read(lease.renewed);
  spec["leaseTransitions"].read(lease.transitions);
}

} // namespace

template <>
Result<Node> decode<Node>(const rapidjson::Value& object) {
  return decode_with<Node>(object, read_node);
}

template <>
Result<Pod> decode<Pod>(const rapidjson::Value& object) {
  return decode_with<Pod>(object, read_pod);
}

template <>
Result<Namespace> decode<Namespace>(const rapidjson::Value& object) {
  return decode_with<Namespace>(object, [](const Field& root, Namespace& ns) {
    // A watch for metadata alone sends objects of the second kind.
    read_head(root, {"Namespace", "PartialObjectMetadata"}, ns.meta);
  });
}

template <>
Result<EndpointSlice> decode<EndpointSlice>(const rapidjson::Value& object) {
  return decode_with<EndpointSlice>(object, read_slice);
}

template <>
Result<Lease> decode<Lease>(const rapidjson::Value& object) {
  return decode_with<Lease>(object, read_lease);
}

std::string encode(const Lease& lease) {
  return encode_object(resource<Lease>(), lease.meta, [&](JsonWriter& w) {
    w.object("spec", [&] {
      w.text("holderIdentity", lease.holder);
      w.number("leaseDurationSeconds", lease.duration_seconds);
      w.micro_time("acquireTime", lease.acquired);
      w.micro_time("renewTime", lease.renewed);
      w.number("leaseTransitions", lease.transitions);
    });
  });
}

std::string encode(const Event& event) {
  return encode_object(resource<Event>(), event.meta, [&](JsonWriter& w) {
    w.object("involvedObject", [&] {
      w.text("apiVersion", event.regarding.api_version);
      w.text("kind", event.regarding.kind);
      w.text("namespace", event.regarding.namespace_);
      w.text("name", event.regarding.name);
      w.text("uid", event.regarding.uid);
    });
    w.text("type", event.type);
    w.text("reason", event.reason);
    w.text("message", event.message);
    w.object("source", [&] { w.text("component", event.component); });
    w.text("reportingComponent", event.component);
    w.number("count", event.count);
    w.time("firstTimestamp", event.first);
    w.time("lastTimestamp", event.last);
  });
}

std::string encode(const Node& node) {
  return encode_object(resource<Node>(), node.meta, [&](JsonWriter& w) {
    w.object("spec", [&] {
      w.list("podCIDRs", node.pod_cidrs, [&](const Prefix& p) { w.item(p.to_string()); });
      w.flag("unschedulable", node.unschedulable);
      w.objects("taints", node.taints, [&](const std::string& key) { w.text("key", key); });
    });
    w.object("status", [&] {
      w.objects("addresses", node.internal_ips, [&](const Address& a) {
        w.text("type", "InternalIP");
        w.text("address", a.to_string());
      });
      const char* ready = node.ready ? "True" : "False";
      w.conditions({{.type = "Ready", .status = ready, .reason = {}, .message = {}}});
    });
  });
}

std::string encode(const Pod& pod) {
  return encode_object(resource<Pod>(), pod.meta, [&](JsonWriter& w) {
    w.object("spec", [&] {
      w.text("nodeName", pod.node_name);
      w.flag("hostNetwork", pod.host_network);
    });
    w.object("status", [&] {
      w.text("phase", word_of(pod.phase, kPodPhases));
      w.objects("podIPs", pod.ips, [&](const Address& a) { w.text("ip", a.to_string()); });
    });
  });
}

std::string encode(const Namespace& ns) {
  return encode_object(resource<Namespace>(), ns.meta, [](JsonWriter&) {});
}

} // namespace egw::api
