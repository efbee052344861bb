// SPDX-License-Identifier: Apache-2.0
// Gateways and policies: planning, and the difference to what the API server holds as writes.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "egress/cluster_info.hpp"
#include "egress/controller_core.hpp"
#include "egress/ids.hpp"
#include "egress/lookup.hpp"

namespace egw::egress {

namespace {

api::ObjectReference reference(const char* kind, const api::ObjectMeta& meta) {
  return {api::kApiVersion, kind, meta.name, meta.namespace_, meta.uid};
}

std::vector<Notice> gateway_notices(const api::EgressGateway& gateway, const GatewayPlan& plan,
                                    const std::map<std::string, api::NodePhase>& phases) {
  std::vector<Notice> notices;
  const auto about = reference("EgressGateway", gateway.meta);
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> moves;
  for (const Move& move : plan.moves) moves[{move.from, move.to}].push_back(move.eip);
  for (const auto& [way, eips] : moves) {
    const auto& [from, to] = way;
    std::string what = eips.front();
    if (eips.size() > 1) what += fmt::format(" and {} more EIPs", eips.size() - 1);
    const auto phase = phases.find(from);
    const std::string why = phase == phases.end()
                                ? "is no node of the gateway any more"
                                : fmt::format("is {}", api::to_string(phase->second));
    if (from.empty()) {
      notices.push_back({about, false, "EIPPlaced", fmt::format("{}: on node {} now", what, to)});
    } else if (to.empty()) {
      notices.push_back({about, true, "EIPUnplaced",
                         fmt::format("{}: node {} {}, no other is ready", what, from, why)});
    } else {
      notices.push_back({about, false, "EIPMoved",
                         fmt::format("{}: from node {}, which {}, to {}", what, from, why, to)});
    }
  }
  for (const char* type : {kAccepted, kReady}) {
    const auto* bad = fell(gateway.status.conditions, plan.status.conditions, type);
    if (bad != nullptr) notices.push_back({about, true, bad->reason, bad->message});
  }
  return notices;
}

std::vector<Notice> policy_notices(const api::EgressPolicy& policy,
                                   const api::PolicyStatus& status) {
  std::vector<Notice> notices;
  const auto about = reference(api::to_string(policy.kind), policy.meta);
  const auto& before = policy.status.conditions;
  if (const auto* refused = fell(before, status.conditions, kAccepted)) {
    notices.push_back({about, true, "PolicyRefused", refused->reason + ": " + refused->message});
  } else if (const auto* missing = fell(before, status.conditions, kAllocated)) {
    notices.push_back({about, true, missing->reason, missing->message});
  } else if (is_true(status.conditions, kAllocated) && !is_true(before, kAllocated)) {
    const char* sep = status.eip_ipv4.empty() || status.eip_ipv6.empty() ? "" : " and ";
    notices.push_back({about, false, "Allocated",
                       fmt::format("EIP {}{}{}", status.eip_ipv4, sep, status.eip_ipv6)});
  }
  return notices;
}

} // namespace

api::NodePhase ControllerCore::phase_of(const std::string& node) const {
  return node_phase(lookup(world_.nodes, node), lookup(world_.egress_nodes, node), options_.tunnel);
}

void ControllerCore::check_addresses() {
  if (!world_.knows({Kind::Node, Kind::Gateway, Kind::ClusterInfo})) return;
  const auto* info = lookup(world_.cluster_infos, std::string(kClusterInfoName));
  const IntervalSet inside = cluster_addresses(
      info != nullptr ? info->status : api::EgressClusterInfoStatus{}, detection_.sources(world_));

  IntervalSet tunnel;
  tunnel.add(options_.tunnel.v4);
  tunnel.add(options_.tunnel.v6);
  if (const auto overlap = inside.first_overlap(tunnel); overlap != overlap_) {
    overlap_ = overlap;
    for (const auto& [name, node] : world_.nodes) mark(Task::Node, name);
  }

  auto refused = refuse_gateways(world_.gateways, {inside, options_.tunnel, options_.families});
  std::swap(refused, refused_gateways_);
  const auto* by_default = cluster_default(world_.gateways);
  const std::string default_name = by_default != nullptr ? by_default->meta.name : "";
  const bool other_default = std::exchange(default_gateway_, default_name) != default_name;
  for (const auto& [name, gateway] : world_.gateways) {
    const auto *before = lookup(refused, name), *after = lookup(refused_gateways_, name);
    const bool same = before == nullptr ? after == nullptr : after != nullptr && *before == *after;
    if (!same || (other_default && gateway.spec.cluster_default)) mark(Task::Gateway, name);
    if (same) continue;
    for (const api::PolicyKey& key : world_.policies_of(name)) mark(Task::Verdict, key);
  }
  // A namespace's default may be any gateway.
  for (const api::PolicyKey& key : world_.policies_of("")) mark(Task::Verdict, key);
}

void ControllerCore::judge_policy(const api::PolicyKey& key) {
  const api::EgressPolicy* policy = lookup(world_.policies, key);
  const auto known = verdicts_.find(key);
  if (policy == nullptr) {
    if (known != verdicts_.end()) {
      mark(Task::Gateway, known->second.gateway);
      verdicts_.erase(known);
    }
    mark(Task::Slices, key);
    return;
  }
  if (!world_.knows(Kind::Gateway) || (!key.namespace_.empty() && !world_.knows(Kind::Namespace)))
    return;
  if (world_.unreadable({Kind::Gateway, "", policy->spec.gateway}))
    return; // nothing is known of it
  ++counters_.verdicts;
  const Verdict verdict =
      judge({policy, lookup(world_.namespaces, key.namespace_), &world_.gateways,
             lookup(world_.gateways, default_gateway_), &refused_gateways_});
  mark(Task::Status, key);
  if (known != verdicts_.end() && known->second == verdict) return;
  if (known != verdicts_.end()) mark(Task::Gateway, known->second.gateway);
  mark(Task::Gateway, verdict.gateway);
  mark(Task::Slices, key);
  verdicts_[key] = verdict;
}

// --- gateways ------------------------------------------------------------------------------------

GatewayInput ControllerCore::gateway_input(const api::EgressGateway& gateway) {
  GatewayInput in;
  const std::string& name = gateway.meta.name;
  in.gateway = &gateway;
  for (const std::string& node : world_.nodes_of(name)) {
    const api::Node& object = world_.nodes.at(node);
    in.nodes.push_back(
        {node, phase_of(node), object.unschedulable, ledger_.eips_elsewhere(node, name)});
  }
  for (const api::PolicyKey& key : world_.policies_of(name)) {
    const Verdict* verdict = lookup(verdicts_, key);
    if (verdict != nullptr && verdict->accepted) in.policies.push_back(&world_.policies.at(key));
  }

  in.given = lookup(allocations_, name);

  const auto& ids = ledger_.ids(name);
  std::set<std::int32_t> unowned;
  for (const std::int32_t id : ids) unowned.insert(block_of(id));
  for (const auto& block : known_blocks_) {
    unowned.erase(block.first);
    if (block.gateway_uid == gateway.meta.uid) {
      if (block.resting_until == WallTime{}) in.blocks.push_back(block.first);
      continue;
    }
    for (auto id = ids.lower_bound(block.first);
         id != ids.end() && *id < block.first + api::kIdBlockSize; ++id) {
      in.foreign_ids.insert(*id);
    }
  }
  if (!unowned.empty()) mark(Task::ClusterInfo);

  if (const auto pools = api::parse_pools(gateway.spec)) {
    for (const Range& range : pools->addresses.ranges()) {
      const auto& holders = ledger_.holders();
      for (auto at = holders.lower_bound(range.first);
           at != holders.end() && at->first <= range.last; ++at) {
        if (at->second.size() > at->second.count(name)) in.taken.insert(at->first);
      }
    }
  }
  const auto check_lost = [&](const api::EipEntry& entry) {
    for (const std::string* text : {&entry.ipv4, &entry.ipv6}) {
      const auto address = Address::parse(*text);
      if (!address) continue;
      const auto* holders = lookup(ledger_.holders(), *address);
      if (holders == nullptr) continue;
      for (const std::string& other : *holders) {
        const auto* holder = other == name ? nullptr : lookup(world_.gateways, other);
        if (holder != nullptr && older(holder->meta, gateway.meta)) in.lost.insert(*address);
      }
    }
  };
  for (const auto& node : gateway.status.node_list) {
    for (const auto& entry : node.eips) check_lost(entry);
  }
  for (const auto& entry : gateway.status.unplaced) check_lost(entry);

  if (const Refusal* refusal = lookup(refused_gateways_, name)) in.refusal = *refusal;
  if (default_gateway_ != name) in.other_default = default_gateway_;
  in.keep_unused =
      world_.any_policy_unreadable() ||
      !world_.knows({Kind::Namespace, Kind::GatewayPolicy, Kind::Policy, Kind::ClusterPolicy});
  const auto* info = lookup(world_.cluster_infos, std::string(kClusterInfoName));
  const auto* ids_left =
      info == nullptr ? nullptr : api::find_condition(info->status.conditions, kIdsAvailable);
  in.ids_exhausted = ids_left != nullptr && ids_left->status == "False";
  in.term = term_;
  in.now = now_.wall;
  in.rest_clock = rest_clock();
  return in;
}

void ControllerCore::reconcile_gateway(const std::string& name) {
  const api::EgressGateway* gateway = lookup(world_.gateways, name);
  if (gateway == nullptr) {
    allocations_.erase(name);
    want_blocks_.erase(name);
    hindered_.erase(name);
    cosmetic_after_.erase(name);
    return;
  }
  // Without gateways no policy is judged, and all would seem to be without users.
  if (!world_.knows({Kind::Node, Kind::EgressNode, Kind::ClusterInfo, Kind::Gateway})) return;
  if (world_.unreadable({Kind::Gateway, "", name})) return;
  if (blocked({Kind::Gateway, "", name}, {Task::Gateway, {{}, {}, name}})) return;
  ++counters_.gateways;
  const GatewayInput input = gateway_input(*gateway);
  const GatewayPlan plan = plan_gateway(input);
  if (input.taken.empty() && input.lost.empty()) {
    hindered_.erase(name);
  } else {
    hindered_.insert(name);
  }

  // The first one in advance.
  const std::int32_t in_advance = input.blocks.empty() && !input.refusal ? 1 : 0;
  const std::int32_t wants = std::max(plan.wants_blocks, in_advance);
  if (std::exchange(want_blocks_[name], wants) != wants) mark(Task::ClusterInfo);

  auto& allocations = allocations_[name];
  for (const auto& [key, allocation] : plan.allocations) {
    const Allocation* before = lookup(allocations, key);
    if (before == nullptr || *before != allocation) mark(Task::Status, key);
  }
  allocations = plan.allocations;
  if (plan.status == gateway->status) return account(name);
  write_gateway(*gateway, plan);
}

void ControllerCore::write_gateway(const api::EgressGateway& gateway, const GatewayPlan& plan) {
  const std::string& name = gateway.meta.name;
  const Work work{Task::Gateway, {{}, {}, name}};
  if (plan.cosmetic) {
    Time& after = cosmetic_after_[name];
    if (after > now_.steady) return schedule(work, after);
    after = now_.steady + options_.cosmetic_interval;
  }
  std::map<std::string, api::NodePhase> phases;
  for (const std::string& node : world_.nodes_of(name)) phases.emplace(node, phase_of(node));
  api::EgressGateway wanted = gateway;
  wanted.status = plan.status;
  submit({WriteVerb::UpdateStatus, std::move(wanted), !plan.moves.empty()}, work,
         gateway_notices(gateway, plan, phases));
  account(name);
}

// Enters a gateway into the ledger: what it holds, what is being written, and what may have been.
void ControllerCore::account(const std::string& name) {
  const api::EgressGateway* gateway = lookup(world_.gateways, name);
  if (gateway == nullptr) {
    uncertain_.erase(name);
    return ledger_.remove(name);
  }
  std::vector<const api::EgressGatewayStatus*> possible;
  if (const auto at = uncertain_.find(name); at != uncertain_.end()) {
    std::erase_if(at->second, [&](const api::EgressGateway& written) {
      return written.meta.resource_version != gateway->meta.resource_version;
    });
    for (const auto& written : at->second) possible.push_back(&written.status);
    if (at->second.empty()) uncertain_.erase(at);
  }
  const auto* pending = lookup(writes_, ObjectKey{Kind::Gateway, "", name});
  if (pending == nullptr || !pending->in_flight) {
    return ledger_.replace(name, gateway->status, possible);
  }
  possible.push_back(&gateway->status);
  ledger_.replace(name, std::get<api::EgressGateway>(pending->sent.object).status, possible);
}

// --- policies ------------------------------------------------------------------------------------

// What a gateway's status is, or will be with the write under way, where the last one did not fail:
// one that fails again and again may be that of a leader who is none any more. nullptr: there is no
// such gateway.
const api::EgressGatewayStatus* ControllerCore::status_under_way(const std::string& name) const {
  const api::EgressGateway* gateway = lookup(world_.gateways, name);
  if (gateway == nullptr) return nullptr;
  const auto* pending = lookup(writes_, ObjectKey{Kind::Gateway, "", name});
  const bool sure = pending == nullptr || !pending->in_flight || pending->failures > 0;
  return sure ? &gateway->status : &std::get<api::EgressGateway>(pending->sent.object).status;
}

// One policy may come before thousands: what is said of that alone waits for its turn, so that it
// does not keep other statuses from being written.
bool ControllerCore::may_tell_overlap(const Work& work, const api::EgressPolicy& policy,
                                      const api::PolicyStatus& status) {
  if (!same_but_overlap(status, policy.status)) return true;
  const auto [turn, fresh] = overlap_turns_.try_emplace(work.key);
  if (fresh) {
    turn->second = std::max(next_overlap_turn_, now_.steady);
    next_overlap_turn_ = turn->second + options_.overlap_interval;
  }
  if (turn->second > now_.steady) {
    schedule(work, turn->second);
    return false;
  }
  overlap_turns_.erase(turn);
  return true;
}

// A block of ids comes within milliseconds: that a policy waits for it is told when it takes
// longer. A thousand statuses that say so would stand in the way of what gives the ids out.
bool ControllerCore::may_tell_waiting(const Work& work, const Allocation* allocation) {
  if (allocation == nullptr || allocation->id != 0 || allocation->refusal.reason != kWaitingForId) {
    waiting_until_.erase(work.key);
    return true;
  }
  const auto [until, fresh] =
      waiting_until_.try_emplace(work.key, now_.steady + options_.id_patience);
  if (until->second <= now_.steady) return true;
  schedule(work, until->second);
  return false;
}

void ControllerCore::reconcile_policy(const api::PolicyKey& key) {
  const api::EgressPolicy* policy = lookup(world_.policies, key);
  const Verdict* verdict = lookup(verdicts_, key);
  if (policy == nullptr) overlap_turns_.erase(key), waiting_until_.erase(key);
  if (policy == nullptr || verdict == nullptr) return;
  if (world_.unreadable({Kind::Gateway, "", policy->spec.gateway})) return;
  const Work work{Task::Status, key};
  if (blocked(key_of(key), work)) return;
  ++counters_.statuses;
  if (verdict->accepted && verdict->fill) {
    api::EgressPolicy filled = *policy;
    filled.spec.gateway = verdict->gateway;
    return submit({WriteVerb::FillGateway, std::move(filled), false}, work);
  }

  const Allocation* allocation = nullptr;
  std::string node;
  if (verdict->accepted) {
    const auto* of_gateway = lookup(allocations_, verdict->gateway);
    allocation = of_gateway == nullptr ? nullptr : lookup(*of_gateway, key);
    if (allocation == nullptr) return; // the gateway's plan marks it
    if (allocation->id != 0) {
      // Told when the gateway's status holds it, or will when the write under way is done: agents
      // serve an EIP only where both say the same, and both arrive sooner.
      const auto* status = status_under_way(verdict->gateway);
      const auto placed = status != nullptr ? find_entry(*status, allocation->id) : Placed{};
      if (placed.entry == nullptr || placed.entry->ipv4 != allocation->ipv4 ||
          placed.entry->ipv6 != allocation->ipv6) {
        return;
      }
      node = placed.node;
    }
  }
  if (!may_tell_waiting(work, allocation)) return;
  const api::EgressGateway* gateway = lookup(world_.gateways, verdict->gateway);
  api::PolicyStatus status =
      plan_policy_status({policy, verdict, gateway == nullptr ? nullptr : &gateway->spec,
                          allocation, node, selection_->ahead_of(key), now_.wall});
  if (status == policy->status || !may_tell_overlap(work, *policy, status)) return;
  auto notices = policy_notices(*policy, status);
  api::EgressPolicy wanted = *policy;
  wanted.status = std::move(status);
  submit({WriteVerb::UpdateStatus, std::move(wanted), false}, work, std::move(notices));
}

} // namespace egw::egress
