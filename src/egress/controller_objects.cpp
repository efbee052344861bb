// SPDX-License-Identifier: Apache-2.0
// EgressNodes and endpoint slices: planning, and the difference as writes.
#include <algorithm>
#include <utility>

#include "egress/controller_core.hpp"
#include "egress/lookup.hpp"

namespace egw::egress {

// --- nodes ---------------------------------------------------------------------------------------

void ControllerCore::reconcile_node(const std::string& name) {
  const Work work{Task::Node, {{}, {}, name}};
  if (!world_.knows({Kind::Node, Kind::EgressNode, Kind::Gateway})) return;
  if (world_.unreadable({Kind::Node, "", name})) return;
  if (world_.unreadable({Kind::EgressNode, "", name})) return;
  if (blocked({Kind::EgressNode, "", name}, work)) return;
  const api::Node* node = lookup(world_.nodes, name);
  const api::EgressNode* current = lookup(world_.egress_nodes, name);
  if (node == nullptr) {
    tunnels_.remove(name);
    if (current != nullptr && !current->meta.deleting) {
      submit({WriteVerb::Remove, *current, false}, work);
    }
    return;
  }
  if (current != nullptr && current->meta.deleting) return; // made anew when it is gone
  ++counters_.nodes;
  EgressNodeInput input{node,     current,  !world_.gateways_of(name).empty(), options_.tunnel,
                        overlap_, now_.wall};
  const api::EgressNode wanted = plan_egress_node(input, tunnels_);
  if (current == nullptr || wanted.meta != current->meta) {
    api::EgressNode head;
    head.meta = wanted.meta;
    const WriteVerb verb = current == nullptr ? WriteVerb::Create : WriteVerb::Update;
    return submit({verb, std::move(head), false}, work);
  }
  if (options_.remove_taint) remove_taint(*node, wanted, work);
  if (wanted.status == current->status) return;
  tunnels_.claim(wanted);
  submit({WriteVerb::ApplyStatus, wanted, false}, work);
}

// Pods may come once the agent says that the kernel state is in place, whatever else the Node
// lacks.
void ControllerCore::remove_taint(const api::Node& node, const api::EgressNode& egress_node,
                                  const Work& work) {
  if (std::ranges::find(node.taints, api::kTaintAgentNotReady) == node.taints.end()) return;
  if (node.meta.deleting || !is_true(egress_node.status.conditions, kDatapathReady)) return;
  if (blocked({Kind::Node, "", node.meta.name}, work)) return;
  submit({WriteVerb::RemoveTaint, node, false}, work);
}

// --- endpoint slices -----------------------------------------------------------------------------

bool ControllerCore::knows_for_slices(const api::PolicyKey& key) const {
  const bool cluster = key.kind == api::PolicyKind::EgressClusterPolicy;
  return world_.knows({Kind::Pod, cluster ? Kind::ClusterSlice : Kind::Slice, kind_of(key.kind)}) &&
         (!cluster || world_.knows(Kind::Namespace)); // their labels
}

void ControllerCore::reconcile_slices(const api::PolicyKey& key) {
  const Work work{Task::Slices, key};
  if (!knows_for_slices(key) || world_.unreadable(key_of(key))) return;
  if (slices_in_flight_.contains(key)) return; // comes again when they are done
  const api::EgressPolicy* policy = lookup(world_.policies, key);
  PolicySlices* slices = selection_->slices_of(key);
  const Verdict* verdict = lookup(verdicts_, key);
  const bool wanted =
      policy != nullptr && slices != nullptr && !policy->meta.deleting &&
      !policy->spec.gateway.empty() &&
      ((verdict != nullptr && verdict->accepted) || is_true(policy->status.conditions, kEnforced));
  ++counters_.slices;
  SliceChanges changes;
  if (wanted) {
    changes = plan_paced(work, *policy, *slices);
    remove_slices(selection_->foreign(key), changes);
  } else {
    slice_pace_.erase(key);
    remove_slices(world_.slices_of(key), changes);
  }
  // One may wait out an earlier refusal.
  const auto send = [&](WriteVerb verb, std::vector<api::EgressEndpointSlice>& list) {
    for (auto& slice : list) {
      if (blocked(key_of(Object(slice)), work)) continue;
      submit({verb, std::move(slice), false}, work);
    }
  };
  send(WriteVerb::Create, changes.create);
  send(WriteVerb::Update, changes.update);
  send(WriteVerb::Remove, changes.remove);
}

void ControllerCore::remove_slices(const std::set<api::NamespacedName>& names,
                                   SliceChanges& changes) const {
  for (const api::NamespacedName& name : names) {
    const SliceRecord& record = world_.slices.at(name);
    if (record.meta.deleting) continue;
    api::EgressEndpointSlice slice;
    slice.meta = record.meta;
    changes.remove.push_back(std::move(slice));
  }
}

// What one policy's slices may cost: see ControllerOptions.
SliceChanges ControllerCore::plan_paced(const Work& work, const api::EgressPolicy& policy,
                                        PolicySlices& slices) {
  const Duration interval = options_.slice_interval;
  const auto [at, fresh] = slice_pace_.try_emplace(work.key);
  Pace& pace = at->second;
  // The times up to which the credit of a rest reaches.
  const Time plans_due = now_.steady + interval * (options_.slice_burst - 1);
  const Time writes_due = now_.steady + interval * options_.slice_writes;
  if (pace.plans > plans_due) {
    schedule(work, pace.plans - interval * (options_.slice_burst - 1));
    return {};
  }
  const Time written = std::max(pace.writes, now_.steady);
  const auto left =
      static_cast<std::size_t>(std::max<std::int64_t>(0, (writes_due - written) / interval));
  SliceChanges changes = slices.plan(policy, world_.pods, left);
  if (!changes.empty()) {
    pace.plans = std::max(pace.plans, now_.steady) + interval;
    pace.writes = written + interval * static_cast<std::int64_t>(changes.size());
  }
  if (changes.more) schedule(work, std::max(now_.steady + interval, pace.plans));
  return changes;
}

} // namespace egw::egress
