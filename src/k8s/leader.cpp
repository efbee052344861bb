// SPDX-License-Identifier: Apache-2.0
#include "k8s/leader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace egw::k8s {
namespace {

using Actions = std::vector<LeaderAction>;
using Role = LeaderState::Role;

// What others would have to see change for the holder to count as alive.
bool same(const api::Lease& a, const api::Lease& b) {
  return a.holder == b.holder && a.renewed == b.renewed && a.transitions == b.transitions &&
         a.meta.uid == b.meta.uid;
}

void observe(LeaderState& state, const api::Lease& lease, Time at) {
  const bool changed = !state.observed || !same(*state.observed, lease);
  if (changed) state.observed_at = at;
  if (changed && state.observed && state.observed->holder != lease.holder) state.take = false;
  state.observed = lease;
  state.top_term = std::max(state.top_term, lease.transitions);
}

api::Lease mine(const LeaderState& state, const LeaderConfig& config, const Now& now) {
  api::Lease lease;
  if (state.observed) lease = *state.observed;
  lease.meta.namespace_ = config.namespace_;
  lease.meta.name = config.name;
  lease.duration_seconds = static_cast<std::int32_t>(
      std::chrono::duration_cast<std::chrono::seconds>(config.lease_duration).count());
  // What others look for is a change: there is one also where the wall clock was set back or stands
  // still.
  lease.renewed = now.wall != lease.renewed ? now.wall : now.wall + WallTime::duration(1);
  if (state.role != Role::Leading) {
    lease.holder = config.identity;
    lease.acquired = now.wall;
    // Also a Lease that was deleted and made anew must not bring an old term back.
    constexpr auto kEnd = std::numeric_limits<std::int32_t>::max();
    const auto top = std::max(lease.transitions, state.top_term);
    lease.transitions = top == kEnd ? kEnd : top + 1;
  }
  return lease;
}

void send(LeaderState& state, Actions& actions, LeaderAction action, Time at) {
  state.busy = true;
  state.acquiring = false;
  state.request_at = at;
  actions.push_back(std::move(action));
}

void acquire(LeaderState& state, const LeaderConfig& config, Actions& actions, const Now& now) {
  auto lease = mine(state, config, now);
  if (state.observed) {
    send(state, actions, UpdateLease{std::move(lease)}, now.steady);
  } else {
    send(state, actions, CreateLease{std::move(lease)}, now.steady);
  }
  state.acquiring = true;
}

// When the lease has not changed for as long as its holder asked.
Time runs_out(const LeaderState& state, const LeaderConfig& config) {
  const auto seconds = state.observed->duration_seconds;
  return state.observed_at +
         (seconds > 0 ? Duration(std::chrono::seconds(seconds)) : config.lease_duration);
}

// May the lease be taken? It is free, ours from before, known to be abandoned, or has run out.
bool takeable(const LeaderState& state, const LeaderConfig& config, Time at) {
  const auto& lease = *state.observed;
  return lease.holder.empty() || lease.holder == config.identity || state.take ||
         at >= runs_out(state, config);
}

void depose(LeaderState& state, Actions& actions, std::string why) {
  state.role = Role::Standby;
  actions.emplace_back(Deposed{std::move(why)});
}

void release(LeaderState& state, Actions& actions, const Now& now) {
  auto lease = *state.observed;
  lease.holder.clear();
  lease.duration_seconds = 1; // older clients respect the duration even of a lease without holder
  lease.renewed = now.wall;
  depose(state, actions, "stopping");
  send(state, actions, UpdateLease{std::move(lease)}, now.steady);
}

void tick(LeaderState& state, const LeaderConfig& config, Actions& actions, const Now& now) {
  if (state.role == Role::Leading && now.steady >= *deadline(state, config)) {
    const std::chrono::duration<double> seconds = config.renew_deadline;
    depose(state, actions,
           fmt::format("the lease could not be renewed for {:.1f} s", seconds.count()));
  }
  if (state.busy) return;
  if (state.stopping) {
    if (state.role == Role::Leading) return release(state, actions, now);
    state.role = Role::Stopped;
    return;
  }
  if (now.steady < state.next) return;
  if (state.role == Role::Leading && !state.doubt) {
    send(state, actions, UpdateLease{mine(state, config, now)}, now.steady);
  } else {
    send(state, actions, ReadLease{}, now.steady);
  }
}

void got(LeaderState& state, const LeaderConfig& config, const Result<api::Lease>& lease,
         Actions& actions, const Now& now) {
  state.busy = false;
  state.next = now.steady + config.retry_period;
  if (!lease && lease.error().code != 404) return;
  const auto term = state.observed ? state.observed->transitions : 0;
  if (lease) {
    observe(state, *lease, now.steady);
  } else {
    state.observed.reset();
  }
  if (state.role == Role::Leading) {
    if (lease && lease->holder == config.identity && lease->transitions == term) {
      state.doubt = false;
      state.next = now.steady;
      return;
    }
    depose(state, actions,
           lease ? fmt::format("\"{}\" holds the lease", lease->holder) : "the lease was deleted");
  }
  if (state.stopping) return;
  if (!lease || takeable(state, config, now.steady)) return acquire(state, config, actions, now);
  state.next = std::min(state.next, runs_out(state, config));
}

void wrote(LeaderState& state, const LeaderConfig& config, const Result<api::Lease>& lease,
           Actions& actions, const Now& now) {
  const bool acquiring = std::exchange(state.acquiring, false);
  state.busy = false;
  state.next = now.steady + config.retry_period;
  if (!lease) {
    // Without an answer, or when the client repeated the request, it may have been done all the
    // same: look before the next write. Where the version is certainly another one, look now; but
    // not again and again, where that was not the reason (no namespace, an admission webhook).
    state.doubt = true;
    const bool another = lease.error().code == 409 || lease.error().code == 404;
    state.hurried = another && !state.hurried;
    if (state.hurried) state.next = now.steady;
    return;
  }
  state.hurried = false;
  observe(state, *lease, now.steady);
  if (state.role == Role::Leading) {
    state.renewed_at = state.request_at;
  } else if (acquiring) {
    state.role = Role::Leading;
    state.take = state.doubt = false;
    state.renewed_at = state.request_at;
    actions.emplace_back(Elected{lease->transitions});
  } // else a renewal that came too late, or the release
}

} // namespace

Result<void> validate(const LeaderConfig& config) {
  using std::chrono::seconds;
  if (config.name.empty() || config.namespace_.empty() || config.identity.empty()) {
    return Error{"leader election needs a namespace, a name and an identity"};
  }
  if (config.lease_duration % seconds(1) != Duration::zero() ||
      config.lease_duration < seconds(1)) {
    return Error{"leader election: lease duration must be whole seconds, at least 1"};
  }
  if (config.lease_duration <= config.renew_deadline ||
      config.renew_deadline <= 2 * config.retry_period || config.retry_period <= Duration::zero()) {
    return Error{
        "leader election: lease duration > renew deadline > 2 * retry period > 0 must hold"};
  }
  return {};
}

std::vector<LeaderAction> step(LeaderState& state, const LeaderConfig& config,
                               const LeaderEvent& event, const Now& now) {
  Actions actions;
  if (state.role == Role::Stopped) return actions;
  if (const auto* read = std::get_if<LeaderRead>(&event)) {
    got(state, config, read->lease, actions, now);
  } else if (const auto* write = std::get_if<LeaderWrote>(&event)) {
    wrote(state, config, write->lease, actions, now);
  } else if (const auto* dead = std::get_if<LeaderHolderDead>(&event)) {
    if (state.role == Role::Standby && state.observed && state.observed->holder == dead->holder) {
      state.take = true;
      state.next = now.steady;
    }
  } else if (const auto* seen = std::get_if<LeaderTermSeen>(&event)) {
    state.top_term = std::max(state.top_term, seen->term);
  } else if (std::holds_alternative<LeaderStop>(event)) {
    state.stopping = true;
  }
  tick(state, config, actions, now);
  return actions;
}

std::optional<Time> deadline(const LeaderState& state, const LeaderConfig& config) {
  if (state.role != Role::Leading) return std::nullopt;
  return state.renewed_at + config.renew_deadline;
}

std::optional<Time> wake(const LeaderState& state, const LeaderConfig& config) {
  if (state.role == Role::Stopped) return std::nullopt;
  const auto until = deadline(state, config);
  if (state.busy) return until;
  return until ? std::min(*until, state.next) : state.next;
}

} // namespace egw::k8s
