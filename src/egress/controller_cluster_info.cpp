// SPDX-License-Identifier: Apache-2.0
// EgressClusterInfo: what was found out about the cluster, and which gateway gives out which ids.
#include <algorithm>
#include <utility>

#include "egress/cluster_info.hpp"
#include "egress/controller_core.hpp"
#include "egress/ids.hpp"
#include "egress/lookup.hpp"

namespace egw::egress {

void ControllerCore::handle(ServiceRangesTold&& event) {
  detection_.told(std::move(event), now_.steady);
  info_pace_ = {}; // rare, and waited for
  mark(Task::ClusterInfo);
  mark(Task::Addresses);
}

// Somebody waits for a block: the first that has rested is given out, which no event tells.
void ControllerCore::schedule_end_of_rest(const std::vector<api::IdBlock>& blocks) {
  std::optional<WallTime> first;
  const WallTime now = rest_clock();
  for (const api::IdBlock& block : blocks) {
    if (block.resting_until <= now) continue;
    if (!first || block.resting_until < *first) first = block.resting_until;
  }
  if (first) schedule({Task::ClusterInfo, {}}, now_.steady + (*first - now));
}

// Id blocks, and the condition about them.
void ControllerCore::plan_ids(const api::EgressClusterInfo& info,
                              api::EgressClusterInfoStatus& status) {
  std::vector<IdUser> users;
  users.reserve(world_.gateways.size());
  for (const auto& [gateway_name, gateway] : world_.gateways) {
    const std::int32_t* wants = lookup(want_blocks_, gateway_name);
    users.push_back({gateway_name, gateway.meta.uid, gateway.meta.created,
                     ledger_.ids(gateway_name), wants == nullptr ? 0 : *wants});
  }
  // A new object, after the old one was deleted, takes over what was known.
  const auto& blocks = info.status.id_blocks.empty() ? known_blocks_ : info.status.id_blocks;
  const BlockPlan plan =
      plan_blocks(blocks, std::move(users), world_.unreadable_gateways(), rest_clock());
  status.id_blocks = plan.blocks;
  if (plan.exhausted) schedule_end_of_rest(plan.blocks);
  api::set_condition(
      status.conditions,
      plan.exhausted
          ? api::make_condition(kIdsAvailable, false, "Exhausted",
                                "all EIP ids are given out: delete a gateway that is not used, its "
                                "ids are free five minutes later",
                                info.meta.generation)
          : api::make_condition(kIdsAvailable, true, "Available", "", info.meta.generation),
      now_.wall);
}

namespace {

std::vector<Notice> notices_of(const api::EgressClusterInfo& info,
                               const api::EgressClusterInfoStatus& status) {
  std::vector<Notice> notices;
  for (const char* type : {kDetected, kPodCidr, kServiceCidr}) {
    const auto* bad = fell(info.status.conditions, status.conditions, type);
    if (bad == nullptr || bad->reason == kOthersSay) continue;
    notices.push_back({{api::kApiVersion, "EgressClusterInfo", info.meta.name, "", info.meta.uid},
                       true,
                       bad->reason,
                       bad->message});
  }
  return notices;
}

} // namespace

void ControllerCore::reconcile_cluster_info() {
  const Work work{Task::ClusterInfo, {}};
  const std::string name = kClusterInfoName;
  const ObjectKey key{Kind::ClusterInfo, "", name};
  info_waits_ = false;
  if (!world_.knows({Kind::ClusterInfo, Kind::Gateway})) return;
  if (world_.unreadable(key) || blocked(key, work)) return;
  const api::EgressClusterInfo* info = lookup(world_.cluster_infos, name);
  if (info == nullptr) return submit({WriteVerb::Create, default_cluster_info(), false}, work);
  if (info->meta.deleting) return;

  api::EgressClusterInfo wanted = *info;
  plan_ids(*info, wanted.status);
  // Every agent reads each version of this object, which is the larger the more nodes there are.
  // Ids that a gateway needs, and what people ask for, do not wait.
  const auto* detected = api::find_condition(info->status.conditions, kDetected);
  const bool asked_for =
      detected == nullptr || detected->observed_generation != info->meta.generation;
  const Duration interval =
      options_.info_interval +
      options_.info_interval_per_node * static_cast<std::int64_t>(world_.nodes.size());
  const Time next = info_pace_ - interval * (options_.info_burst - 1);
  info_waits_ = wanted.status == info->status && !asked_for && next > now_.steady;
  if (info_waits_) return schedule(work, next);
  ++counters_.infos;
  if (detection_.ask(world_, *info, now_.steady)) actions_.emplace_back(AskServiceRanges{});
  if (const auto again = detection_.next_ask()) schedule(work, *again);
  wanted.status = detection_.detect(world_, wanted, now_.wall);
  if (wanted.status == info->status) return;
  info_pace_ = std::min(std::max(info_pace_, now_.steady) + interval,
                        now_.steady + interval * options_.info_burst);
  auto notices = notices_of(*info, wanted.status);
  submit({WriteVerb::UpdateStatus, std::move(wanted), false}, work, std::move(notices));
}

} // namespace egw::egress
