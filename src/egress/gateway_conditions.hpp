// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api/egress.hpp"
#include "egress/gateway_plan.hpp"

namespace egw::egress {

// Accepted, Ready and, where two gateways claim it, ClusterDefault. `status` has the nodes and EIPs
// of the plan; `any_ready`: one of the nodes is Ready, cordoned or not.
void set_gateway_conditions(api::EgressGatewayStatus& status, const GatewayInput& input,
                            bool any_ready);

} // namespace egw::egress
