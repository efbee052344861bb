// SPDX-License-Identifier: Apache-2.0
#include "k8s/elector.hpp"

#include <deque>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "base/chrono.hpp"
#include "base/log.hpp"
#include "base/queue.hpp"

namespace egw::k8s {
namespace {

constexpr auto kReleaseTimeout = std::chrono::seconds(2);

// What is thrown below (no memory, no descriptors) is a failed request like any other.
template <class F>
Result<api::Lease> guarded(F request) {
  try {
    return request();
  } catch (const std::exception& error) {
    return Error{error.what()};
  }
}

} // namespace

struct Elector::Impl {
  Impl(Client& c, LeaderConfig l, Callback f)
      : client(c), config(std::move(l)), changed(std::move(f)) {}

  void run();
  void perform(const LeaderAction& action);
  void keep_tenure();
  static Result<api::Lease> told(Result<api::Lease> answer, std::string& trouble);
  Result<api::Lease> put(Verb verb, const api::Lease& lease) const;
  [[nodiscard]] CallOptions call_options() const;

  Client& client;
  const LeaderConfig config;
  const Callback changed;
  LeaderState state;
  std::deque<LeaderEvent> events; // for the thread itself, before those of the queue
  Queue<LeaderEvent> queue;
  std::string read_trouble, write_trouble; // that were logged last
  mutable std::mutex mutex;
  std::shared_ptr<Tenure> tenure; // guarded by mutex
  std::thread thread;
};

// No longer than half of what is left to a leader, so that a second try fits in; and never so long
// that it learns too late that it leads no more.
CallOptions Elector::Impl::call_options() const {
  CallOptions options;
  options.lane = Lane::Failover;
  options.timeout = state.stopping ? Duration(kReleaseTimeout) : config.renew_deadline / 2;
  options.not_after = k8s::deadline(state, config);
  return options;
}

Result<api::Lease> Elector::Impl::put(Verb verb, const api::Lease& lease) const {
  Write write;
  write.verb = verb;
  write.resource = &api::resource<api::Lease>();
  write.key = {config.namespace_, config.name};
  write.body = api::encode(lease);
  return guarded([&] { return client.write_as<api::Lease>(write, call_options()); });
}

// A candidate without rights or without a server would wait in silence for ever. Each trouble is
// told once; that the lease is not there, or went to another, is none.
Result<api::Lease> Elector::Impl::told(Result<api::Lease> answer, std::string& trouble) {
  if (answer) {
    trouble.clear();
  } else if (!conflict(answer.error()) && answer.error().message != trouble) {
    trouble = answer.error().message;
    log::warn("leader election: {}", trouble);
  }
  return answer;
}

void Elector::Impl::perform(const LeaderAction& action) {
  if (std::holds_alternative<ReadLease>(action)) {
    auto lease = guarded([this] {
      return client.get_as<api::Lease>({config.namespace_, config.name}, call_options());
    });
    const bool missing = !lease && not_found(lease.error());
    events.emplace_back(
        LeaderRead{missing ? std::move(lease) : told(std::move(lease), read_trouble)});
  } else if (const auto* create = std::get_if<CreateLease>(&action)) {
    events.emplace_back(LeaderWrote{told(put(Verb::Create, create->lease), write_trouble)});
  } else if (const auto* update = std::get_if<UpdateLease>(&action)) {
    events.emplace_back(LeaderWrote{told(put(Verb::Update, update->lease), write_trouble)});
  } else if (const auto* elected = std::get_if<Elected>(&action)) {
    log::info("leader of {}/{} with term {}", config.namespace_, config.name, elected->term);
    changed({true, elected->term, ""});
  } else if (const auto* deposed = std::get_if<Deposed>(&action)) {
    log::info("no longer leader of {}/{}: {}", config.namespace_, config.name, deposed->why);
    changed({false, 0, deposed->why});
  }
}

void Elector::Impl::keep_tenure() {
  const auto end = k8s::deadline(state, config);
  const std::lock_guard lock(mutex);
  if (!end) {
    if (tenure) tenure->end();
    tenure.reset();
  } else if (tenure) {
    tenure->extend(*end);
  } else {
    tenure = std::make_shared<Tenure>(*end);
  }
}

void Elector::Impl::run() {
  events.emplace_back(LeaderTick{});
  while (state.role != LeaderState::Role::Stopped) {
    if (events.empty()) {
      for (auto& event : queue.take(k8s::wake(state, config))) events.push_back(std::move(event));
      events.emplace_back(LeaderTick{});
    }
    const auto event = std::move(events.front());
    events.pop_front();
    const auto actions = step(state, config, event, now());
    keep_tenure();
    for (const auto& action : actions) perform(action);
  }
}

Elector::Elector(Client& client, LeaderConfig config, Callback changed) {
  if (auto valid = validate(config); !valid) throw std::invalid_argument(valid.error().message);
  impl_ = std::make_unique<Impl>(client, std::move(config), std::move(changed));
  impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
}

Elector::~Elector() {
  stop();
}

std::shared_ptr<const Tenure> Elector::tenure() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->tenure;
}

void Elector::holder_dead(const std::string& holder) {
  impl_->queue.push(LeaderHolderDead{holder});
}
void Elector::term_seen(std::int32_t term) {
  impl_->queue.push(LeaderTermSeen{term});
}

void Elector::stop() {
  impl_->queue.push(LeaderStop{});
  if (impl_->thread.joinable()) impl_->thread.join();
}

} // namespace egw::k8s
