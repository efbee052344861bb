// SPDX-License-Identifier: Apache-2.0
#include "egress/gateway_conditions.hpp"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "egress/policy.hpp"

namespace egw::egress {

void set_gateway_conditions(api::EgressGatewayStatus& status, const GatewayInput& input,
                            bool any_ready) {
  const api::EgressGateway& gateway = *input.gateway;
  const auto set = [&](const char* type, bool value, std::string reason, std::string message) {
    api::set_condition(status.conditions,
                       api::make_condition(type, value, std::move(reason), std::move(message),
                                           gateway.meta.generation),
                       input.now);
  };
  if (input.refusal) {
    set(kAccepted, false, input.refusal->reason, input.refusal->message);
  } else {
    set(kAccepted, true, "Accepted", "");
  }
  if (gateway.spec.cluster_default && !input.other_default.empty()) {
    set(kClusterDefault, false, "AnotherIsDefault",
        fmt::format("gateway {} is older and is the cluster's default: set spec.clusterDefault of "
                    "one of the two to false",
                    input.other_default));
  } else {
    std::erase_if(status.conditions, [](const auto& c) { return c.type == kClusterDefault; });
  }
  if (input.nodes.empty()) {
    set(kReady, false, "NoNode",
        "no node has the labels of spec.nodeSelector: label a node, or change the selector");
  } else if (!any_ready) {
    set(kReady, false, "NoReadyNode",
        "none of the gateway's nodes is ready: see status.nodeList, and kubectl get egressnodes "
        "for what is missing");
  } else if (!status.unplaced.empty()) {
    set(kReady, false, "Cordoned",
        "EIPs are without a node, because every node that is ready is cordoned: uncordon one");
  } else if (input.refusal) {
    set(kReady, false, input.refusal->reason, input.refusal->message);
  } else {
    set(kReady, true, "Ready", "");
  }
}

} // namespace egw::egress
