// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "api/json.hpp"

using namespace egw;
using namespace egw::api;

namespace {

Address ip(const char* text) {
  return Address::parse(text).value();
}
Prefix cidr(const char* text) {
  return Prefix::parse(text).value();
}

template <class T>
std::string error_of(std::string_view text) {
  const auto result = decode_text<T>(text);
  return result.ok() ? "" : result.error().message;
}

} // namespace

TEST_CASE("Node: addresses of the node itself, pod ranges of both families, readiness") {
  const auto node = decode_text<Node>(R"({
    "apiVersion": "v1", "kind": "Node",
    "metadata": {"name": "node1", "uid": "u1", "resourceVersion": "42", "generation": 3,
      "creationTimestamp": "2026-01-02T03:04:05Z", "labels": {"egress": "true"},
      "managedFields": [{"manager": "kubelet"}]},
    "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd00:10:244:1::/64"],
      "unschedulable": true, "taints": [{"key": "x", "effect": "NoSchedule"}]},
    "status": {"addresses": [{"type": "InternalIP", "address": "10.6.1.21"},
        {"type": "Hostname", "address": "node1"}, {"type": "ExternalIP", "address": "1.2.3.4"},
        {"type": "InternalIP", "address": "fd00::21"}],
      "conditions": [{"type": "MemoryPressure", "status": "False"},
        {"type": "Ready", "status": "True",
        "lastHeartbeatTime": "2026-01-02T03:04:05Z"}]}})");
  REQUIRE(node.ok());
  CHECK(node->meta.name == "node1");
  CHECK(node->meta.resource_version == "42");
  CHECK(node->meta.generation == 3);
  CHECK(rfc3339(node->meta.created) == "2026-01-02T03:04:05Z");
  CHECK(*node->meta.labels.find("egress") == "true");
  CHECK(node->internal_ips == std::vector{ip("10.6.1.21"), ip("fd00::21")});
  CHECK(node->pod_cidrs == std::vector{cidr("10.244.1.0/24"), cidr("fd00:10:244:1::/64")});
  CHECK(node->unschedulable);
  CHECK(node->ready);
}

TEST_CASE("Node: podCIDR alone, and Ready that is Unknown") {
  const auto node =
      decode_text<Node>(R"({"metadata": {"name": "n"}, "spec": {"podCIDR": "10.0.0.0/24"},
    "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})");
  REQUIRE(node.ok());
  CHECK(node->pod_cidrs == std::vector{cidr("10.0.0.0/24")});
  CHECK_FALSE(node->ready);
}

TEST_CASE("Pod: where it runs and its addresses") {
  const auto pod = decode_text<Pod>(R"({"kind": "Pod",
    "metadata": {"name": "a", "namespace": "default", "deletionTimestamp": "2026-01-02T03:04:05Z",
      "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u",
        "controller": true, "blockOwnerDeletion": true}]},
    "spec": {"nodeName": "node1", "hostNetwork": true, "containers": [{"name": "c"}]},
    "status": {"phase": "Succeeded", "podIP": "10.0.0.7",
      "podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::7"}]}})");
  REQUIRE(pod.ok());
  CHECK(pod->meta.deleting);
  REQUIRE(pod->meta.owners.size() == 1);
  CHECK(pod->meta.owners[0].controller);
  CHECK(pod->node_name == "node1");
  CHECK(pod->host_network);
  CHECK(pod->ended());
  CHECK(pod->ips == std::vector{ip("10.0.0.7"), ip("fd00::7")});

  const auto new_pod =
      decode_text<Pod>(R"({"metadata": {"name": "a"}, "spec": {}, "status": null})");
  REQUIRE(new_pod.ok());
  CHECK(new_pod->phase == PodPhase::Pending);
  CHECK_FALSE(new_pod->ended());
}

TEST_CASE("errors name the path, the value and what was expected") {
  CHECK(error_of<Pod>(
            R"({"metadata": {"name": "a"},
                "status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "x"}]}})") ==
        "status.podIPs[1].ip: \"x\" is not an IPv4 or IPv6 address");
  CHECK(error_of<Pod>(R"({"metadata": {"name": "a"}, "status": {"podIPs": [{}]}})") ==
        "status.podIPs[0].ip is missing");
  CHECK(error_of<Pod>(R"({"metadata": {"name": "a"}, "status": {"podIPs": [null]}})") ==
        "status.podIPs[0] is missing");
  CHECK(error_of<Pod>(R"({"metadata": {"name": "a"}, "status": {"podIPs": {}}})") ==
        "status.podIPs: an object is not a list");
  CHECK(error_of<Pod>(R"({"metadata": {"name": 7}})") == "metadata.name: 7 is not a string");
  CHECK(error_of<Pod>(R"({"metadata": {"name": "a", "labels": {"x.y/z": true}}})") ==
        "metadata.labels[\"x.y/z\"]: true is not a string");
  CHECK(error_of<Pod>(R"({"metadata": {"name": "a", "creationTimestamp": "today"}})") ==
        "metadata.creationTimestamp: \"today\" is not a time as in RFC 3339");
  CHECK(error_of<Pod>(R"({"metadata": {"name": "a"}, "spec": {"hostNetwork": "yes"}})") ==
        "spec.hostNetwork: \"yes\" is not true or false");
  CHECK(error_of<Pod>(R"({"metadata": {"name": "a"}, "status": {"phase": "Lost"}})")
            .starts_with("status.phase: \"Lost\" is none of \"Pending\", \"Running\""));
  CHECK(error_of<Node>(R"({"metadata": {"name": "a"}, "spec": {"podCIDRs": ["10.0.0.0/99"]}})") ==
        "spec.podCIDRs[0]: \"10.0.0.0/99\" is not an IPv4 or IPv6 CIDR");
  CHECK(error_of<Node>(R"({"metadata": {"name": "a", "generation": 9223372036854775808}})") ==
        "metadata.generation: 9223372036854775808 is not an integer of 64 bits");
  const std::string long_name(500, 'x');
  CHECK(
      error_of<Node>(R"({"metadata": {"name": "a", "generation": ")" + long_name + "\"}}").size() <
      150);
}

TEST_CASE("an object of another kind is refused, so that a Status is not taken for a Lease") {
  CHECK(error_of<Lease>(R"({"kind": "Status", "metadata": {"name": "a"}})") ==
        "kind: \"Status\" is not Lease");
}

TEST_CASE("Namespace: also as metadata alone") {
  CHECK(decode_text<Namespace>(R"({"kind": "Namespace", "metadata": {"name": "a"}})").ok());
  const auto ns =
      decode_text<Namespace>(R"({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
    "metadata": {"name": "a", "annotations": {"spidernet.io/egressgateway-default": "eg1"}}})");
  REQUIRE(ns.ok());
  CHECK(*ns->meta.annotations.find(kLabelNamespaceDefault) == "eg1");
}

TEST_CASE("EndpointSlice: the addresses of all endpoints, and no names") {
  const auto slice =
      decode_text<EndpointSlice>(R"({"kind": "EndpointSlice", "metadata": {"name": "kubernetes"},
    "addressType": "IPv4",
    "endpoints": [{"addresses": ["172.18.0.2"], "conditions": {"ready": true}},
      {"addresses": ["172.18.0.3"]}], "ports": [{"name": "https", "port": 6443}]})");
  REQUIRE(slice.ok());
  CHECK(slice->addresses == std::vector{ip("172.18.0.2"), ip("172.18.0.3")});
  const auto names =
      decode_text<EndpointSlice>(R"({"metadata": {"name": "x"}, "addressType": "FQDN",
    "endpoints": [{"addresses": ["example.org"]}]})");
  REQUIRE(names.ok());
  CHECK(names->addresses.empty());
}

TEST_CASE("Lease: MicroTime both ways") {
  const std::string text =
      R"({"apiVersion":"coordination.k8s.io/v1","kind":"Lease",)"
      R"("metadata":{"name":"egw","namespace":"egw-system",)"
      R"("resourceVersion":"7"},"spec":{"holderIdentity":"a","leaseDurationSeconds":15,)"
      R"("acquireTime":"2026-01-02T03:04:05.000001Z","renewTime":"2026-01-02T03:04:06.123456Z",)"
      R"("leaseTransitions":2}})";
  const auto lease = decode_text<Lease>(text);
  REQUIRE(lease.ok());
  CHECK(lease->holder == "a");
  CHECK(lease->transitions == 2);
  CHECK(encode(*lease) == text);
}

TEST_CASE("Event: core/v1, with the object that it is about") {
  Event event;
  event.meta.name = "eg1.123";
  event.meta.namespace_ = "default";
  event.regarding = {kApiVersion, "EgressGateway", "eg1", "", "u1"};
  event.type = "Warning";
  event.reason = "NoReadyNode";
  event.message = "no node is ready";
  event.component = "egw-controller";
  event.count = 3;
  event.first = parse_rfc3339("2026-01-02T03:04:05Z");
  event.last = parse_rfc3339("2026-01-02T03:05:05Z");
  CHECK(
      encode(event) ==
      R"({"apiVersion":"v1","kind":"Event","metadata":{"name":"eg1.123","namespace":"default"},)"
      R"("involvedObject":{"apiVersion":"egressgateway.spidernet.io/v1beta1",)"
      R"("kind":"EgressGateway",)"
      R"("name":"eg1","uid":"u1"},"type":"Warning","reason":"NoReadyNode",)"
      R"("message":"no node is ready",)"
      R"("source":{"component":"egw-controller"},"reportingComponent":"egw-controller","count":3,)"
      R"("firstTimestamp":"2026-01-02T03:04:05Z","lastTimestamp":"2026-01-02T03:05:05Z"})");
}

TEST_CASE("resources") {
  CHECK(std::string(resource<Node>().plural) == "nodes");
  CHECK(std::string(resource<Lease>().group) == "coordination.k8s.io");
  CHECK(std::string(policy_resource(PolicyKind::EgressGatewayPolicy).plural) ==
        "egressgatewaypolicies");
  CHECK(policy_resource(PolicyKind::EgressPolicy).namespaced);
  CHECK_FALSE(policy_resource(PolicyKind::EgressClusterPolicy).namespaced);
  CHECK(std::string(slice_resource(true).kind) == "EgressClusterEndpointSlice");
  CHECK(std::string(slice_resource(false).kind) == "EgressEndpointSlice");
}
