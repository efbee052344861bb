// SPDX-License-Identifier: Apache-2.0
#include "cmd/controller_writes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "api/json.hpp"
#include "base/log.hpp"

namespace egw::cmd {

namespace {

const api::Resource& resource_of(const egress::ObjectKey& key) {
  using egress::Kind;
  switch (key.kind) {
    case Kind::Node:
      return api::resource<api::Node>();
    case Kind::Gateway:
      return api::resource<api::EgressGateway>();
    case Kind::GatewayPolicy:
    case Kind::Policy:
    case Kind::ClusterPolicy:
      return api::policy_resource(egress::policy_kind(key.kind).value());
    case Kind::EgressNode:
      return api::resource<api::EgressNode>();
    case Kind::Slice:
      return api::slice_resource(false);
    case Kind::ClusterSlice:
      return api::slice_resource(true);
    case Kind::ClusterInfo:
      return api::resource<api::EgressClusterInfo>();
    default:
      throw std::logic_error("the controller writes no " + std::string(to_string(key.kind)));
  }
}

std::string encode_object(const egress::Object& object) {
  return std::visit(
      [](const auto& o) -> std::string {
        using T = std::decay_t<decltype(o)>;
        if constexpr (std::is_same_v<T, api::EndpointSlice> ||
                      std::is_same_v<T, api::RangeObject>) {
          throw std::logic_error("the controller writes none of these");
        } else {
          return api::encode(o);
        }
      },
      object);
}

template <class T>
egress::Object as_object(const Result<T>& decoded, bool& ok, std::string& why) {
  if (decoded) return *decoded;
  ok = false;
  why = decoded.error().message;
  return T{};
}

std::optional<egress::Object> decode_object(egress::Kind kind, const std::string& text) {
  using egress::Kind;
  bool ok = true;
  std::string why;
  egress::Object object;
  switch (kind) {
    case Kind::Node:
      object = as_object(api::decode_text<api::Node>(text), ok, why);
      break;
    case Kind::Gateway:
      object = as_object(api::decode_text<api::EgressGateway>(text), ok, why);
      break;
    case Kind::GatewayPolicy:
    case Kind::Policy:
    case Kind::ClusterPolicy:
      object = as_object(api::decode_text<api::EgressPolicy>(text), ok, why);
      break;
    case Kind::EgressNode:
      object = as_object(api::decode_text<api::EgressNode>(text), ok, why);
      break;
    case Kind::Slice:
    case Kind::ClusterSlice:
      object = as_object(api::decode_text<api::EgressEndpointSlice>(text), ok, why);
      break;
    case Kind::ClusterInfo:
      object = as_object(api::decode_text<api::EgressClusterInfo>(text), ok, why);
      break;
    default:
      ok = false;
  }
  if (ok) return object;
  log::warn("answer to a write of {}: {}", egress::to_string(kind), why);
  return std::nullopt; // the watch will tell
}

// Taints have no names to patch them by: the position is tested, so that one that moved makes the
// API server refuse the whole.
std::string taint_patch(const api::Node& node) {
  const auto at = std::ranges::find(node.taints, api::kTaintAgentNotReady);
  const std::string path = fmt::format("/spec/taints/{}", at - node.taints.begin());
  return fmt::format(
      R"([{{"op":"test","path":"{0}/key","value":"{1}"}},{{"op":"remove","path":"{0}"}}])", path,
      api::kTaintAgentNotReady);
}

} // namespace

k8s::Write to_request(const egress::Write& write) {
  const egress::ObjectKey key = egress::key_of(write.object);
  const api::ObjectMeta& meta = egress::meta_of(write.object);
  k8s::Write request;
  request.resource = &resource_of(key);
  request.key = {key.namespace_, key.name};
  request.field_manager = kControllerManager;
  request.lane = write.failover ? k8s::Lane::Failover : k8s::Lane::Normal;
  switch (write.verb) {
    case egress::WriteVerb::Create:
      request.verb = k8s::Verb::Create;
      request.body = encode_object(write.object);
      break;
    case egress::WriteVerb::Update:
    case egress::WriteVerb::UpdateStatus:
      request.verb = k8s::Verb::Update;
      request.status = write.verb == egress::WriteVerb::UpdateStatus;
      request.body = encode_object(write.object);
      break;
    case egress::WriteVerb::FillGateway:
      request.verb = k8s::Verb::MergePatch;
      // Both are the API server's own: a number, and the name of an object that exists.
      request.body = fmt::format(
          R"({{"metadata":{{"resourceVersion":"{}"}},"spec":{{"egressGatewayName":"{}"}}}})",
          meta.resource_version, std::get<api::EgressPolicy>(write.object).spec.gateway);
      break;
    case egress::WriteVerb::ApplyStatus:
      request.verb = k8s::Verb::Apply;
      request.status = true;
      request.body = api::encode_controller_part(std::get<api::EgressNode>(write.object));
      break;
    case egress::WriteVerb::Remove:
      request.verb = k8s::Verb::Remove;
      request.uid = meta.uid;
      break;
    case egress::WriteVerb::RemoveTaint:
      request.verb = k8s::Verb::JsonPatch;
      request.body = taint_patch(std::get<api::Node>(write.object));
      break;
  }
  return request;
}

egress::WriteDone to_event(const egress::ObjectKey& key, const k8s::Write& request,
                           const Result<std::string>& result) {
  using Outcome = egress::WriteDone::Outcome;
  if (result) {
    if (request.verb == k8s::Verb::Remove) return {key, Outcome::Ok, std::nullopt};
    return {key, Outcome::Ok, decode_object(key.kind, *result)};
  }
  const Error& error = result.error();
  if (k8s::conflict(error)) return {key, Outcome::Conflict, std::nullopt};
  if (k8s::not_found(error)) return {key, Outcome::NotFound, std::nullopt};
  return {key, Outcome::Failed, std::nullopt};
}

const char* to_string(egress::WriteDone::Outcome outcome) {
  switch (outcome) {
    case egress::WriteDone::Outcome::Ok:
      return "ok";
    case egress::WriteDone::Outcome::Conflict:
      return "conflict";
    case egress::WriteDone::Outcome::NotFound:
      return "not_found";
    case egress::WriteDone::Outcome::Failed:
      return "failed";
  }
  return "";
}

} // namespace egw::cmd
