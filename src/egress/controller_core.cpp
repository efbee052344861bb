// SPDX-License-Identifier: Apache-2.0
#include "egress/controller_core.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "egress/lookup.hpp"

namespace egw::egress {

namespace {

bool same_but_version(const Write& a, const Write& b) {
  if (a.verb != b.verb) return false;
  Object x = a.object, y = b.object;
  for (Object* object : {&x, &y}) {
    std::visit([](auto& o) { o.meta.resource_version.clear(); }, *object);
  }
  return x == y;
}

} // namespace

std::vector<Action> ControllerCore::step(std::vector<Event> events, const Now& now) {
  now_ = now;
  for (Event& event : events) {
    std::visit([&](auto& e) { handle(std::move(e)); }, event);
  }
  if (leading_ && !active_ && world_.current() && caught_up_ <= now_.steady) activate();
  if (active_) {
    for (auto at = scheduled_.begin(); at != scheduled_.end();) {
      if (at->second > now_.steady) {
        ++at;
        continue;
      }
      dirty_.add(at->first);
      at = scheduled_.erase(at);
    }
    while (active_) {
      const auto work = dirty_.take(may_follow());
      if (!work) break;
      run(*work);
    }
  }
  just_done_.clear();
  world_.pods.release();
  if (!active_) dirty_.clear(); // activate() looks at everything
  return std::exchange(actions_, {});
}

std::optional<Time> ControllerCore::deadline() const {
  if (leading_ && !active_ && world_.current()) return caught_up_;
  if (!active_ || scheduled_.empty()) return std::nullopt;
  const auto first =
      std::min_element(scheduled_.begin(), scheduled_.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return first->second;
}

void ControllerCore::run(const Work& work) {
  switch (work.task) {
    case Task::Addresses:
      check_addresses();
      break;
    case Task::Verdict:
      judge_policy(work.key);
      break;
    case Task::Gateway:
      reconcile_gateway(work.key.name);
      break;
    case Task::ClusterInfo:
      reconcile_cluster_info();
      break;
    case Task::Status:
      reconcile_policy(work.key);
      break;
    case Task::Node:
      reconcile_node(work.key.name);
      break;
    case Task::Slices:
      reconcile_slices(work.key);
      break;
  }
}

// --- events --------------------------------------------------------------------------------------

void ControllerCore::handle(Replaced&& event) {
  const Kind kind = event.kind;
  const bool first = event.ends && !world_.knows(kind), ends = event.ends;
  const std::string version = event.resource_version;
  std::vector<ObjectKey> present;
  for (const auto& object : event.objects) {
    if (writes_.contains(key_of(object))) present.push_back(key_of(object));
  }
  for (const World::Change& change : world_.replace(std::move(event))) {
    notice(change);
    if (world_.find(change.key) == nullptr) gone(change.key, version);
  }
  for (const ObjectKey& key : present) news(key);
  if (active_ && first) look_at_everything(); // what waited for this kind is not marked
  // What could not be read before may be readable, or gone, now.
  if (ends && (policy_kind(kind) || kind == Kind::Gateway)) {
    for (const auto& [name, gateway] : world_.gateways) mark(Task::Gateway, name);
    for (const auto& [key, policy] : world_.policies) mark(Task::Verdict, key);
  }
}

void ControllerCore::handle(Reopened&& event) {
  const bool knew = world_.knows(event.kind);
  if (!world_.note_reopened(event.kind, event.round)) return;
  caught_up_ = now_.steady + options_.catch_up;
  if (active_ && !knew) look_at_everything();
}

void ControllerCore::handle(FellBehind&& event) {
  if (!active_) world_.note_behind(event.kind);
}

void ControllerCore::handle(Upsert&& event) {
  const ObjectKey key = key_of(event.object);
  const bool was_unreadable = world_.unreadable(key);
  if (const auto change = world_.put(std::move(event.object))) notice(*change);
  if (was_unreadable) {
    for (const auto& [name, gateway] : world_.gateways) mark(Task::Gateway, name);
    mark(Task::ClusterInfo);
  }
  news(key);
}

void ControllerCore::handle(Deleted&& event) {
  const ObjectKey key = event.key;
  const std::string version = event.resource_version;
  if (const auto change = world_.erase(event)) notice(*change);
  if (world_.find(key) == nullptr) gone(key, version);
}

void ControllerCore::handle(Unreadable&& event) {
  world_.note_unreadable(event.key);
  mark(Task::ClusterInfo);
}

void ControllerCore::handle(Access&& event) {
  if (world_.note_access(event.kind, event.denied)) mark(Task::ClusterInfo);
}

void ControllerCore::handle(LeaderChanged&& event) {
  if (active_) deactivate();
  leading_ = true;
  lease_term_ = event.term;
  world_.require_round(event.round);
}

void ControllerCore::handle(LostLeadership&&) {
  leading_ = false;
  deactivate();
}

void ControllerCore::handle(WriteDone&& event) {
  const auto at = writes_.find(event.key);
  if (at == writes_.end() || !at->second.in_flight) return;
  Pending& pending = at->second;
  set_in_flight(event.key, pending, false);
  const Work work = pending.work;
  if (work.task == Task::Slices && --slices_in_flight_[work.key] == 0) {
    slices_in_flight_.erase(work.key);
  }
  const bool removal = pending.sent.verb == WriteVerb::Remove;
  const bool removed = removal && event.outcome != WriteDone::Outcome::Conflict &&
                       event.outcome != WriteDone::Outcome::Failed;
  if (event.outcome == WriteDone::Outcome::Ok || removed) {
    const std::string version = event.object ? meta_of(*event.object).resource_version : "";
    std::optional<World::Change> change;
    if (removed) {
      // A finalizer may keep it for a while; then the watch says so with a newer version.
      change = world_.erase({event.key, meta_of(pending.sent.object).uid, ""});
    } else if (event.object &&
               (pending.deleted_at.empty() ||
                older_version(pending.deleted_at, meta_of(*event.object).resource_version))) {
      change = world_.put(*std::move(event.object));
    }
    for (Notice& n : pending.notices) actions_.emplace_back(std::move(n));
    const api::ObjectMeta* known = world_.find(event.key);
    if (known != nullptr && known->resource_version == version) {
      just_done_[event.key] = {std::move(pending.sent), pending.failures};
    }
    writes_.erase(at);
    if (change) notice(*change);
  } else {
    const api::ObjectMeta* known = world_.find(event.key);
    const bool stale = known != nullptr &&
                       known->resource_version != meta_of(pending.sent.object).resource_version;
    if (event.outcome == WriteDone::Outcome::Conflict && stale) {
      pending.not_before = now_.steady; // what it collided with is known: try on top of that
    } else {
      postpone(pending);
      pending.waits_for_news = event.outcome != WriteDone::Outcome::Failed;
    }
    if (event.key.kind == Kind::Gateway && active_) {
      const auto& sent = std::get<api::EgressGateway>(pending.sent.object);
      uncertain_[event.key.name].push_back(sent);
      account(event.key.name);
      // Policies were told where their EIP would stand.
      const api::EgressGateway* gateway = lookup(world_.gateways, event.key.name);
      mark_entries(event.key.name, &sent.status, gateway == nullptr ? nullptr : &gateway->status);
    }
  }
  dirty_.add(work);
}

// --- leadership ----------------------------------------------------------------------------------

void ControllerCore::activate() {
  active_ = true;
  active_since_ = now_;
  // Above whatever was written before, also by a leader whose Lease has been deleted since:
  // gateways are written once, so that a deposed leader's late write meets another resourceVersion.
  term_ = lease_term_;
  for (const auto& [name, gateway] : world_.gateways) {
    term_ = std::max(term_, gateway.status.term + 1);
    account(name);
  }
  for (const auto& [name, info] : world_.cluster_infos) {
    if (!info.status.id_blocks.empty()) known_blocks_ = info.status.id_blocks;
  }
  for (const auto& [name, node] : world_.egress_nodes) {
    tunnels_.claim(node);
  }
  selection_.emplace(world_);
  (void)selection_->take_touched(); // all of them are looked at
  look_at_everything();
}

// By which ids rest: wall time, since the next leader must understand it, but going on at the pace
// of steady time, so that a clock that is set meanwhile ends no rest early and prolongs none.
WallTime ControllerCore::rest_clock() const {
  return active_since_.wall +
         std::chrono::duration_cast<WallTime::duration>(now_.steady - active_since_.steady);
}

void ControllerCore::look_at_everything() {
  for (const auto& [name, gateway] : world_.gateways) mark(Task::Gateway, name);
  for (const auto& [name, node] : world_.egress_nodes) mark(Task::Node, name);
  for (const auto& [name, node] : world_.nodes) mark(Task::Node, name);
  for (const auto& [key, policy] : world_.policies) {
    mark(Task::Verdict, key);
    mark(Task::Slices, key);
  }
  for (const auto& [name, slice] : world_.slices) {
    if (const auto owner = owner_of(slice.meta)) mark(Task::Slices, *owner);
  }
  mark(Task::Addresses);
  mark(Task::ClusterInfo);
}

void ControllerCore::deactivate() {
  active_ = false;
  scheduled_.clear();
  std::erase_if(writes_, [](const auto& write) { return !write.second.in_flight; });
  ledger_ = {};
  uncertain_.clear();
  tunnels_ = {};
  refused_gateways_.clear();
  default_gateway_.clear();
  overlap_.reset();
  verdicts_.clear();
  allocations_.clear();
  want_blocks_.clear();
  hindered_.clear();
  cosmetic_after_.clear();
  overlap_turns_.clear();
  waiting_until_.clear();
  selection_.reset();
  slice_pace_.clear();
  detection_ = {};
  info_pace_ = {};
  info_waits_ = false;
}

// --- writes --------------------------------------------------------------------------------------

void ControllerCore::schedule(const Work& work, Time at) {
  const auto [known, fresh] = scheduled_.emplace(work, at);
  if (!fresh) known->second = std::min(known->second, at);
}

// When it is blocked, the work comes again by itself.
bool ControllerCore::blocked(const ObjectKey& key, const Work& work) {
  const auto at = writes_.find(key);
  if (at == writes_.end()) return false;
  if (at->second.in_flight) return true;
  if (at->second.not_before <= now_.steady) return false;
  schedule(work, at->second.not_before);
  return true;
}

void ControllerCore::submit(Write write, const Work& work, std::vector<Notice> notices) {
  const ObjectKey key = key_of(write.object);
  Pending& pending = writes_[key];
  pending.work = work;
  const auto done = just_done_.find(key);
  if (done != just_done_.end() && same_but_version(done->second.sent, write)) {
    ++counters_.fruitless;
    pending.failures = done->second.failures;
    postpone(pending);
    return schedule(work, pending.not_before);
  }
  set_in_flight(key, pending, true);
  pending.waits_for_news = false;
  pending.sent = write;
  pending.deleted_at.clear();
  pending.notices = std::move(notices);
  if (work.task == Task::Slices) ++slices_in_flight_[work.key];
  actions_.emplace_back(std::move(write));
}

void ControllerCore::set_in_flight(const ObjectKey& key, Pending& pending, bool in_flight) {
  pending.in_flight = in_flight;
  in_flight_ += in_flight ? 1 : -1;
  if (key.kind == Kind::Gateway) gateways_in_flight_ += in_flight ? 1 : -1;
}

bool ControllerCore::may_follow() const {
  return in_flight_ < options_.most_writes && gateways_in_flight_ <= options_.few_gateways;
}

std::size_t ControllerCore::pending(Time now) const {
  return dirty_.size() + (info_waits_ ? 1 : 0) +
         static_cast<std::size_t>(std::ranges::count_if(writes_, [now](const auto& write) {
           return write.second.in_flight || write.second.not_before > now;
         }));
}

void ControllerCore::postpone(Pending& pending) {
  const int shift = std::min(pending.failures++, 16);
  pending.not_before =
      now_.steady + std::min(options_.retry_max, options_.retry_min * (std::int64_t{1} << shift));
}

// The object was heard of: a write that waits for that may be tried again.
void ControllerCore::news(const ObjectKey& key) {
  const auto at = writes_.find(key);
  if (at == writes_.end() || at->second.in_flight || !at->second.waits_for_news) return;
  const api::ObjectMeta* known = world_.find(key);
  if (known != nullptr &&
      known->resource_version == meta_of(at->second.sent.object).resource_version) {
    return;
  }
  at->second.waits_for_news = false;
  at->second.not_before = now_.steady;
  dirty_.add(at->second.work);
}

void ControllerCore::gone(const ObjectKey& key, const std::string& resource_version) {
  const auto at = writes_.find(key);
  if (at == writes_.end()) return;
  if (at->second.in_flight) {
    at->second.deleted_at = resource_version;
  } else {
    dirty_.add(at->second.work);
    writes_.erase(at);
  }
}

} // namespace egw::egress
