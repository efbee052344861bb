// SPDX-License-Identifier: Apache-2.0
// Objects of Calico, Cilium, Flannel and Kubernetes as their clusters hold them.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "api/json.hpp"
#include "api/json_parse.hpp"

using namespace egw;
using namespace egw::api;

namespace {

using Texts = std::vector<std::string>;

Result<RangeObject> decode(RangeKind kind, std::string_view text) {
  rapidjson::Document document;
  if (const auto parsed = parse_json(document, text); !parsed) return parsed.error();
  return decode_range_object(document, kind);
}

RangeObject read(RangeKind kind, std::string_view text) {
  const auto object = decode(kind, text);
  REQUIRE_MESSAGE(object.ok(), object.error().message);
  CHECK(object->kind == kind);
  return *object;
}

std::string config_map(const std::string& data) {
  return R"({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c",
    "namespace": "kube-flannel"}, "data": )" +
         data + "}";
}

// `net` as the value of net-conf.json.
std::string flannel(const std::string& net) {
  std::string escaped;
  for (const char c : net) {
    if (c == '"') escaped += '\\';
    escaped += c == '\n' ? "\\n" : std::string(1, c);
  }
  return config_map(R"({"cni-conf.json": "{}", "net-conf.json": ")" + escaped + "\"}");
}

} // namespace

TEST_CASE("IPPool of Calico") {
  const auto pool = read(RangeKind::IpPool, R"json({
    "apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool",
    "metadata": {"annotations": {"projectcalico.org/metadata":
        "{\"generation\":1,\"creationTimestamp\":\"2025-11-03T09:12:44Z\"}"},
      "creationTimestamp": "2025-11-03T09:12:44Z", "generation": 1,
      "labels": {"app.kubernetes.io/managed-by": "tigera-operator"},
      "name": "default-ipv4-ippool", "resourceVersion": "1187",
      "uid": "2a6e5f36-94c3-4d0c-8b11-2f8d5ac8e9a1"},
    "spec": {"allowedUses": ["Workload", "Tunnel"], "assignmentMode": "Automatic",
      "blockSize": 26, "cidr": "192.168.0.0/16", "ipipMode": "Never", "natOutgoing": true,
      "nodeSelector": "all()", "vxlanMode": "CrossSubnet"}})json");
  CHECK(pool.meta.name == "default-ipv4-ippool");
  CHECK(pool.meta.resource_version == "1187");
  CHECK(pool.meta.labels.empty()); // nobody asks for the rest
  CHECK(pool.meta.annotations.empty());
  CHECK(pool.cidrs == Texts{"192.168.0.0/16"});
  CHECK_FALSE(pool.disabled);

  const auto disabled =
      read(RangeKind::IpPool, R"({"metadata": {"name": "old"}, "spec": {"blockSize": 122,
        "cidr": "fd00:10:244::/64", "disabled": true}})");
  CHECK(disabled.cidrs == Texts{"fd00:10:244::/64"});
  CHECK(disabled.disabled);
  // Its text is judged later; another type can't be.
  CHECK(read(RangeKind::IpPool, R"({"metadata": {"name": "p"}, "spec": {"cidr": "x"}})").cidrs ==
        Texts{"x"});
  CHECK(decode(RangeKind::IpPool, R"({"metadata": {"name": "p"}, "spec": {"cidr": 7}})")
            .error()
            .message == "spec.cidr: 7 is not a string");
}

TEST_CASE("CiliumNode: ranges of the cluster pool and of several pools") {
  const auto node = read(RangeKind::CiliumNode, R"({
    "apiVersion": "cilium.io/v2", "kind": "CiliumNode",
    "metadata": {"generation": 2, "name": "kind-worker", "resourceVersion": "913",
      "labels": {"kubernetes.io/os": "linux"},
      "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "kind-worker",
        "uid": "7f3d3a4e-0f0c-4c43-8a46-8a7e8b1f0a55"}],
      "uid": "f2b5a3a2-57a9-4a34-a1ff-3d1f6a0e2a10"},
    "spec": {"addresses": [{"ip": "172.18.0.3", "type": "InternalIP"},
        {"ip": "10.244.1.142", "type": "CiliumInternalIP"}],
      "alibaba-cloud": {}, "azure": {}, "encryption": {}, "eni": {},
      "health": {"ipv4": "10.244.1.97"}, "ingress": {},
      "ipam": {"podCIDRs": ["10.244.1.0/24", "fd00:10:244:1::/64"],
        "pools": {}}},
    "status": {"alibaba-cloud": {}, "azure": {}, "eni": {}, "ipam": {"operator-status": {}}}})");
  CHECK(node.meta.name == "kind-worker");
  CHECK(node.meta.owners.empty());
  CHECK(node.cidrs == Texts{"10.244.1.0/24", "fd00:10:244:1::/64"});

  const auto pools = read(RangeKind::CiliumNode, R"({"kind": "CiliumNode",
    "metadata": {"name": "kind-worker2"}, "spec": {"ipam": {"pools": {"allocated": [
        {"cidrs": ["10.10.0.0/27", "10.10.0.32/27"], "pool": "default"},
        {"cidrs": ["10.20.0.0/27"], "pool": "mars"}],
      "requested": [{"needed": {"ipv4-addrs": 16}, "pool": "default"}]}}}})");
  CHECK(pools.cidrs == Texts{"10.10.0.0/27", "10.10.0.32/27", "10.20.0.0/27"});
  CHECK(read(RangeKind::CiliumNode, R"({"metadata": {"name": "n"}, "spec": {"ipam": {}}})")
            .cidrs.empty());
}

TEST_CASE("Cilium's ConfigMap: the pool of mode cluster-pool alone") {
  CHECK(read(RangeKind::CiliumConfig,
             config_map(R"({"ipam": "cluster-pool", "ipam-cilium-node-update-rate": "15s",
               "cluster-pool-ipv4-cidr": "10.0.0.0/9 10.200.0.0/16",
               "cluster-pool-ipv4-mask-size": "24",
               "cluster-pool-ipv6-cidr": "fd00::/104", "routing-mode": "tunnel"})"))
            .cidrs == Texts{"10.0.0.0/9", "10.200.0.0/16", "fd00::/104"});
  CHECK(read(RangeKind::CiliumConfig,
             config_map(R"({"cluster-pool-ipv4-cidr": "10.0.0.0/9,10.200.0.0/16"})"))
            .cidrs == Texts{"10.0.0.0/9", "10.200.0.0/16"});
  CHECK(read(RangeKind::CiliumConfig,
             config_map(R"({"ipam": "kubernetes", "cluster-pool-ipv4-cidr": "10.0.0.0/8"})"))
            .cidrs.empty());
}

TEST_CASE("Flannel's net-conf.json") {
  const auto v4 = read(RangeKind::FlannelConfig, flannel(R"({
      "Network": "10.244.0.0/16",
      "EnableNFTables": false,
      "Backend": { "Type": "vxlan" }
    }
)"));
  CHECK(v4.cidrs == Texts{"10.244.0.0/16"});
  CHECK(v4.problem.empty());
  CHECK(read(RangeKind::FlannelConfig, flannel(R"({"Network": "10.244.0.0/16", "EnableIPv6": true,
                         "IPv6Network": "2001:cafe:42::/56", "Backend": {"Type": "vxlan"}})"))
            .cidrs == Texts{"10.244.0.0/16", "2001:cafe:42::/56"});
  CHECK(read(RangeKind::FlannelConfig,
             flannel(R"({"EnableIPv4": false, "EnableIPv6": true, "Network": "10.244.0.0/16",
                         "IPv6Network": "2001:cafe:42::/56"})"))
            .cidrs == Texts{"2001:cafe:42::/56"});
  // Not switched on, so Flannel does not use it.
  CHECK(read(RangeKind::FlannelConfig,
             flannel(R"({"Network": "10.244.0.0/16", "IPv6Network": "2001:cafe:42::/56"})"))
            .cidrs == Texts{"10.244.0.0/16"});
}

TEST_CASE("Flannel's net-conf.json that is wrong is said, and does not fail the object") {
  const auto broken = read(RangeKind::FlannelConfig, flannel("{ Network: 10.244.0.0/16 }"));
  CHECK(broken.cidrs.empty());
  CHECK(broken.problem.starts_with("data[\"net-conf.json\"]: not JSON:"));
  CHECK(read(RangeKind::FlannelConfig, flannel(R"({"Network": 10})")).problem ==
        "data[\"net-conf.json\"]: Network: 10 is not a string");
  CHECK(read(RangeKind::FlannelConfig, flannel(R"({"EnableIPv6": "yes"})")).problem ==
        "data[\"net-conf.json\"]: EnableIPv6: \"yes\" is not true or false");
  CHECK_FALSE(read(RangeKind::FlannelConfig, config_map("{}")).problem.empty());
}

TEST_CASE("ServiceCIDR, of v1 and of v1beta1") {
  for (const char* version : {"v1", "v1beta1"}) {
    const auto range = read(RangeKind::ServiceCidr, R"({
      "apiVersion": "networking.k8s.io/)" + std::string(version) +
                                                        R"(", "kind": "ServiceCIDR",
      "metadata": {"creationTimestamp": "2026-11-28T03:31:26Z",
        "finalizers": ["networking.k8s.io/service-cidr-finalizer"], "name": "kubernetes",
        "resourceVersion": "48", "uid": "bb695bd5-41e1-4957-97fd-09bdf0e8332f"},
      "spec": {"cidrs": ["10.96.0.0/16", "fd00:96::/112"]},
      "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "",
        "lastTransitionTime": "2026-11-28T03:31:26Z",
        "message": "Kubernetes default Service CIDR is ready"}]}})");
    CHECK(range.meta.name == "kubernetes");
    CHECK(range.cidrs == Texts{"10.96.0.0/16", "fd00:96::/112"});
  }
  CHECK(std::string(range_resource(RangeKind::ServiceCidr).version) == "v1");
  CHECK(std::string(older_range_resource(RangeKind::ServiceCidr)->version) == "v1beta1");
  CHECK(older_range_resource(RangeKind::IpPool) == nullptr);
  CHECK(range_resource(RangeKind::FlannelConfig).namespaced);
}

TEST_CASE("an object of another kind is refused") {
  CHECK(decode(RangeKind::ServiceCidr, R"({"kind": "IPPool", "metadata": {"name": "p"}})")
            .error()
            .message == "kind: \"IPPool\" is not ServiceCIDR");
}

TEST_CASE("the flag for services, in every form of a command line") {
  const Texts both = {"10.96.0.0/16", "fd00:96::/112"};
  CHECK(service_ranges_of({"kube-apiserver", "--advertise-address=10.6.0.11",
                           "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112"}) == both);
  CHECK(service_ranges_of({"--service-cluster-ip-range", "10.96.0.0/16,fd00:96::/112", "--v=2"}) ==
        both);
  CHECK(service_ranges_of({"/bin/sh", "-c",
                           "exec /usr/local/bin/kube-apiserver --v=2 "
                           "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112 "
                           "1>>/var/log/kube-apiserver.log 2>&1"}) == both);
  CHECK(service_ranges_of({"sh", "-c", "x --service-cluster-ip-range '10.96.0.0/16'"}) ==
        Texts{"10.96.0.0/16"});
  CHECK(service_ranges_of({"--service-cluster-ip-range"}).empty());
  CHECK(service_ranges_of({"--service-cluster-ip-ranges=10.96.0.0/16"}).empty());
  CHECK(service_ranges_of({"--cluster-cidr=10.244.0.0/16"}).empty());
}

TEST_CASE("Pod: the flag is read from the control plane's own alone") {
  const auto pod = [](const char* ns, const char* labels) {
    return decode_text<Pod>(fmt::format(
        R"({{"kind": "Pod", "metadata": {{"name": "kube-apiserver-n1", "namespace": "{}",
            "labels": {}}},
          "spec": {{"nodeName": "n1", "hostNetwork": true, "containers": [
            {{"name": "kube-apiserver", "image": "registry.k8s.io/kube-apiserver:v1.30.2",
              "command": ["kube-apiserver", "--secure-port=6443",
                "--service-cluster-ip-range=10.96.0.0/12"], "args": null}},
            {{"name": "sidecar", "args": ["--service-cluster-ip-range", "fd00:96::/108"]}}]}},
          "status": {{"phase": "Running"}}}})",
        ns, labels));
  };
  const auto apiserver =
      pod("kube-system", R"({"component": "kube-apiserver", "tier": "control-plane"})");
  REQUIRE(apiserver.ok());
  REQUIRE(apiserver->service_cidrs);
  CHECK(*apiserver->service_cidrs == Texts{"10.96.0.0/12", "fd00:96::/108"});
  CHECK(pod("kube-system", R"({"k8s-app": "kube-controller-manager"})")->service_cidrs);
  CHECK_FALSE(pod("kube-system", R"({"component": "etcd"})")->service_cidrs);
  CHECK_FALSE(pod("default", R"({"component": "kube-apiserver"})")->service_cidrs);
  // A hundred thousand other Pods pay one pointer.
  static_assert(sizeof(Pod::service_cidrs) == sizeof(void*));
}

TEST_CASE("Node: Cilium's annotations, of present and older releases") {
  const auto node = decode_text<Node>(R"({"kind": "Node", "metadata": {"name": "n1",
      "annotations": {"network.cilium.io/ipv4-pod-cidr": "10.244.1.0/24",
        "network.cilium.io/ipv6-pod-cidr": "fd00:10:244:1::/64",
        "network.cilium.io/ipv4-cilium-host": "10.244.1.142",
        "node.alpha.kubernetes.io/ttl": "0"}}})");
  REQUIRE(node.ok());
  CHECK(node->cilium_cidrs == Texts{"10.244.1.0/24", "fd00:10:244:1::/64"});
  const auto old = decode_text<Node>(R"({"metadata": {"name": "n1", "annotations":
      {"io.cilium.network.ipv4-pod-cidr": "10.245.2.0/24"}}})");
  REQUIRE(old.ok());
  CHECK(old->cilium_cidrs == Texts{"10.245.2.0/24"});
}
