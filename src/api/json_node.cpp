// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "api/json.hpp"
#include "api/json_read.hpp"
#include "api/json_write.hpp"

// EgressNode.
namespace egw::api {
namespace {

constexpr std::array<std::string_view, 3> kAgentConditions = {"DatapathReady", "EIPsUnique",
                                                              "PortsAvailable"};

void read_status(const Field& from, EgressNodeStatus& to) {
  const Field tunnel = from["tunnel"];
  tunnel["ipv4"].read(to.tunnel_ipv4);
  tunnel["ipv6"].read(to.tunnel_ipv6);
  tunnel["mac"].read(to.tunnel_mac);
  const Field parent = tunnel["parent"];
  parent["name"].read(to.parent.name);
  parent["ipv4"].read(to.parent.ipv4);
  parent["ipv6"].read(to.parent.ipv6);
  const Field agent = from["agent"];
  agent["version"].read(to.agent.version);
  agent["protocolMin"].read(to.agent.protocol_min);
  agent["protocolMax"].read(to.agent.protocol_max);
  agent["features"].read(to.agent.features);
  agent["port"].read(to.agent.port);
  agent["publicKey"].read(to.agent.public_key);
  std::string phase;
  from["phase"].read(phase);
  to.phase = parse_node_phase(phase);
  from["conditions"].read(to.conditions);
}

void write_tunnel(JsonWriter& w, const EgressNodeStatus& status) {
  w.text("ipv4", status.tunnel_ipv4);
  w.text("ipv6", status.tunnel_ipv6);
  w.text("mac", status.tunnel_mac);
}

void write_parent(JsonWriter& w, const TunnelParent& parent) {
  w.object("parent", [&] {
    w.text("name", parent.name);
    w.text("ipv4", parent.ipv4);
    w.text("ipv6", parent.ipv6);
  });
}

void write_agent(JsonWriter& w, const AgentInfo& agent) {
  w.object("agent", [&] {
    w.text("version", agent.version);
    w.number("protocolMin", agent.protocol_min);
    w.number("protocolMax", agent.protocol_max);
    w.texts("features", agent.features);
    w.number("port", agent.port);
    w.text("publicKey", agent.public_key);
  });
}

std::vector<Condition> conditions_of(const EgressNode& node, bool agent) {
  std::vector<Condition> mine;
  std::copy_if(node.status.conditions.begin(), node.status.conditions.end(),
               std::back_inserter(mine), [&](const Condition& c) {
                 return (std::ranges::count(kAgentConditions, c.type) > 0) == agent;
               });
  return mine;
}

// A body of server-side apply names the object and no version: whoever applies owns these fields
// whatever else has changed. https://kubernetes.io/docs/reference/using-api/server-side-apply/
template <class F>
std::string encode_part(const EgressNode& node, F status) {
  ObjectMeta meta;
  meta.name = node.meta.name;
  return encode_object(resource<EgressNode>(), meta,
                       [&](JsonWriter& w) { w.object("status", [&] { status(w); }); });
}

} // namespace

template <>
Result<EgressNode> decode<EgressNode>(const rapidjson::Value& object) {
  return decode_with<EgressNode>(object, [](const Field& root, EgressNode& node) {
    read_head(root, {"EgressNode"}, node.meta);
    read_status(root["status"], node.status);
  });
}

std::string encode(const EgressNode& node) {
  return encode_object(resource<EgressNode>(), node.meta, [&](JsonWriter& w) {
    if (node.status == EgressNodeStatus{}) return; // the phase alone says nothing yet
    w.object("status", [&] {
      w.object("tunnel", [&] {
        write_tunnel(w, node.status);
        write_parent(w, node.status.parent);
      });
      write_agent(w, node.status.agent);
      w.text("phase", to_string(node.status.phase));
      w.conditions(node.status.conditions);
    });
  });
}

std::string encode_controller_part(const EgressNode& node) {
  return encode_part(node, [&](JsonWriter& w) {
    w.object("tunnel", [&] { write_tunnel(w, node.status); });
    w.text("phase", to_string(node.status.phase));
    w.conditions(conditions_of(node, false));
  });
}

std::string encode_agent_part(const EgressNode& node) {
  return encode_part(node, [&](JsonWriter& w) {
    w.object("tunnel", [&] { write_parent(w, node.status.parent); });
    write_agent(w, node.status.agent);
    w.conditions(conditions_of(node, true));
  });
}

} // namespace egw::api
