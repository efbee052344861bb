// SPDX-License-Identifier: Apache-2.0
#include "cmd/controller_writes.hpp"

#include <doctest/doctest.h>

#include "api/json.hpp"

using namespace egw;
using namespace egw::cmd;

namespace {

api::EgressPolicy policy() {
  api::EgressPolicy p;
  p.kind = api::PolicyKind::EgressPolicy;
  p.meta.name = "app";
  p.meta.namespace_ = "default";
  p.meta.uid = "uid-1";
  p.meta.resource_version = "77";
  p.spec.gateway = "eg1";
  p.spec.pod_selector = api::LabelSelector{{{"app", "web"}}, {}};
  return p;
}

} // namespace

TEST_CASE("controller writes: as requests") {
  const auto status = to_request({egress::WriteVerb::UpdateStatus, policy(), true});
  CHECK(status.verb == k8s::Verb::Update);
  CHECK(status.status);
  CHECK(status.lane == k8s::Lane::Failover);
  CHECK(status.key == api::NamespacedName{"default", "app"});
  CHECK(std::string(status.resource->plural) == "egresspolicies");
  CHECK(status.body.find("\"resourceVersion\":\"77\"") != std::string::npos); // a compare-and-swap

  const auto fill = to_request({egress::WriteVerb::FillGateway, policy(), false});
  CHECK(fill.verb == k8s::Verb::MergePatch);
  CHECK_FALSE(fill.status);
  CHECK(fill.body == R"({"metadata":{"resourceVersion":"77"},"spec":{"egressGatewayName":"eg1"}})");

  api::EgressNode node;
  node.meta.name = "node1";
  node.status.tunnel_ipv4 = "172.31.0.9";
  const auto apply = to_request({egress::WriteVerb::ApplyStatus, node, false});
  CHECK(apply.verb == k8s::Verb::Apply);
  CHECK(apply.status);
  CHECK(apply.field_manager == kControllerManager);
  CHECK(apply.body == api::encode_controller_part(node));

  api::EgressEndpointSlice slice;
  slice.meta.name = "s";
  slice.meta.uid = "uid-2";
  const auto remove = to_request({egress::WriteVerb::Remove, slice, false});
  CHECK(remove.verb == k8s::Verb::Remove);
  CHECK(remove.uid == "uid-2");
  CHECK(std::string(remove.resource->plural) == "egressclusterendpointslices");
}

TEST_CASE("controller writes: answers as events") {
  using Outcome = egress::WriteDone::Outcome;
  const auto key = egress::key_of(egress::Object(policy()));
  const auto request = to_request({egress::WriteVerb::UpdateStatus, policy(), false});
  const auto done = to_event(key, request, api::encode(policy()));
  CHECK(done.outcome == Outcome::Ok);
  REQUIRE(done.object);
  CHECK(egress::meta_of(*done.object).resource_version == "77");
  CHECK(to_event(key, request, Error{"no", 409}).outcome == Outcome::Conflict);
  CHECK(to_event(key, request, Error{"no", 404}).outcome == Outcome::NotFound);
  CHECK(to_event(key, request, Error{"no", 422}).outcome == Outcome::Failed);
  CHECK(to_event(key, request, Error{"no", 0}).outcome == Outcome::Failed);
  // Done, but not understood: the watch will tell.
  const auto garbage = to_event(key, request, std::string("{"));
  CHECK(garbage.outcome == Outcome::Ok);
  CHECK_FALSE(garbage.object);
}

TEST_CASE("the taint is taken off by its place, which the API server compares") {
  api::Node node;
  node.meta.name = "n1";
  node.taints = {"example.com/a", api::kTaintAgentNotReady, "example.com/z"};
  const auto request = to_request({egress::WriteVerb::RemoveTaint, node, false});
  CHECK(request.verb == k8s::Verb::JsonPatch);
  CHECK_FALSE(request.status);
  CHECK(request.key.name == "n1");
  CHECK(request.body == R"([{"op":"test","path":"/spec/taints/1/key",)"
                        R"("value":"egressgateway.spidernet.io/agent-not-ready"},)"
                        R"({"op":"remove","path":"/spec/taints/1"}])");
}
