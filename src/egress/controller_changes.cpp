// SPDX-License-Identifier: Apache-2.0
// Whom a change touches. What is marked here is planned anew; what is not, costs nothing.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "egress/cluster_info.hpp"
#include "egress/controller_core.hpp"
#include "egress/lookup.hpp"

namespace egw::egress {

namespace {

template <class T>
const T* as(const std::optional<Object>& object) {
  return object ? std::get_if<T>(&*object) : nullptr;
}

// What placement and addresses depend on; a Node's heartbeat changes none of it.
bool same_for_us(const api::Node& a, const api::Node& b) {
  return a.meta.uid == b.meta.uid && a.meta.deleting == b.meta.deleting &&
         a.meta.labels == b.meta.labels && a.ready == b.ready &&
         a.unschedulable == b.unschedulable && a.internal_ips == b.internal_ips &&
         a.pod_cidrs == b.pod_cidrs && a.cilium_cidrs == b.cilium_cidrs &&
         a.tunnel_parent == b.tunnel_parent && a.taints == b.taints;
}

bool same_addresses(const api::Node* a, const api::Node* b) {
  return a != nullptr && b != nullptr && a->internal_ips == b->internal_ips &&
         a->pod_cidrs == b->pod_cidrs && a->cilium_cidrs == b->cilium_cidrs;
}

} // namespace

void ControllerCore::notice(const World::Change& change) {
  if (!active_) return;
  const auto& [key, before, pod, old_owner, service_flags] = change;
  switch (key.kind) {
    case Kind::Node:
      return changed(key.name, as<api::Node>(before), lookup(world_.nodes, key.name));
    case Kind::Pod:
      selection_->pod_changed(*pod);
      if (detection_.pod_changed(world_, *pod) || service_flags) {
        mark(Task::ClusterInfo);
        mark(Task::Addresses);
      }
      return mark_selected();
    case Kind::Namespace:
      return changed(key.name, as<api::Namespace>(before), lookup(world_.namespaces, key.name));
    case Kind::EndpointSlice:
    case Kind::IpPool:
    case Kind::CiliumNode:
    case Kind::CiliumConfig:
    case Kind::FlannelConfig:
    case Kind::ServiceCidr:
      mark(Task::ClusterInfo);
      return mark(Task::Addresses);
    case Kind::Gateway:
      return changed(key.name, as<api::EgressGateway>(before), lookup(world_.gateways, key.name));
    case Kind::GatewayPolicy:
    case Kind::Policy:
    case Kind::ClusterPolicy: {
      const api::PolicyKey policy{*policy_kind(key.kind), key.namespace_, key.name};
      return changed(policy, as<api::EgressPolicy>(before), lookup(world_.policies, policy));
    }
    case Kind::EgressNode:
      return changed(key.name, as<api::EgressNode>(before), lookup(world_.egress_nodes, key.name));
    case Kind::Slice:
    case Kind::ClusterSlice:
      return slice_changed({key.namespace_, key.name}, old_owner);
    case Kind::ClusterInfo:
      return changed(as<api::EgressClusterInfo>(before), lookup(world_.cluster_infos, key.name));
  }
}

void ControllerCore::mark_gateways_of(const std::string& node) {
  for (const std::string& gateway : world_.gateways_of(node)) mark(Task::Gateway, gateway);
}

void ControllerCore::changed(const std::string& name, const api::Node* before,
                             const api::Node* after) {
  if (before != nullptr && after != nullptr && same_for_us(*before, *after)) return;
  mark(Task::Node, name);
  if (!same_addresses(before, after)) {
    mark(Task::ClusterInfo);
    mark(Task::Addresses);
  }
  mark_gateways_of(name);
  // Those that it belonged to before its labels changed list it still.
  if (before != nullptr && (after == nullptr || before->meta.labels != after->meta.labels)) {
    for (const auto& [gateway_name, gateway] : world_.gateways) {
      if (gateway.spec.node_selector.matches(before->meta.labels))
        mark(Task::Gateway, gateway_name);
    }
  }
}

void ControllerCore::changed(const std::string& name, const api::EgressNode* before,
                             const api::EgressNode* after) {
  if (before != nullptr && after != nullptr) tell_of(*before, *after);
  for (const auto* node : {before, after}) {
    if (node == nullptr) continue;
    for (const std::string& other : tunnels_.claimants(*node)) mark(Task::Node, other);
  }
  if (after != nullptr) {
    tunnels_.claim(*after);
  } else {
    tunnels_.remove(name);
  }
  mark(Task::Node, name);
  const api::Node* node = lookup(world_.nodes, name);
  if (node_phase(node, before, options_.tunnel) != node_phase(node, after, options_.tunnel))
    mark_gateways_of(name);
}

// The agent's words become Events: agents write none themselves.
void ControllerCore::tell_of(const api::EgressNode& before, const api::EgressNode& after) {
  for (const char* type : {kEipsUnique, kPortsAvailable}) {
    const auto* was = api::find_condition(before.status.conditions, type);
    const auto* is = api::find_condition(after.status.conditions, type);
    if (is == nullptr || is->status != "False") continue;
    if (was != nullptr && was->status == "False" && was->message == is->message) continue;
    actions_.emplace_back(
        Notice{{api::kApiVersion, "EgressNode", after.meta.name, "", after.meta.uid},
               true,
               is->reason,
               is->message});
  }
}

void ControllerCore::changed(const std::string& name, const api::EgressGateway* before,
                             const api::EgressGateway* after) {
  const bool same_spec = before != nullptr && after != nullptr && before->spec == after->spec &&
                         before->meta.uid == after->meta.uid &&
                         before->meta.deleting == after->meta.deleting;
  mark(Task::Gateway, name);
  for (const std::string& other : hindered_) mark(Task::Gateway, other);
  mark_entries(name, before == nullptr ? nullptr : &before->status,
               after == nullptr ? nullptr : &after->status);
  account(name);
  if (after != nullptr && after->status.term > term_) {
    actions_.emplace_back(Resign{
        after->status.term, fmt::format("gateway {} was written by a leader of term {}, mine is {}",
                                        name, after->status.term, term_)});
    leading_ = false;
    deactivate();
    return;
  }
  if (same_spec) return;
  mark(Task::Addresses);
  for (const api::PolicyKey& key : world_.policies_of(name)) mark(Task::Verdict, key);
  for (const api::PolicyKey& key : world_.policies_of("")) mark(Task::Verdict, key);
  if (before == nullptr || after == nullptr || before->meta.uid != after->meta.uid) {
    mark(Task::ClusterInfo);
  }
  if (before == nullptr || after == nullptr ||
      before->spec.node_selector != after->spec.node_selector) {
    // Their label says whether they are a gateway's.
    for (const auto& [node, object] : world_.nodes) mark(Task::Node, node);
  }
}

// Policies whose EIP stands elsewhere now, or has come or gone.
void ControllerCore::mark_entries(const std::string& gateway,
                                  const api::EgressGatewayStatus* before,
                                  const api::EgressGatewayStatus* after) {
  const auto allocations = allocations_.find(gateway);
  if (allocations == allocations_.end()) return;
  using Place = std::tuple<std::string, std::string, std::string>;
  const auto places = [](const api::EgressGatewayStatus* status) {
    std::map<std::int32_t, Place> out;
    if (status == nullptr) return out;
    for (const auto& node : status->node_list) {
      for (const auto& e : node.eips) out[e.id] = {node.name, e.ipv4, e.ipv6};
    }
    for (const auto& e : status->unplaced) out[e.id] = {"", e.ipv4, e.ipv6};
    return out;
  };
  const auto old_places = places(before), new_places = places(after);
  for (const auto& [key, allocation] : allocations->second) {
    const auto* a = lookup(old_places, allocation.id);
    const auto* b = lookup(new_places, allocation.id);
    if ((a == nullptr) != (b == nullptr) || (a != nullptr && *a != *b)) mark(Task::Status, key);
  }
}

void ControllerCore::changed(const api::PolicyKey& key, const api::EgressPolicy* before,
                             const api::EgressPolicy* after) {
  const bool same_object =
      before != nullptr && after != nullptr && before->meta.uid == after->meta.uid &&
      before->meta.deleting == after->meta.deleting && before->spec == after->spec;
  mark(Task::Status, key);
  if (!same_object || before->status.eip_id != after->status.eip_id) {
    mark(Task::Verdict, key);
    for (const auto* policy : {before, after}) {
      if (policy != nullptr) mark(Task::Gateway, policy->spec.gateway);
    }
  }
  const auto enforced = [](const api::EgressPolicy* policy) {
    if (policy == nullptr) return false;
    const auto* c = api::find_condition(policy->status.conditions, kEnforced);
    return c != nullptr && c->status == "True";
  };
  if (!same_object) {
    selection_->policy_changed(key);
    mark_selected();
  }
  if (!same_object || enforced(before) != enforced(after)) mark(Task::Slices, key);
}

void ControllerCore::slice_changed(const api::NamespacedName& name,
                                   const std::optional<api::PolicyKey>& old_owner) {
  const SliceRecord* slice = lookup(world_.slices, name);
  const auto owner = slice == nullptr ? std::nullopt : owner_of(slice->meta);
  if (old_owner) selection_->slice_changed(*old_owner, name);
  if (owner && owner != old_owner) selection_->slice_changed(*owner, name);
  mark_selected();
}

void ControllerCore::changed(const api::EgressClusterInfo* before,
                             const api::EgressClusterInfo* after) {
  mark(Task::ClusterInfo);
  mark(Task::Addresses);
  if (after != nullptr && !after->status.id_blocks.empty()) known_blocks_ = after->status.id_blocks;
  const auto ids_left = [](const api::EgressClusterInfo& info) {
    return is_true(info.status.conditions, kIdsAvailable);
  };
  const bool same_ids = before != nullptr && after != nullptr &&
                        before->status.id_blocks == after->status.id_blocks &&
                        ids_left(*before) == ids_left(*after);
  if (same_ids) return;
  for (const auto& [name, gateway] : world_.gateways) mark(Task::Gateway, name);
}

void ControllerCore::changed(const std::string& name, const api::Namespace* before,
                             const api::Namespace* after) {
  const bool same_labels =
      before != nullptr && after != nullptr && before->meta.labels == after->meta.labels;
  if (same_labels && before->meta.annotations == after->meta.annotations) return;
  for (const api::PolicyKey& key : world_.policies_in(name)) mark(Task::Verdict, key);
  if (same_labels) return;
  selection_->namespace_changed(name);
  mark_selected();
}

void ControllerCore::mark_selected() {
  for (const api::PolicyKey& key : selection_->take_touched()) mark(Task::Slices, key);
  // For people, and each may concern many policies: not at once.
  for (const api::PolicyKey& key : selection_->take_met()) {
    schedule({Task::Status, key}, now_.steady + options_.cosmetic_interval);
  }
}

} // namespace egw::egress
