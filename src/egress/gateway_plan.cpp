// SPDX-License-Identifier: Apache-2.0
#include "egress/gateway_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <tuple>

#include "base/chrono.hpp"
#include "egress/gateway_conditions.hpp"
#include "egress/ids.hpp"
#include "egress/lookup.hpp"
#include "egress/placement.hpp"
#include "egress/policy.hpp"

namespace egw::egress {

namespace {

struct Held {
  api::EipEntry entry;
  std::string from; // node it stood on; empty: unplaced or new
  std::string node; // node it stands on; empty: unplaced
  bool existed = true;
  std::vector<api::PolicyKey> users;
};

std::string describe(const api::EipEntry& entry) {
  if (entry.ipv4.empty()) return entry.ipv6.empty() ? fmt::format("#{}", entry.id) : entry.ipv6;
  return entry.ipv6.empty() ? entry.ipv4 : entry.ipv4 + " and " + entry.ipv6;
}

std::vector<Address> addresses_of(const api::EipEntry& entry) {
  std::vector<Address> out;
  for (const std::string* text : {&entry.ipv4, &entry.ipv6}) {
    if (const auto address = Address::parse(*text)) out.push_back(*address);
  }
  return out;
}

std::int64_t saturate(std::uint64_t n) {
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  return n > static_cast<std::uint64_t>(kMax) ? kMax : static_cast<std::int64_t>(n);
}

class Planner {
 public:
  explicit Planner(const GatewayInput& in) : in_(in), gateway_(*in.gateway) {}

  GatewayPlan run() {
    adopt();
    keep_users();
    give_again();
    release();
    allocate();
    place();
    publish();
    return std::move(plan_);
  }

 private:
  // What the status holds, without what can't be: an id or an address twice, an address that an
  // older gateway holds. The first stays; the order is that of the ids.
  void adopt() {
    std::vector<Held> found;
    for (const auto& node : gateway_.status.node_list) {
      for (const auto& entry : node.eips) found.push_back({entry, node.name, node.name, true, {}});
    }
    for (const auto& entry : gateway_.status.unplaced) found.push_back({entry, "", "", true, {}});
    std::stable_sort(found.begin(), found.end(),
                     [](const Held& a, const Held& b) { return a.entry.id < b.entry.id; });
    for (const auto& resting : gateway_.status.resting_ids) {
      resting_.emplace(resting.id, resting.until);
    }
    std::set<Address> seen;
    for (Held& held : found) {
      const auto addresses = addresses_of(held.entry);
      const bool clash = std::any_of(addresses.begin(), addresses.end(), [&](const Address& a) {
        return seen.contains(a) || in_.lost.contains(a);
      });
      const std::int32_t id = held.entry.id;
      if (clash || id < 1 || id > api::kMaxEipId || held_.contains(id) ||
          in_.foreign_ids.contains(id)) {
        displaced_.push_back(std::move(held));
        continue;
      }
      seen.insert(addresses.begin(), addresses.end());
      held_.emplace(id, std::move(held));
    }
  }

  // The EIP that a policy was given last. Its status may not say so yet.
  api::EipEntry given(const api::EgressPolicy& policy) const {
    const auto* known = in_.given == nullptr ? nullptr : lookup(*in_.given, policy.key());
    if (known != nullptr && known->id != 0) return {known->id, known->ipv4, known->ipv6, {}};
    return {policy.status.eip_id, policy.status.eip_ipv4, policy.status.eip_ipv6, {}};
  }

  bool keep_user(const api::EgressPolicy& policy) {
    const auto at = held_.find(given(policy).id);
    if (at == held_.end() || !fits(policy.spec, at->second.entry)) return false;
    at->second.users.push_back(policy.key());
    return true;
  }

  void keep_users() {
    for (const api::EgressPolicy* policy : in_.policies) {
      if (!keep_user(*policy)) waiting_.push_back(policy);
    }
    std::sort(waiting_.begin(), waiting_.end(), [](const auto* a, const auto* b) {
      return std::make_tuple(a->meta.created, a->key()) <
             std::make_tuple(b->meta.created, b->key());
    });
  }

  // An EIP that was given to a policy, but is not held: the write of it failed. Nobody else gets
  // it.
  void give_again() {
    PoolState state = pool_state();
    std::erase_if(waiting_, [&](const api::EgressPolicy* policy) {
      if (keep_user(*policy)) return true; // another policy of the same EIP came before
      const api::EipEntry entry = given(*policy);
      if (!may_give_again(*policy, entry, state)) return false;
      held_[entry.id] = {entry, "", "", false, {policy->key()}};
      state.hold(entry, 1);
      return true;
    });
  }

  bool may_give_again(const api::EgressPolicy& policy, const api::EipEntry& entry,
                      const PoolState& state) const {
    const auto resting = resting_.find(entry.id);
    if (in_.refusal || entry.id < 1 || held_.size() >= kMaxEips || held_.contains(entry.id) ||
        in_.foreign_ids.contains(entry.id) ||
        std::ranges::find(in_.blocks, block_of(entry.id)) == in_.blocks.end() ||
        (resting != resting_.end() && resting->second > in_.rest_clock)) {
      return false;
    }
    return fits(policy.spec, entry) &&
           std::ranges::all_of(addresses_of(entry), [&](const Address& a) {
             return state.pools.addresses.contains(a) && !state.held.contains(a) &&
                    !state.taken.contains(a);
           });
  }

  void rest(std::int32_t id) {
    resting_[id] = std::chrono::floor<std::chrono::seconds>(in_.rest_clock) + kIdRest;
  }

  // Entries that no policy uses, unless one is waiting for exactly that: the write of its status
  // may have been lost with an earlier leader. Who names an EIP comes before those who take any.
  void release() {
    PoolState state = pool_state();
    for (const bool named : {true, false}) {
      for (const api::EgressPolicy* policy : waiting_) {
        const auto& spec = policy->spec;
        const bool takes_any =
            spec.use_node_ip || spec.allocator == api::AllocatorPolicy::RoundRobin;
        if (takes_any == named) continue;
        const auto choice = choose_eip(spec, state);
        const auto* shared = std::get_if<SharedEip>(&choice);
        if (shared == nullptr) continue;
        HeldEip& eip = state.eips.at(shared->id);
        if (!takes_any || eip.users == 0) wanted_.insert(shared->id);
        ++eip.users;
      }
    }
    for (auto at = held_.begin(); at != held_.end();) {
      const bool keep = in_.keep_unused || !at->second.users.empty() || wanted_.contains(at->first);
      if (!keep) rest(at->first);
      at = keep ? std::next(at) : held_.erase(at);
    }
    for (const Held& held : displaced_) {
      // An id that another entry or gateway still uses is not ours to rest.
      const std::int32_t id = held.entry.id;
      if (id >= 1 && id <= api::kMaxEipId && !held_.contains(id) && !in_.foreign_ids.contains(id)) {
        rest(id);
      }
    }
  }

  PoolState pool_state() const {
    PoolState state;
    if (!in_.refusal) {
      if (auto pools = api::parse_pools(gateway_.spec)) state.pools = *std::move(pools);
    }
    for (const auto& [id, held] : held_) {
      // One that nobody is seen to use may be that of a policy that can't be read.
      state.hold(held.entry, held.users.size() + (in_.keep_unused ? 1 : 0));
    }
    state.taken = in_.taken;
    state.nodes = static_cast<std::size_t>(
        std::ranges::count_if(in_.nodes, [](const auto& n) { return n.ready() && !n.cordoned; }));
    return state;
  }

  void allocate() {
    PoolState state = pool_state();
    complete_pairs(state);
    for (const api::EgressPolicy* policy : waiting_) {
      if (auto refusal = allocate(*policy, state)) {
        plan_.allocations[policy->key()] = {0, "", "", *std::move(refusal)};
      }
    }
    plan_.wants_blocks = (api::kIdBlockSize - 1 - without_id_) / api::kIdBlockSize;
  }

  // A gateway that got a pool of the other family gives its EIPs an address of it.
  void complete_pairs(PoolState& state) {
    for (auto& [id, held] : held_) {
      for (const Family family : {Family::V4, Family::V6}) {
        const auto address = complete_pair(held.entry, family, state);
        if (!address) continue;
        (family == Family::V4 ? held.entry.ipv4 : held.entry.ipv6) = address->to_string();
        state.hold(held.entry, state.eips.at(id).users);
      }
    }
  }

  std::optional<Refusal> allocate(const api::EgressPolicy& policy, PoolState& state) {
    if (in_.refusal) return in_.refusal;
    const EipChoice choice = choose_eip(policy.spec, state);
    if (const auto* refusal = std::get_if<Refusal>(&choice)) return *refusal;
    if (const auto* shared = std::get_if<SharedEip>(&choice)) {
      ++state.eips.at(shared->id).users;
      if (shared->id < 0) return waits_for_id();
      held_.at(shared->id).users.push_back(policy.key());
      return std::nullopt;
    }
    if (state.eips.size() >= kMaxEips) {
      return Refusal{"GatewayFull",
                     fmt::format("gateway {} has {} EIPs, the most that one can have: "
                                 "make another gateway for further ones",
                                 gateway_.meta.name, kMaxEips)};
    }
    const auto& fresh = std::get<NewEip>(choice);
    const auto id = next_id();
    state.hold({id ? *id : --without_id_, fresh.ipv4, fresh.ipv6, {}}, 1);
    if (!id) return waits_for_id();
    held_[*id] = {{*id, fresh.ipv4, fresh.ipv6, {}}, "", "", false, {policy.key()}};
    return std::nullopt;
  }

  Refusal waits_for_id() const {
    if (in_.ids_exhausted) {
      return {"IdsExhausted",
              "all EIP ids of the cluster are given out: delete policies with an EIP of their "
              "own, or gateways that are not used"};
    }
    return {kWaitingForId, "the gateway is waiting for a block of EIP ids"};
  }

  std::optional<std::int32_t> next_id() {
    if (!free_ids_) {
      std::set<std::int32_t> taken = in_.foreign_ids;
      for (const auto& [id, held] : held_) taken.insert(id);
      for (const auto& [id, until] : resting_) {
        if (until > in_.rest_clock) taken.insert(id);
      }
      free_ids_ = egress::free_ids(in_.blocks, taken);
    }
    if (free_ids_->empty()) return std::nullopt;
    const std::int32_t id = free_ids_->front();
    free_ids_->pop_front();
    return id;
  }

  void place() {
    std::vector<Candidate> targets;
    std::map<std::string, std::optional<std::size_t>>
        ready; // those that may get more: their target
    for (const GatewayNode& node : in_.nodes) {
      if (!node.ready()) continue;
      auto& target = ready[node.name];
      if (node.cordoned) continue;
      target = targets.size();
      targets.push_back({node.name, 0, node.eips_elsewhere});
    }
    any_ready_ = !ready.empty();
    const auto count = [&](std::size_t target) {
      ++targets[target].eips_here;
      ++targets[target].eips_all;
    };
    std::vector<Held*> homeless;
    for (auto& [id, held] : held_) {
      const auto at = ready.find(held.node);
      if (at == ready.end()) {
        homeless.push_back(&held);
      } else if (at->second) {
        count(*at->second);
      }
    }
    for (Held* held : homeless) {
      const auto chosen = choose_node(gateway_.spec.placement, gateway_.spec.limit, targets);
      held->node = chosen ? targets[*chosen].node : "";
      if (chosen) count(*chosen);
    }
    for (const auto& [id, held] : held_) {
      if (held.existed && held.from != held.node) {
        plan_.moves.push_back({describe(held.entry), held.from, held.node});
      }
    }
  }

  void publish() {
    api::EgressGatewayStatus& status = plan_.status;
    status.conditions = gateway_.status.conditions;
    status.term = in_.term;
    std::map<std::string, std::size_t> place;
    for (const GatewayNode& node : in_.nodes) {
      place.emplace(node.name, status.node_list.size());
      status.node_list.push_back({node.name, api::to_string(node.phase), {}});
    }
    std::size_t names = kMaxPolicyNames;
    for (auto& [id, held] : held_) {
      std::sort(held.users.begin(), held.users.end());
      for (const api::PolicyKey& key : held.users) {
        plan_.allocations[key] = {id, held.entry.ipv4, held.entry.ipv6, {}};
      }
      const auto shown = static_cast<std::ptrdiff_t>(std::min(names, held.users.size()));
      names -= static_cast<std::size_t>(shown);
      held.entry.policies.assign(held.users.begin(), held.users.begin() + shown);
      auto& list = held.node.empty() ? status.unplaced : status.node_list[place.at(held.node)].eips;
      list.push_back(held.entry);
      resting_.erase(id);
    }
    for (const auto& [id, until] : resting_) status.resting_ids.push_back({id, until});
    count_addresses(status.ip_usage);
    set_gateway_conditions(status, in_, any_ready_);

    const auto& before = gateway_.status;
    if (status == before) return;
    plan_.cosmetic = without_names(status) == without_names(before);
    // Ids that have rested go when the status is written anyway: time alone makes no write.
    std::erase_if(status.resting_ids, [&](const auto& r) { return r.until <= in_.rest_clock; });
  }

  static api::EgressGatewayStatus without_names(api::EgressGatewayStatus status) {
    for (auto& node : status.node_list) {
      for (auto& entry : node.eips) entry.policies.clear();
    }
    for (auto& entry : status.unplaced) entry.policies.clear();
    status.ip_usage = {};
    return status;
  }

  void count_addresses(api::IpUsage& usage) const {
    const auto pools = api::parse_pools(gateway_.spec);
    if (!pools) return;
    std::uint64_t used4 = 0, used6 = 0;
    for (const auto& [id, held] : held_) {
      for (const Address& a : addresses_of(held.entry)) {
        if (!pools->addresses.contains(a)) continue;
        ++(a.family == Family::V4 ? used4 : used6);
      }
    }
    const std::uint64_t all4 = pools->addresses.size(Family::V4);
    const std::uint64_t all6 = pools->addresses.size(Family::V6);
    usage = {saturate(all4), saturate(all4 - used4), saturate(all6), saturate(all6 - used6)};
  }

  const GatewayInput& in_;
  const api::EgressGateway& gateway_;
  std::map<std::int32_t, Held> held_;
  std::vector<Held> displaced_;
  std::set<std::int32_t> wanted_;
  std::map<std::int32_t, WallTime> resting_;
  std::vector<const api::EgressPolicy*> waiting_;
  std::optional<std::deque<std::int32_t>> free_ids_; // once one was asked for
  // The number of EIPs for which there is no id yet, negative: in the pool's state that is theirs.
  std::int32_t without_id_ = 0;
  bool any_ready_ = false;
  GatewayPlan plan_;
};

} // namespace

GatewayPlan plan_gateway(const GatewayInput& input) {
  return Planner(input).run();
}

} // namespace egw::egress
