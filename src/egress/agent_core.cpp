// SPDX-License-Identifier: Apache-2.0
#include "egress/agent_core.hpp"

#include <algorithm>
#include <iterator>

namespace egw::egress {

// The whole file is about these values.
// NOLINTNEXTLINE(google-build-using-namespace)
using namespace agent;

namespace {

bool is_eip(const net::AddressValue& value) {
  return value.eip;
}

} // namespace

AgentCore::AgentCore(AgentOptions options) : options_(std::move(options)), store_(options_.node) {}

std::vector<Action> AgentCore::step(std::vector<Event> events, const Now& now) {
  std::vector<Action> out;
  for (Event& event : events) {
    std::visit([&](auto& e) { handle(e, now); }, event);
  }
  if (stopped_) return out;
  watch_slices(out);
  look_and_write(now, out);
  confirm(out);
  announce(now.steady, out);
  watch_claims(now.steady, out);
  watch_ports(now.steady, out);
  connections(now.steady, out);
  report(now, out);
  tell(out);
  return out;
}

// --- events --------------------------------------------------------------------------------------

template <class E>
void AgentCore::handle(E& event, const Now& now) {
  if (store_.take(event)) changed(now.steady);
}

void AgentCore::handle(Observed& event, const Now& now) {
  observing_ = false;
  if (!event.observation) {
    refusals_ = {event.observation.error()};
    fail(kernel_retry_, now.steady);
    look_ = true;
    return;
  }
  next_look_ = now.steady + options_.look_gap;
  kernel_ = std::make_shared<const net::State>(std::move(event.observation->state));
  host_ = std::move(event.observation->host);
  confirm_due_ = claims_due_ = true;
  dirty_ = now.steady;
}

void AgentCore::handle(Applied& event, const Now& now) {
  applying_ = false;
  const Duration took = now.steady - turn_began_;
  quiet_until_ = now.steady + std::clamp(took, options_.burst_min, options_.burst_max);
  refusals_ = std::move(event.errors);
  if (!refusals_.empty()) { // what was believed of the kernel may be wrong
    fail(kernel_retry_, now.steady);
    kernel_.reset();
    look_ = true;
    settled_ = false;
    return;
  }
  for (const auto& [key, value] : plan_->state.addresses) {
    if (!value.eip || kernel_->addresses.contains(key)) continue;
    announcements_[key.prefix.address] = {key.link, now.steady, 0};
  }
  if (opens_later_) closed_until_ = now.steady + options_.stay_closed;
  kernel_retry_ = {};
  believe_plan(now.steady);
  settled_ = !dirty_.has_value();
  look_up_later(std::exchange(in_apply_, {}), now.steady);
}

void AgentCore::handle(PatchDone& event, const Now& now) {
  patching_ = false;
  if (event.node) {
    patch_retry_ = {};
    Changed<api::EgressNode> seen{std::move(event.node).value()};
    handle(seen, now);
  } else {
    fail(patch_retry_, now.steady);
  }
}

void AgentCore::handle(InsertFailures& event, const Now&) {
  ports_.failures(event.count ? std::optional(*event.count) : std::nullopt);
}

void AgentCore::handle(Crowds& event, const Now& now) {
  ports_.crowds(event.crowds ? std::optional(*event.crowds) : std::nullopt, now.steady);
}

void AgentCore::handle(Claimed& event, const Now& now) {
  if (plan_->state.addresses.contains({event.link, Prefix::host(event.address)})) {
    claims_.heard(event.address, event.mac, event.link, now.steady);
  }
}

void AgentCore::handle(KernelChanged&, const Now&) {
  look_ = true;
}
void AgentCore::handle(Stop&, const Now&) {
  stopped_ = true;
}

void AgentCore::changed(Time now) {
  settled_ = false;
  if (!dirty_) dirty_ = std::max(now, quiet_until_);
  // What was refused may be all right now.
  auto& retry = kernel_retry_;
  if (retry.failed())
    retry.at = std::min(retry.at, std::max(now, retry.since + options_.retry_min));
}

void AgentCore::fail(Retry& retry, Time now) const {
  Duration wait = options_.retry_min;
  for (int i = 0; i < retry.failures && wait < options_.retry_max; ++i) wait *= 2;
  ++retry.failures;
  retry.since = now;
  retry.at = now + std::min(wait, options_.retry_max);
}

// --- the kernel ----------------------------------------------------------------------------------

void AgentCore::watch_slices(std::vector<Action>& out) {
  auto wanted = store_.gateways_here();
  if (sliced_ != wanted) {
    if (store_.keep_slices_of(wanted)) dirty_ = dirty_.value_or(Time{});
    if (sliced_ || !wanted.empty()) out.emplace_back(WatchSlices{wanted});
    sliced_ = std::move(wanted);
  }
  synced_ = synced_ || store_.missing(*sliced_).empty();
}

// When the kernel is to be looked at or written next; nothing while an answer is awaited.
std::optional<Time> AgentCore::kernel_due() const {
  if (kernel_in_flight()) return std::nullopt;
  std::optional<Time> due;
  const auto earlier = [&](Time t) { due = due ? std::min(*due, t) : t; };
  if (look_) earlier(kernel_retry_.failed() ? kernel_retry_.at : next_look_);
  const auto plan_at = [&](Time at) {
    earlier(kernel_retry_.failed() ? std::max(at, kernel_retry_.at) : at);
  };
  if (dirty_ && synced_ && kernel_) plan_at(*dirty_);
  if (store_.world().stay_closed && synced_ && kernel_) plan_at(closed_until_);
  return due;
}

void AgentCore::look_and_write(const Now& now, std::vector<Action>& out) {
  const auto due = kernel_due();
  if (!due || *due > now.steady) return;
  if (look_ && (next_look_ <= now.steady || kernel_retry_.failed())) {
    look_ = false;
    observing_ = true;
    out.emplace_back(Observe{});
  } else {
    make_plan(now, out);
  }
}

void AgentCore::make_plan(const Now& now, std::vector<Action>& out) {
  if (!marks_) marks_ = recover_marks(*kernel_, store_.world().nodes, options_.plan);
  turn_began_ = now.steady;
  dirty_.reset();
  const bool started = plan_->pods_starting > 0;
  if (started) closed_until_ = now.steady + options_.stay_closed;
  store_.stay_closed(now.steady < closed_until_);
  plan_ =
      planner_.plan(store_.world(), host_, *marks_, options_.plan, store_.take_changes(), *kernel_);
  const bool remakes = remakes_pods(*kernel_, plan_->state);
  if (remakes && !store_.world().stay_closed) {
    store_.stay_closed(true);
    plan_ = planner_.plan(store_.world(), host_, *marks_, options_.plan, {}, *kernel_);
  }
  opens_later_ = remakes || (started && plan_->pods_starting == 0);
  planned_ = true;
  confirm_due_ = true;
  Affected touched = affected(*kernel_, plan_->state);
  if (!audited_) touched.rebound.merge(shut_out(*kernel_, plan_->state));
  closed_to_.insert(touched.rebound.begin(), touched.rebound.end());
  wanted_ = closed_to(closed_to_, {plan_, &plan_->state});
  net::Batch batch = net::diff(*kernel_, *wanted_);
  if (batch.empty()) {
    believe_plan(now.steady);
    settled_ = true;
    refusals_.clear();
    kernel_retry_ = {};
    return;
  }
  hold_back(touched.released, batch);
  in_apply_.merge(std::move(touched));
  applying_ = true;
  out.emplace_back(Apply{std::move(batch)});
}

// From here on one state is kept, not two that are equal.
void AgentCore::believe_plan(Time now) {
  kernel_ = wanted_;
  confirm_due_ = claims_due_ = true;
  marks_ = plan_->marks;
  // An earlier run may have ended between a change and the look-up that belongs to it.
  if (std::exchange(audited_, true)) return;
  // Another node may have held meanwhile what is found here, and neighbours still send there.
  for (const auto& [key, value] : plan_->state.addresses) {
    if (value.eip) announcements_[key.prefix.address] = {key.link, now, 0};
  }
  Affected everything = affected({}, plan_->state);
  everything.all_marked = true;
  everything.rebound = closed_to_;
  look_up_later(std::move(everything), now);
}

// Other EIPs in the kernel than the placement gives to us: a write that was refused left them
// there. While the first write is under way, what it takes away does not count yet.
void AgentCore::confirm(std::vector<Action>& out) {
  if (!confirm_due_ || !planned_ || !kernel_ || (applying_ && !kernel_retry_.failed())) return;
  confirm_due_ = false;
  const bool right = std::ranges::all_of(kernel_->addresses, [&](const auto& item) {
    return !is_eip(item.second) || plan_->state.addresses.contains(item.first);
  });
  if (confirmed_ == right) return;
  confirmed_ = right;
  out.emplace_back(ConfirmPlacement{right});
}

void AgentCore::announce(Time now, std::vector<Action>& out) {
  std::erase_if(announcements_, [&](const auto& item) {
    return !plan_->state.addresses.contains({item.second.link, Prefix::host(item.first)});
  });
  std::map<std::string, std::vector<Address>> due;
  for (auto& [address, a] : announcements_) {
    if (a.next > now) continue;
    due[a.link].push_back(address);
    if (a.sent < options_.announce_again.size()) a.next = now + options_.announce_again[a.sent];
    ++a.sent;
  }
  std::erase_if(announcements_, [&](const auto& item) {
    return item.second.sent > options_.announce_again.size();
  });
  for (auto& [link, addresses] : due) {
    out.emplace_back(Announce{link, addresses});
    probe(link, std::move(addresses), out);
  }
}

void AgentCore::probe(const std::string& link, std::vector<Address> addresses,
                      std::vector<Action>& out) const {
  Probe action{link, std::move(addresses), {}};
  if (const auto own = host_.addresses.find(link); own != host_.addresses.end()) {
    for (const Prefix& prefix : own->second) {
      const Address& a = prefix.address;
      if (a.family != Family::V6 || (action.from && !a.is_link_local())) continue;
      action.from = a;
      if (a.is_link_local()) break;
    }
  }
  out.emplace_back(std::move(action));
}

// What another host says of our EIPs is to be heard, and to be asked for until it is clear.
void AgentCore::watch_claims(Time now, std::vector<Action>& out) {
  if (!planned_ || !kernel_) return;
  if (std::exchange(claims_due_, false)) hear_claims(out);
  for (auto& [link, addresses] : claims_.due(now)) {
    probe(link, std::move(addresses), out);
  }
  if (watched_->links.empty()) {
    next_probe_.reset();
  } else if (!next_probe_) {
    next_probe_ = now + options_.probe_interval;
  } else if (*next_probe_ <= now) {
    next_probe_ = now + options_.probe_interval;
    for (const auto& [index, link] : watched_->links) {
      probe(link.name, {link.addresses.begin(), link.addresses.end()}, out);
    }
  }
}

void AgentCore::hear_claims(std::vector<Action>& out) {
  WatchClaims wanted;
  for (const auto& [key, value] : kernel_->addresses) {
    const auto link = host_.links.find(key.link);
    if (!value.eip || link == host_.links.end()) continue;
    const net::HostLink& on = link->second;
    WatchClaims::Link& watched = wanted.links[on.index];
    watched.name = on.name;
    watched.mac = on.mac;
    watched.addresses.insert(key.prefix.address);
  }
  const auto held = [&](const Address& address) {
    return std::ranges::any_of(
        wanted.links, [&](const auto& item) { return item.second.addresses.contains(address); });
  };
  for (const Address& address : claims_.addresses()) {
    if (!held(address)) claims_.forget(address);
  }
  if (watched_ != wanted) {
    watched_ = wanted;
    out.emplace_back(std::move(wanted));
  }
}

void AgentCore::watch_ports(Time now, std::vector<Action>& out) {
  switch (ports_.due(!plan_->held.empty(), now)) {
    case PortWatch::Want::Nothing:
      return;
    case PortWatch::Want::Failures:
      out.emplace_back(AskInsertFailures{});
      return;
    case PortWatch::Want::Connections:
      out.emplace_back(CountConnections{ports_.timing().crowded});
      return;
  }
}

std::vector<std::string> AgentCore::waiting_for() const {
  return synced_ ? std::vector<std::string>{} : store_.missing(store_.gateways_here());
}

std::optional<Time> AgentCore::deadline() const {
  if (stopped_) return std::nullopt;
  std::optional<Time> due = kernel_due();
  const auto earlier = [&](Time t) { due = due ? std::min(*due, t) : t; };
  for (const auto& [address, a] : announcements_) earlier(a.next);
  if (const auto at = list_due()) earlier(*at);
  if (const auto at = claims_.deadline()) earlier(*at);
  if (const auto at = ports_.deadline()) earlier(*at);
  if (next_probe_) earlier(*next_probe_);
  if (patch_retry_.failed() && may_report()) earlier(patch_retry_.at);
  return due;
}

} // namespace egw::egress
