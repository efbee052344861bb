// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "api/json.hpp"
#include "api/json_parse.hpp"

using namespace egw;
using namespace egw::api;

namespace {

template <class T>
std::string error_of(std::string_view text) {
  const auto result = decode_text<T>(text);
  return result.ok() ? "" : result.error().message;
}

EgressNode example_node() {
  EgressNode node;
  node.meta.name = "node1";
  node.meta.uid = "u";
  node.meta.resource_version = "9";
  node.status.tunnel_ipv4 = "172.31.0.7";
  node.status.tunnel_mac = "66:00:00:00:00:07";
  node.status.parent = {"eth0", "10.6.1.21", ""};
  node.status.agent.version = "0.1.0";
  node.status.agent.protocol_min = 1;
  node.status.agent.protocol_max = 1;
  node.status.phase = NodePhase::Ready;
  node.status.conditions = {
      {.type = "Ready", .status = "True", .reason = "", .message = ""},
      {.type = "DatapathReady", .status = "True", .reason = "", .message = ""}};
  return node;
}

} // namespace

TEST_CASE("EgressGateway: every field of the spec") {
  const auto gateway = decode_text<EgressGateway>(R"({
    "apiVersion": "egressgateway.spidernet.io/v1beta1", "kind": "EgressGateway",
    "metadata": {"name": "eg1"},
    "spec": {"clusterDefault": true,
      "ippools": {"ipv4": ["10.6.1.55", "10.6.1.60-10.6.1.65"], "ipv6": ["fd00::55"],
        "ipv4DefaultEIP": "10.6.1.55", "ipv6DefaultEIP": ""},
      "nodeSelector": {"selector": {"matchLabels": {"egress": "true"},
        "matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["b"]}]},
        "policy": "LimitSelection", "limit": 5},
      "scope": {"namespaces": ["team-a"], "namespaceSelector": {}},
      "whenNoGateway": "Bypass", "unservedFamily": "Allow", "connectionSync": true}})");
  REQUIRE(gateway.ok());
  const auto& spec = gateway->spec;
  CHECK(spec.cluster_default);
  CHECK(spec.ipv4_pool.size() == 2);
  CHECK(spec.ipv4_default_eip == "10.6.1.55");
  CHECK(spec.node_selector.match_expressions.at(0).op == SelectorOperator::NotIn);
  CHECK(spec.placement == PlacementPolicy::LimitSelection);
  CHECK(spec.limit == 5);
  CHECK(spec.scope_namespaces == std::vector<std::string>{"team-a"});
  REQUIRE(spec.scope_namespace_selector.has_value());
  CHECK(spec.scope_namespace_selector->empty());
  CHECK(spec.when_no_gateway == WhenNoGateway::Bypass);
  CHECK(spec.unserved_family == UnservedFamily::Allow);
}

TEST_CASE("EgressGateway: wrong words are refused with those that there are") {
  CHECK(error_of<EgressGateway>(
            R"({"metadata": {"name": "a"}, "spec": {"whenNoGateway": "Maybe"}})") ==
        "spec.whenNoGateway: \"Maybe\" is none of \"Drop\", \"Bypass\"");
  CHECK(error_of<EgressGateway>(
            R"({"metadata": {"name": "a"},
                "status": {"nodeList": [{"name": "n", "eips": [{"id": "1"}]}]}})") ==
        "status.nodeList[0].eips[0].id: \"1\" is not an integer of 32 bits");
  CHECK(error_of<EgressGateway>(
            R"({"metadata": {"name": "a"}, "spec": {"nodeSelector": {"selector":
                {"matchExpressions": [{"key": "a"}]}}}})") ==
        "spec.nodeSelector.selector.matchExpressions[0].operator is missing");
}

TEST_CASE("a policy's kind comes from the object, or from the list that it stands in") {
  const char* text = R"({"kind": "EgressClusterPolicy", "metadata": {"name": "a"},
    "spec": {"egressGatewayName": "eg1",
      "appliedTo": {"namespaceSelector": {"matchLabels": {"a": "b"}}},
      "priority": 7}})";
  const auto policy = decode_text<EgressPolicy>(text);
  REQUIRE(policy.ok());
  CHECK(policy->kind == PolicyKind::EgressClusterPolicy);
  CHECK(policy->spec.priority == 7);
  CHECK_FALSE(policy->spec.pod_selector.has_value());
  CHECK(policy->key().to_string() == "EgressClusterPolicy a");

  CHECK(error_of<EgressPolicy>(R"({"metadata": {"name": "a"}})") == "kind is missing");
  CHECK(error_of<EgressPolicy>(R"({"kind": "Pod", "metadata": {"name": "a"}})")
            .starts_with("kind: \"Pod\" is none of"));

  rapidjson::Document item;
  REQUIRE(parse_json(item,
                     R"({"metadata": {"name": "a", "namespace": "n"},
                "spec": {"appliedTo": {"podSelector": {}}}})")
              .ok());
  const auto listed = decode_policy(item, PolicyKind::EgressPolicy);
  REQUIRE(listed.ok());
  CHECK(listed->key().to_string() == "EgressPolicy n/a");
  CHECK(listed->spec.pod_selector == LabelSelector{});
  REQUIRE(parse_json(item, text).ok());
  CHECK(decode_policy(item, PolicyKind::EgressPolicy).error().message ==
        "kind: \"EgressClusterPolicy\" is not EgressPolicy");
}

TEST_CASE("empty and missing selectors stay apart when written") {
  EgressPolicy policy;
  policy.meta.name = "a";
  policy.spec.pod_selector = LabelSelector{};
  CHECK(encode(policy).find(R"("appliedTo":{"podSelector":{}})") != std::string::npos);
  policy.spec.pod_selector.reset();
  CHECK(encode(policy).find(R"("appliedTo":{})") != std::string::npos);
}

TEST_CASE("the two field managers of an EgressNode write their parts and nothing else") {
  const EgressNode node = example_node();
  CHECK(encode_controller_part(node) ==
        R"({"apiVersion":"egressgateway.spidernet.io/v1beta1",)"
        R"("kind":"EgressNode","metadata":{"name":"node1"},)"
        R"("status":{"tunnel":{"ipv4":"172.31.0.7","mac":"66:00:00:00:00:07"},"phase":"Ready",)"
        R"("conditions":[{"type":"Ready","status":"True"}]}})");
  CHECK(encode_agent_part(node) ==
        R"({"apiVersion":"egressgateway.spidernet.io/v1beta1",)"
        R"("kind":"EgressNode","metadata":{"name":"node1"},)"
        R"("status":{"tunnel":{"parent":{"name":"eth0","ipv4":"10.6.1.21"}},)"
        R"("agent":{"version":"0.1.0","protocolMin":1,"protocolMax":1},)"
        R"("conditions":[{"type":"DatapathReady","status":"True"}]}})");

  EgressNode merged = decode_text<EgressNode>(encode_controller_part(node)).value();
  const EgressNode agent = decode_text<EgressNode>(encode_agent_part(node)).value();
  merged.meta = node.meta;
  merged.status.parent = agent.status.parent;
  merged.status.agent = agent.status.agent;
  merged.status.conditions.push_back(agent.status.conditions.at(0));
  CHECK(merged == node);
}

TEST_CASE("EgressClusterInfo: what is off is written, because missing means on") {
  EgressClusterInfo info;
  info.meta.name = "default";
  info.spec.pod_cidr_mode = PodCidrMode::Off;
  info.spec.cluster_ip = false;
  CHECK(encode(info) ==
        R"({"apiVersion":"egressgateway.spidernet.io/v1beta1",)"
        R"("kind":"EgressClusterInfo","metadata":{"name":"default"},)"
        R"("spec":{"autoDetect":{"podCidrMode":"","clusterIP":false,"nodeIP":true}}})");
  const auto empty = decode_text<EgressClusterInfo>(R"({"metadata": {"name": "default"}})");
  REQUIRE(empty.ok());
  CHECK(empty->spec == EgressClusterInfoSpec{});
}

TEST_CASE("EgressClusterInfo: what the original left in the status does not stop the controller") {
  const auto info = decode_text<EgressClusterInfo>(R"({"metadata": {"name": "default"},
    "status": {"extraCidr": ["10.10.10.1", "fd00::/64"], "podCidrMode": "calico",
      "nodeIP": {"n1": {"ipv4": ["10.6.0.1"]}}}})");
  REQUIRE(info.ok());
  CHECK(info->status.extra_cidr == CidrSource{{"10.10.10.1"}, {"fd00::/64"}});
}

TEST_CASE("EgressGateway: the status counts for the columns of kubectl") {
  EgressGateway gateway;
  gateway.meta.name = "eg1";
  CHECK(encode(gateway).find("summary") == std::string::npos);
  gateway.status.node_list = {{"n1", "Ready", {{1, "10.0.0.1", "", {}}}}, {"n2", "NodeDown", {}}};
  gateway.status.unplaced = {{2, "10.0.0.2", "", {}}};
  CHECK(encode(gateway).find(R"("summary":{"nodes":"1/2","eips":2})") != std::string::npos);
}
