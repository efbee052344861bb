// SPDX-License-Identifier: Apache-2.0
#include "api/json.hpp"
#include "api/json_parse.hpp"

// Where the kinds live, and decoding from text.
namespace egw::api {
namespace {

constexpr Resource ours(const char* plural, const char* kind, bool namespaced) {
  return {kGroup, kVersion, plural, kind, namespaced};
}

constexpr Resource kNode{"", "v1", "nodes", "Node", false};
constexpr Resource kPod{"", "v1", "pods", "Pod", true};
constexpr Resource kNamespace{"", "v1", "namespaces", "Namespace", false};
constexpr Resource kEndpointSlice{"discovery.k8s.io", "v1", "endpointslices", "EndpointSlice",
                                  true};
constexpr Resource kLease{"coordination.k8s.io", "v1", "leases", "Lease", true};
constexpr Resource kEvent{"", "v1", "events", "Event", true};
constexpr Resource kSecret{"", "v1", "secrets", "Secret", true};
constexpr Resource kValidating{"admissionregistration.k8s.io", "v1",
                               "validatingwebhookconfigurations", "ValidatingWebhookConfiguration",
                               false};
constexpr Resource kMutating{"admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations",
                             "MutatingWebhookConfiguration", false};
constexpr Resource kGateway = ours("egressgateways", "EgressGateway", false);
constexpr Resource kEgressNode = ours("egressnodes", "EgressNode", false);
constexpr Resource kClusterInfo = ours("egressclusterinfos", "EgressClusterInfo", false);
constexpr Resource kGatewayPolicy = ours("egressgatewaypolicies", "EgressGatewayPolicy", true);
constexpr Resource kPolicy = ours("egresspolicies", "EgressPolicy", true);
constexpr Resource kClusterPolicy = ours("egressclusterpolicies", "EgressClusterPolicy", false);
constexpr Resource kSlice = ours("egressendpointslices", "EgressEndpointSlice", true);
constexpr Resource kClusterSlice =
    ours("egressclusterendpointslices", "EgressClusterEndpointSlice", false);

} // namespace

// clang-format off
template <> const Resource& resource<Node>() { return kNode; }
template <> const Resource& resource<Pod>() { return kPod; }
template <> const Resource& resource<Namespace>() { return kNamespace; }
template <> const Resource& resource<EndpointSlice>() { return kEndpointSlice; }
template <> const Resource& resource<Lease>() { return kLease; }
template <> const Resource& resource<Event>() { return kEvent; }
template <> const Resource& resource<Secret>() { return kSecret; }
template <> const Resource& resource<EgressGateway>() { return kGateway; }
template <> const Resource& resource<EgressNode>() { return kEgressNode; }
template <> const Resource& resource<EgressClusterInfo>() { return kClusterInfo; }
// clang-format on

const Resource& policy_resource(PolicyKind kind) {
  switch (kind) {
    case PolicyKind::EgressGatewayPolicy:
      return kGatewayPolicy;
    case PolicyKind::EgressPolicy:
      return kPolicy;
    case PolicyKind::EgressClusterPolicy:
      break;
  }
  return kClusterPolicy;
}

const Resource& slice_resource(bool cluster) {
  return cluster ? kClusterSlice : kSlice;
}

const Resource& webhook_resource(WebhookKind kind) {
  return kind == WebhookKind::Validating ? kValidating : kMutating;
}

template <class T>
Result<T> decode_text(std::string_view text) {
  rapidjson::Document document;
  if (const auto parsed = parse_json(document, text); !parsed.ok()) return parsed.error();
  return decode<T>(document);
}

template Result<Node> decode_text(std::string_view);
template Result<Pod> decode_text(std::string_view);
template Result<Namespace> decode_text(std::string_view);
template Result<EndpointSlice> decode_text(std::string_view);
template Result<Lease> decode_text(std::string_view);
template Result<Secret> decode_text(std::string_view);
template Result<WebhookConfiguration> decode_text(std::string_view);
template Result<EgressGateway> decode_text(std::string_view);
template Result<EgressPolicy> decode_text(std::string_view);
template Result<EgressNode> decode_text(std::string_view);
template Result<EgressEndpointSlice> decode_text(std::string_view);
template Result<EgressClusterInfo> decode_text(std::string_view);

} // namespace egw::api
