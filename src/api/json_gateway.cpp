// SPDX-License-Identifier: Apache-2.0
#include "api/json.hpp"
#include "api/json_read.hpp"
#include "api/json_write.hpp"

// EgressGateway.
namespace egw::api {
namespace {

constexpr std::array<std::pair<const char*, PlacementPolicy>, 3> kPlacements{
    {{"AverageSelection", PlacementPolicy::AverageSelection},
     {"MinimumNodeSelection", PlacementPolicy::MinimumNodeSelection},
     {"LimitSelection", PlacementPolicy::LimitSelection}}};
constexpr std::array<std::pair<const char*, WhenNoGateway>, 2> kWhenNoGateway{
    {{"Drop", WhenNoGateway::Drop}, {"Bypass", WhenNoGateway::Bypass}}};
constexpr std::array<std::pair<const char*, UnservedFamily>, 2> kUnservedFamily{
    {{"Drop", UnservedFamily::Drop}, {"Allow", UnservedFamily::Allow}}};
constexpr std::array<std::pair<const char*, PolicyKind>, 3> kPolicyKinds{
    {{"EgressGatewayPolicy", PolicyKind::EgressGatewayPolicy},
     {"EgressPolicy", PolicyKind::EgressPolicy},
     {"EgressClusterPolicy", PolicyKind::EgressClusterPolicy}}};

void read_spec(const Field& from, EgressGatewaySpec& to) {
  from["clusterDefault"].read(to.cluster_default);
  const Field pools = from["ippools"];
  pools["ipv4"].read(to.ipv4_pool);
  pools["ipv6"].read(to.ipv6_pool);
  pools["ipv4DefaultEIP"].read(to.ipv4_default_eip);
  pools["ipv6DefaultEIP"].read(to.ipv6_default_eip);
  const Field node = from["nodeSelector"];
  node["selector"].read(to.node_selector);
  node["policy"].read(to.placement, kPlacements);
  node["limit"].read(to.limit);
  const Field scope = from["scope"];
  scope["namespaces"].read(to.scope_namespaces);
  scope["namespaceSelector"].read(to.scope_namespace_selector);
  from["whenNoGateway"].read(to.when_no_gateway, kWhenNoGateway);
  from["unservedFamily"].read(to.unserved_family, kUnservedFamily);
}

void read_eip(const Field& from, EipEntry& to) {
  from["id"].read(to.id);
  from["ipv4"].read(to.ipv4);
  from["ipv6"].read(to.ipv6);
  from["policies"].read(to.policies, [](const Field& item, PolicyKey& key) {
    item["kind"].read(key.kind, kPolicyKinds);
    item["namespace"].read(key.namespace_);
    item["name"].read(key.name);
  });
}

void read_status(const Field& from, EgressGatewayStatus& to) {
  from["nodeList"].read(to.node_list, [](const Field& item, GatewayNodeStatus& node) {
    item["name"].read(node.name);
    item["status"].read(node.status);
    item["eips"].read(node.eips, read_eip);
  });
  from["unplaced"].read(to.unplaced, read_eip);
  from["restingIds"].read(to.resting_ids, [](const Field& item, RestingId& resting) {
    item["id"].read(resting.id);
    item["until"].read(resting.until);
  });
  from["term"].read(to.term);
  const Field usage = from["ipUsage"];
  usage["ipv4Total"].read(to.ip_usage.ipv4_total);
  usage["ipv4Free"].read(to.ip_usage.ipv4_free);
  usage["ipv6Total"].read(to.ip_usage.ipv6_total);
  usage["ipv6Free"].read(to.ip_usage.ipv6_free);
  from["conditions"].read(to.conditions);
}

void write_spec(JsonWriter& w, const EgressGatewaySpec& spec) {
  w.flag("clusterDefault", spec.cluster_default);
  w.object("ippools", [&] {
    w.texts("ipv4", spec.ipv4_pool);
    w.texts("ipv6", spec.ipv6_pool);
    w.text("ipv4DefaultEIP", spec.ipv4_default_eip);
    w.text("ipv6DefaultEIP", spec.ipv6_default_eip);
  });
  w.always_object("nodeSelector", [&] {
    w.selector("selector", spec.node_selector);
    w.text("policy", word_of(spec.placement, kPlacements));
    w.number("limit", spec.limit);
  });
  if (spec.scope_namespaces || spec.scope_namespace_selector) {
    w.always_object("scope", [&] {
      if (spec.scope_namespaces) w.always_texts("namespaces", *spec.scope_namespaces);
      if (spec.scope_namespace_selector) {
        w.selector("namespaceSelector", *spec.scope_namespace_selector);
      }
    });
  }
  w.text("whenNoGateway", word_of(spec.when_no_gateway, kWhenNoGateway));
  w.text("unservedFamily", word_of(spec.unserved_family, kUnservedFamily));
}

void write_eips(JsonWriter& w, std::string_view key, const std::vector<EipEntry>& eips) {
  w.objects(key, eips, [&](const EipEntry& eip) {
    w.number("id", eip.id);
    w.text("ipv4", eip.ipv4);
    w.text("ipv6", eip.ipv6);
    w.objects("policies", eip.policies, [&](const PolicyKey& key_of_policy) {
      w.text("kind", to_string(key_of_policy.kind));
      w.text("namespace", key_of_policy.namespace_);
      w.text("name", key_of_policy.name);
    });
  });
}

// Columns of kubectl cannot count, so that what they show stands beside what it comes from.
void write_summary(JsonWriter& w, const EgressGatewayStatus& status) {
  std::size_t ready = 0, eips = status.unplaced.size();
  for (const GatewayNodeStatus& node : status.node_list) {
    ready += node.status == to_string(NodePhase::Ready);
    eips += node.eips.size();
  }
  w.text("nodes", fmt::format("{}/{}", ready, status.node_list.size()));
  w.always_number("eips", static_cast<std::int64_t>(eips));
}

void write_status(JsonWriter& w, const EgressGatewayStatus& status) {
  w.objects("nodeList", status.node_list, [&](const GatewayNodeStatus& node) {
    w.text("name", node.name);
    w.text("status", node.status);
    write_eips(w, "eips", node.eips);
  });
  write_eips(w, "unplaced", status.unplaced);
  w.objects("restingIds", status.resting_ids, [&](const RestingId& resting) {
    w.number("id", resting.id);
    w.micro_time("until", resting.until);
  });
  w.number("term", status.term);
  // Zeros are facts here, and columns of kubectl read them.
  w.always_object("ipUsage", [&] {
    w.always_number("ipv4Total", status.ip_usage.ipv4_total);
    w.always_number("ipv4Free", status.ip_usage.ipv4_free);
    w.always_number("ipv6Total", status.ip_usage.ipv6_total);
    w.always_number("ipv6Free", status.ip_usage.ipv6_free);
  });
  w.object("summary", [&] { write_summary(w, status); });
  w.conditions(status.conditions);
}

} // namespace

template <>
Result<EgressGateway> decode<EgressGateway>(const rapidjson::Value& object) {
  return decode_with<EgressGateway>(object, [](const Field& root, EgressGateway& gateway) {
    read_head(root, {"EgressGateway"}, gateway.meta);
    read_spec(root["spec"], gateway.spec);
    read_status(root["status"], gateway.status);
  });
}

std::string encode(const EgressGateway& gateway) {
  return encode_object(resource<EgressGateway>(), gateway.meta, [&](JsonWriter& w) {
    w.object("spec", [&] { write_spec(w, gateway.spec); });
    if (gateway.status != EgressGatewayStatus{}) {
      w.object("status", [&] { write_status(w, gateway.status); });
    }
  });
}

} // namespace egw::api
