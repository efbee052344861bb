// SPDX-License-Identifier: Apache-2.0
#include "api/egress.hpp"

namespace egw::api {

const char* to_string(PolicyKind kind) {
  switch (kind) {
    case PolicyKind::EgressGatewayPolicy:
      return "EgressGatewayPolicy";
    case PolicyKind::EgressPolicy:
      return "EgressPolicy";
    case PolicyKind::EgressClusterPolicy:
      return "EgressClusterPolicy";
  }
  return "";
}

std::optional<PolicyKind> parse_policy_kind(std::string_view text) {
  for (const PolicyKind kind : {PolicyKind::EgressGatewayPolicy, PolicyKind::EgressPolicy,
                                PolicyKind::EgressClusterPolicy}) {
    if (text == to_string(kind)) return kind;
  }
  return std::nullopt;
}

std::string PolicyKey::to_string() const {
  const std::string prefix = namespace_.empty() ? "" : namespace_ + "/";
  return std::string(api::to_string(kind)) + " " + prefix + name;
}

const char* to_string(NodePhase phase) {
  switch (phase) {
    case NodePhase::Pending:
      return "Pending";
    case NodePhase::Init:
      return "Init";
    case NodePhase::Failed:
      return "Failed";
    case NodePhase::Ready:
      return "Ready";
    case NodePhase::AgentDown:
      return "AgentDown";
    case NodePhase::NodeDown:
      return "NodeDown";
    case NodePhase::NodeNotReady:
      return "NodeNotReady";
  }
  return "";
}

NodePhase parse_node_phase(std::string_view text) {
  for (const NodePhase phase :
       {NodePhase::Init, NodePhase::Failed, NodePhase::Ready, NodePhase::AgentDown,
        NodePhase::NodeDown, NodePhase::NodeNotReady}) {
    if (text == to_string(phase)) return phase;
  }
  return NodePhase::Pending;
}

} // namespace egw::api
