// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "egress/node_plan.hpp"
#include "egress/node_planner.hpp"
#include "egress/plan_memory.hpp"

namespace egw::egress {

// Makes `plan` the one of the world as it is now, where only pods, policies and slices changed and
// nothing else follows from them. False: it is not that simple; neither plan nor memory are of any
// use then.
[[nodiscard]] bool update_plan(PlanMemory& memory, NodePlan& plan, const NodeOptions& options,
                               const WorldChanges& changes);

} // namespace egw::egress
