// SPDX-License-Identifier: Apache-2.0
#include "k8s/reflector.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "k8s/reflector_impl.hpp"

namespace egw::k8s {
namespace {

// After so many refusals in a row the position in the stream is doubted: list anew.
constexpr int kRefusalsBeforeList = 5;
constexpr int kErrorEventsBeforeList = 2;
// Whatever the back-off has grown to while the server was out of reach: the next tries.
constexpr auto kSoon = std::chrono::seconds(1);

} // namespace

void Reflector::Impl::reached() {
  if (!std::exchange(unreached, false)) return;
  backoff.at_most(kSoon);
  if (options.group) options.group->answered(this);
}

void Reflector::Impl::try_now() {
  const std::lock_guard lock(mutex);
  hurried = true;
  wake.notify_all();
}

void Reflector::Impl::take_round() {
  const std::lock_guard lock(mutex);
  hurried = false;
  if (asked == round) return;
  round = asked;
  if (silent_failure) need_list = true; // or nothing would tell that the stream is a good one
  reported.reset();
}

void Reflector::Impl::run() {
  for (bool tried_other = false; !stopping();) {
    const auto outcome = turn();
    if (stopping()) return;
    if (overtaken()) continue;
    if (unreached && outcome.answered) backoff.at_most(kSoon); // it is there, and not yet at work
    unreached = outcome.unreached;
    if (outcome.progress) refusals = error_events = 0;
    refusals += outcome.answered ? 1 : 0;
    error_events += outcome.error_event ? 1 : 0;
    if (outcome.gone || error_events >= kErrorEventsBeforeList || refusals >= kRefusalsBeforeList) {
      need_list = true;
      refusals = error_events = 0;
    }
    // The server may serve the kind in the other version: it is missing when both are.
    const bool missing = options.other_version && outcome.error && outcome.error->code == 404;
    if (missing) std::swap(options.resource, options.other_version);
    tried_other = missing && !tried_other;
    if (tried_other) continue;
    if (outcome.error) {
      ++metrics.failures;
      log::debug("{}", outcome.error->message);
      // An expired position is the normal course of things: the list that follows mends it.
      outcome.error->code == 410 ? sink.expired() : report(outcome.error);
    }
    // The first 410 after a gap is an answer: the list follows at once, however long the server was
    // away before. One that comes again waits like any failure.
    const bool expired = outcome.error && outcome.error->code == 410;
    const bool again = std::exchange(expired_before, expired);
    if (outcome.at_once || (expired && !again)) continue;
    // A list that expired at once is no progress: it has to come again, whole.
    const bool healthy =
        (outcome.progress && !outcome.gone) || outcome.lived >= options.healthy_after;
    if (healthy) backoff.reset();
    auto wait = backoff.next();
    if (healthy) backoff.reset();
    if (outcome.retry_after) wait = std::max(wait, *outcome.retry_after);
    std::unique_lock lock(mutex);
    wake.wait_for(lock, wait,
                  [this] { return stopped || asked != round || (hurried && unreached); });
    if (hurried && unreached) backoff.reset();
  }
}

Reflector::Reflector(const Config& config, WatchOptions options, ReflectorSink& sink)
    : impl_(std::make_unique<Impl>(config, std::move(options), sink)) {}

void Reflector::start() {
  impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
}

Reflector::~Reflector() {
  stop();
}

void Reflector::stop() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopped = true;
  }
  impl_->leave();
  impl_->wake.notify_all();
  impl_->connection.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
}

void Reflector::begin_round() {
  const std::lock_guard lock(impl_->mutex); // or the request of this round might be interrupted
  ++impl_->asked;
  impl_->wake.notify_all();
  impl_->connection.interrupt();
}

std::uint64_t Reflector::round() const {
  return impl_->round;
}

WatchMetrics& Reflector::metrics() {
  return impl_->metrics;
}

} // namespace egw::k8s
