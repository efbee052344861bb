// SPDX-License-Identifier: Apache-2.0
#include "egress/controller_io.hpp"

#include <type_traits>

namespace egw::egress {

const char* to_string(Kind kind) {
  switch (kind) {
    case Kind::Node:
      return "Node";
    case Kind::Pod:
      return "Pod";
    case Kind::Namespace:
      return "Namespace";
    case Kind::EndpointSlice:
      return "EndpointSlice";
    case Kind::Gateway:
      return "EgressGateway";
    case Kind::GatewayPolicy:
      return "EgressGatewayPolicy";
    case Kind::Policy:
      return "EgressPolicy";
    case Kind::ClusterPolicy:
      return "EgressClusterPolicy";
    case Kind::EgressNode:
      return "EgressNode";
    case Kind::Slice:
      return "EgressEndpointSlice";
    case Kind::ClusterSlice:
      return "EgressClusterEndpointSlice";
    case Kind::ClusterInfo:
      return "EgressClusterInfo";
    case Kind::IpPool:
      return "IPPool";
    case Kind::CiliumNode:
      return "CiliumNode";
    case Kind::CiliumConfig:
      return "ConfigMap cilium-config";
    case Kind::FlannelConfig:
      return "ConfigMap kube-flannel-cfg";
    case Kind::ServiceCidr:
      return "ServiceCIDR";
  }
  return "";
}

Kind kind_of(api::RangeKind kind) {
  switch (kind) {
    case api::RangeKind::IpPool:
      return Kind::IpPool;
    case api::RangeKind::CiliumNode:
      return Kind::CiliumNode;
    case api::RangeKind::CiliumConfig:
      return Kind::CiliumConfig;
    case api::RangeKind::FlannelConfig:
      return Kind::FlannelConfig;
    case api::RangeKind::ServiceCidr:
      break;
  }
  return Kind::ServiceCidr;
}

std::optional<api::RangeKind> range_kind(Kind kind) {
  for (const api::RangeKind of : api::kRangeKinds) {
    if (kind_of(of) == kind) return of;
  }
  return std::nullopt;
}

const char* to_string(WriteVerb verb) {
  switch (verb) {
    case WriteVerb::Create:
      return "create";
    case WriteVerb::Update:
      return "update";
    case WriteVerb::UpdateStatus:
      return "update_status";
    case WriteVerb::FillGateway:
      return "fill_gateway";
    case WriteVerb::ApplyStatus:
      return "apply_status";
    case WriteVerb::Remove:
      return "remove";
    case WriteVerb::RemoveTaint:
      return "remove_taint";
  }
  return "";
}

Kind kind_of(api::PolicyKind kind) {
  switch (kind) {
    case api::PolicyKind::EgressGatewayPolicy:
      return Kind::GatewayPolicy;
    case api::PolicyKind::EgressPolicy:
      return Kind::Policy;
    case api::PolicyKind::EgressClusterPolicy:
      return Kind::ClusterPolicy;
  }
  return Kind::Policy;
}

std::optional<api::PolicyKind> policy_kind(Kind kind) {
  switch (kind) {
    case Kind::GatewayPolicy:
      return api::PolicyKind::EgressGatewayPolicy;
    case Kind::Policy:
      return api::PolicyKind::EgressPolicy;
    case Kind::ClusterPolicy:
      return api::PolicyKind::EgressClusterPolicy;
    default:
      return std::nullopt;
  }
}

ObjectKey key_of(const api::PolicyKey& key) {
  return {kind_of(key.kind), key.namespace_, key.name};
}

namespace {

template <class T>
Kind kind_of_object(const T& object) {
  if constexpr (std::is_same_v<T, api::Node>) return Kind::Node;
  if constexpr (std::is_same_v<T, api::Pod>) return Kind::Pod;
  if constexpr (std::is_same_v<T, api::Namespace>) return Kind::Namespace;
  if constexpr (std::is_same_v<T, api::EndpointSlice>) return Kind::EndpointSlice;
  if constexpr (std::is_same_v<T, api::EgressGateway>) return Kind::Gateway;
  if constexpr (std::is_same_v<T, api::EgressPolicy>) return kind_of(object.kind);
  if constexpr (std::is_same_v<T, api::EgressNode>) return Kind::EgressNode;
  if constexpr (std::is_same_v<T, api::EgressEndpointSlice>) {
    return object.meta.namespace_.empty() ? Kind::ClusterSlice : Kind::Slice;
  }
  if constexpr (std::is_same_v<T, api::RangeObject>) return kind_of(object.kind);
  return Kind::ClusterInfo;
}

} // namespace

ObjectKey key_of(const Object& object) {
  return std::visit(
      [](const auto& o) { return ObjectKey{kind_of_object(o), o.meta.namespace_, o.meta.name}; },
      object);
}

const api::ObjectMeta& meta_of(const Object& object) {
  return std::visit([](const auto& o) -> const api::ObjectMeta& { return o.meta; }, object);
}

} // namespace egw::egress
