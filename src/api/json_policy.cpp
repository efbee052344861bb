// SPDX-License-Identifier: Apache-2.0
#include "api/json.hpp"
#include "api/json_read.hpp"
#include "api/json_write.hpp"

// The three policy kinds and the endpoint slices that are made from them.
namespace egw::api {
namespace {

constexpr std::array<std::pair<const char*, AllocatorPolicy>, 2> kAllocators{
    {{"default", AllocatorPolicy::Default}, {"rr", AllocatorPolicy::RoundRobin}}};

void read_spec(const Field& from, PolicySpec& to) {
  from["egressGatewayName"].read(to.gateway);
  const Field eip = from["egressIP"];
  eip["ipv4"].read(to.eip_ipv4);
  eip["ipv6"].read(to.eip_ipv6);
  eip["useNodeIP"].read(to.use_node_ip);
  eip["allocatorPolicy"].read(to.allocator, kAllocators);
  const Field applied = from["appliedTo"];
  applied["podSelector"].read(to.pod_selector);
  applied["podSubnet"].read(to.pod_subnet);
  applied["namespaceSelector"].read(to.namespace_selector);
  from["destSubnet"].read(to.dest_subnet);
  from["excludedSubnet"].read(to.excluded_subnet);
  from["priority"].read(to.priority);
}

void read_status(const Field& from, PolicyStatus& to) {
  const Field eip = from["eip"];
  eip["id"].read(to.eip_id);
  eip["ipv4"].read(to.eip_ipv4);
  eip["ipv6"].read(to.eip_ipv6);
  from["node"].read(to.node);
  from["conditions"].read(to.conditions);
}

void read_parts(const Field& root, EgressPolicy& policy) {
  read_head(root, {to_string(policy.kind)}, policy.meta);
  read_spec(root["spec"], policy.spec);
  read_status(root["status"], policy.status);
}

void write_spec(JsonWriter& w, const PolicySpec& spec) {
  w.text("egressGatewayName", spec.gateway);
  w.object("egressIP", [&] {
    w.text("ipv4", spec.eip_ipv4);
    w.text("ipv6", spec.eip_ipv6);
    w.flag("useNodeIP", spec.use_node_ip);
    if (spec.allocator == AllocatorPolicy::RoundRobin) w.text("allocatorPolicy", "rr");
  });
  w.always_object("appliedTo", [&] {
    if (spec.pod_selector) w.selector("podSelector", *spec.pod_selector);
    w.texts("podSubnet", spec.pod_subnet);
    if (spec.namespace_selector) w.selector("namespaceSelector", *spec.namespace_selector);
  });
  w.texts("destSubnet", spec.dest_subnet);
  w.texts("excludedSubnet", spec.excluded_subnet);
  if (spec.priority) w.always_number("priority", *spec.priority);
}

void write_status(JsonWriter& w, const PolicyStatus& status) {
  w.object("eip", [&] {
    w.number("id", status.eip_id);
    w.text("ipv4", status.eip_ipv4);
    w.text("ipv6", status.eip_ipv6);
  });
  w.text("node", status.node);
  w.conditions(status.conditions);
}

void read_slice(const Field& root, EgressEndpointSlice& slice) {
  read_head(root, {"EgressEndpointSlice", "EgressClusterEndpointSlice"}, slice.meta);
  root["endpoints"].read(slice.endpoints, [](const Field& item, Endpoint& endpoint) {
    item["namespace"].read(endpoint.namespace_);
    item["pod"].read(endpoint.pod);
    item["node"].read(endpoint.node);
    item["ipv4"].read(endpoint.ipv4);
    item["ipv6"].read(endpoint.ipv6);
  });
}

} // namespace

Result<EgressPolicy> decode_policy(const rapidjson::Value& object, PolicyKind kind) {
  return decode_with<EgressPolicy>(object, [kind](const Field& root, EgressPolicy& policy) {
    policy.kind = kind;
    read_parts(root, policy);
  });
}

template <>
Result<EgressPolicy> decode<EgressPolicy>(const rapidjson::Value& object) {
  return decode_with<EgressPolicy>(object, [](const Field& root, EgressPolicy& policy) {
    const Field kind = root["kind"];
    std::string text;
    kind.read(text);
    if (const auto parsed = parse_policy_kind(text)) {
      policy.kind = *parsed;
      read_parts(root, policy);
    } else {
      kind.fail("is none of \"EgressGatewayPolicy\", \"EgressPolicy\", \"EgressClusterPolicy\"");
    }
  });
}

std::string encode(const EgressPolicy& policy) {
  return encode_object(policy_resource(policy.kind), policy.meta, [&](JsonWriter& w) {
    w.object("spec", [&] { write_spec(w, policy.spec); });
    w.object("status", [&] { write_status(w, policy.status); });
  });
}

template <>
Result<EgressEndpointSlice> decode<EgressEndpointSlice>(const rapidjson::Value& object) {
  return decode_with<EgressEndpointSlice>(object, read_slice);
}

std::string encode(const EgressEndpointSlice& slice) {
  const bool cluster = slice.meta.namespace_.empty();
  return encode_object(slice_resource(cluster), slice.meta, [&](JsonWriter& w) {
    w.objects("endpoints", slice.endpoints, [&](const Endpoint& endpoint) {
      w.text("namespace", endpoint.namespace_);
      w.text("pod", endpoint.pod);
      w.text("node", endpoint.node);
      w.texts("ipv4", endpoint.ipv4);
      w.texts("ipv6", endpoint.ipv6);
    });
  });
}

} // namespace egw::api
