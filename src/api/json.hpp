// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "api/core.hpp"
#include "api/egress.hpp"
#include "api/ranges.hpp"
#include "api/rapidjson.hpp"
#include "base/error.hpp"

// Objects from and to JSON, only the fields used. Decoding is strict where a wrong type would
// change the meaning (the error names the field path and what stands there) and lenient towards
// unknown fields. Unparseable addresses in core objects are an error of that object. Encoding
// leaves empty fields out, is deterministic, and writes apiVersion and kind.
namespace egw::api {

// Where a kind lives in the API (Kubernetes "REST resources").
struct Resource {
  const char* group; // "" for core
  const char* version;
  const char* plural;
  const char* kind;
  bool namespaced;
};

// `resource(...)` of policies, slices and ranges depends on the kind, so it takes what tells it.
[[nodiscard]] const Resource& policy_resource(PolicyKind kind);
[[nodiscard]] const Resource& slice_resource(bool cluster);
[[nodiscard]] const Resource& webhook_resource(WebhookKind kind);
[[nodiscard]] const Resource& range_resource(RangeKind kind);
// The same kind under the version that came before; nullptr: there is none worth asking for.
[[nodiscard]] const Resource* older_range_resource(RangeKind kind);
template <class T>
[[nodiscard]] const Resource& resource(); // all other kinds
template <>
const Resource& resource<Node>();
template <>
const Resource& resource<Pod>();
template <>
const Resource& resource<Namespace>();
template <>
const Resource& resource<EndpointSlice>();
template <>
const Resource& resource<Lease>();
template <>
const Resource& resource<Event>();
template <>
const Resource& resource<Secret>();
template <>
const Resource& resource<EgressGateway>();
template <>
const Resource& resource<EgressNode>();
template <>
const Resource& resource<EgressClusterInfo>();

template <class T>
[[nodiscard]] Result<T> decode(const rapidjson::Value& object);
template <>
Result<Node> decode<Node>(const rapidjson::Value&);
template <>
Result<Pod> decode<Pod>(const rapidjson::Value&);
template <>
Result<Namespace> decode<Namespace>(const rapidjson::Value&);
template <>
Result<EndpointSlice> decode<EndpointSlice>(const rapidjson::Value&);
template <>
Result<Lease> decode<Lease>(const rapidjson::Value&);
template <>
Result<Secret> decode<Secret>(const rapidjson::Value&);
template <>
Result<WebhookConfiguration> decode<WebhookConfiguration>(const rapidjson::Value&); // either kind
template <>
Result<EgressGateway> decode<EgressGateway>(const rapidjson::Value&);
template <>
Result<EgressPolicy> decode<EgressPolicy>(const rapidjson::Value&); // kind from "kind"
template <>
Result<EgressNode> decode<EgressNode>(const rapidjson::Value&);
template <>
Result<EgressEndpointSlice> decode<EgressEndpointSlice>(const rapidjson::Value&);
template <>
Result<EgressClusterInfo> decode<EgressClusterInfo>(const rapidjson::Value&);

// For items of a list, which may come without "kind"; one that is there must be `kind`.
[[nodiscard]] Result<EgressPolicy> decode_policy(const rapidjson::Value& object, PolicyKind kind);

// Lenient where people write the text (net-conf.json): the object says what is wrong with it.
[[nodiscard]] Result<RangeObject> decode_range_object(const rapidjson::Value& object,
                                                      RangeKind kind);

// Parses text first (iterative parser, bounded depth). For tests, files and single objects.
template <class T>
[[nodiscard]] Result<T> decode_text(std::string_view text);

// Whole objects (meta as far as a client may write it, spec and status).
[[nodiscard]] std::string encode(const Lease&);
[[nodiscard]] std::string encode(const Event&);
[[nodiscard]] std::string encode(const Secret&);
[[nodiscard]] std::string encode(const EgressGateway&);
[[nodiscard]] std::string encode(const EgressPolicy&);
[[nodiscard]] std::string encode(const EgressNode&);
[[nodiscard]] std::string encode(const EgressEndpointSlice&);
[[nodiscard]] std::string encode(const EgressClusterInfo&);
// Not written by us in production, for ctl and tests.
[[nodiscard]] std::string encode(const Node&);
[[nodiscard]] std::string encode(const Pod&);
[[nodiscard]] std::string encode(const Namespace&);

// Bodies of server-side apply for EgressNode's status: each field manager's part and nothing else.
// Controller ("egw-controller"): tunnel addresses, MAC, phase, its conditions. Agent ("egw-agent"):
// parent, agent, its conditions.
[[nodiscard]] std::string encode_controller_part(const EgressNode&);
[[nodiscard]] std::string encode_agent_part(const EgressNode&);

} // namespace egw::api
