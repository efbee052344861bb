// SPDX-License-Identifier: Apache-2.0
#include "cmd/controller.hpp"

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/log.hpp"
#include "base/memory.hpp"
#include "base/queue.hpp"
#include "base/signals.hpp"
#include "cmd/controller_admission.hpp"
#include "cmd/controller_metrics.hpp"
#include "cmd/controller_watches.hpp"
#include "cmd/controller_webhook.hpp"
#include "cmd/controller_writes.hpp"
#include "cmd/health.hpp"
#include "cmd/role.hpp"
#include "cmd/service_probe.hpp"
#include "k8s/client.hpp"
#include "k8s/config.hpp"
#include "k8s/elector.hpp"
#include "k8s/events.hpp"
#include "k8s/writer.hpp"
#include "version.hpp"

namespace egw::cmd {

namespace {

// An Event of Kubernetes, for people, waits until the statuses that packets wait for are written.
constexpr Duration kEventDelay = std::chrono::milliseconds(200);

struct Written { // the answer to a write
  k8s::Write request;
  Result<std::string> result;
};
struct Stop {};
using Input = std::variant<egress::Event, k8s::Leadership, Written, Ask, Stop>;

k8s::ClientOptions limits() {
  k8s::ClientOptions options = client_options("controller");
  options.qps = 100;
  options.burst = 200;
  return options;
}

// Watches, elector and writers push into one queue; this thread drains it, steps the core, and
// hands out what the core wants done.
class Controller {
 public:
  Controller(const ControllerSettings& settings, const k8s::Config& config)
      : settings_(settings),
        core_(settings.core),
        recorder_({.component = "egw-controller"}),
        client_(config, limits()),
        writer_(client_,
                [this](k8s::Write w, Result<std::string> r) {
                  queue_.push(Written{std::move(w), std::move(r)});
                }),
        watches_(config, [this](egress::Event e) { queue_.push(std::move(e)); }) {
    if (settings_.leader.namespace_.empty()) settings_.leader.namespace_ = config.namespace_;
    service_probe_ = ServiceProbe(settings_.leader.namespace_);
  }

  int run() {
    if (const auto right = k8s::validate(settings_.leader); !right) {
      throw std::invalid_argument(right.error().message);
    }
    start_webhook();
    auto health = serve_health(settings_.metrics, questions());
    elect();
    SignalThread signals([this] { queue_.push(Stop{}); });
    log::info("egw {} as {}, API server {}:{} ({})", version(), settings_.leader.identity,
              client_.config().host, client_.config().port, client_.config().origin);
    while (!stopping_) turn();
    log::info("stopping");
    if (webhook_) webhook_->close();
    health.reset();
    queue_.close(); // questions that are asked from now on get no answer
    watches_.stop();
    writer_.stop();
    elector_.reset(); // gives the Lease back, after the last write
    client_.stop();
    webhook_.reset();
    return 0;
  }

 private:
  void start_webhook() {
    if (!settings_.webhook) return;
    WebhookHooks hooks;
    hooks.rules = [this](const api::AdmissionRequest& request) {
      return admit_anew([&](const egress::Fresh& fresh) { return judge(request, fresh); },
                        [this](const egress::ObjectKey& key) { return read_object(client_, key); });
    };
    hooks.tell = [this](const api::ObjectReference& regarding, const k8s::Tell& what) {
      queue_.push(Ask{[this, regarding, what] { announce(regarding, what); }});
    };
    webhook_ = std::make_unique<ControllerWebhook>(client_, *settings_.webhook,
                                                   settings_.leader.namespace_, std::move(hooks));
  }

  // By the core thread, which owns what is known. Nothing: not everything is known yet, or no
  // answer in time.
  std::optional<egress::AdmissionVerdict> judge(const api::AdmissionRequest& request,
                                                const egress::Fresh& fresh) {
    using Verdict = std::optional<egress::AdmissionVerdict>;
    // By value: a question that is no longer waited for may still be answered.
    return ask(queue_, std::chrono::seconds(2),
               [this, request, fresh]() -> Verdict {
                 const egress::World& world = core_.world();
                 if (!world.answered()) return std::nullopt;
                 const auto& options = core_.options();
                 return egress::admit(request, {&world, &fresh, options.tunnel, options.families});
               })
        .value_or(std::nullopt);
  }

  // As an Event, also of a replica that does not lead: certificates are every replica's affair.
  void announce(api::ObjectReference regarding, const k8s::Tell& what) {
    regarding.uid = what.uid;
    auto event = recorder_.record(regarding, what.warning ? "Warning" : "Normal", what.reason,
                                  what.message, now());
    if (event) writer_.push(*std::move(event));
  }

  // API servers send to this pod until they have heard that it ends: it leads no more, and answers.
  void begin_stop() {
    const bool drains = webhook_ && settings_.webhook->drain > Duration::zero();
    if (!drains) {
      stopping_ = true;
    } else if (!stop_at_) {
      log::info("stopping as soon as no API server asks here any more");
      stop_at_ = now().steady + settings_.webhook->drain;
      draining_ = true;
      webhook_->drain();
      elector_->stop();
    }
  }

  void elect() {
    elector_ = std::make_unique<k8s::Elector>(client_, settings_.leader,
                                              [this](const k8s::Leadership& l) { queue_.push(l); });
  }

  [[nodiscard]] std::optional<Time> next_deadline() const {
    std::optional<Time> first = core_.deadline();
    const auto earlier = [&](Time at) { first = first ? std::min(*first, at) : at; };
    if (const auto flush = recorder_.next_flush()) earlier(*flush);
    if (!new_events_.empty()) earlier(new_events_.front().first);
    if (stop_at_) earlier(*stop_at_);
    return first;
  }

  void turn() {
    std::vector<egress::Event> events;
    for (Input& input : resting_.take(queue_, next_deadline())) {
      std::visit(
          [&](auto& in) {
            using T = std::decay_t<decltype(in)>;
            if constexpr (std::is_same_v<T, egress::Event>) events.push_back(std::move(in));
            if constexpr (std::is_same_v<T, k8s::Leadership>) events.push_back(leadership(in));
            if constexpr (std::is_same_v<T, Written>) written(in, events);
            if constexpr (std::is_same_v<T, Ask>) in.work();
            if constexpr (std::is_same_v<T, Stop>) begin_stop();
          },
          input);
    }
    const Now start = now();
    if (stop_at_ && *stop_at_ <= start.steady) stopping_ = true;
    if (stopping_) return;
    const bool was_active = core_.active();
    auto actions = core_.step(std::move(events), start);
    if (core_.active() && !was_active) log::info("leading, term {}", core_.term());
    for (egress::Action& action : actions) perform(std::move(action), start);
    for (k8s::Write& count : recorder_.flush(start)) push(std::move(count));
    for (; !new_events_.empty() && new_events_.front().first <= start.steady;
         new_events_.pop_front()) {
      push(std::move(new_events_.front().second));
    }
    stats_.steps.observe(now().steady - start.steady);
  }

  egress::Event leadership(const k8s::Leadership& l) {
    if (webhook_) webhook_->lead(l.leading);
    if (l.leading) {
      log::info("holds the Lease, term {}", l.term);
      return egress::LeaderChanged{l.term, watches_.begin_round()};
    }
    log::warn("does not lead any more: {}", l.why);
    return egress::LostLeadership{};
  }

  void perform(egress::Action action, const Now& when) {
    if (auto* write = std::get_if<egress::Write>(&action)) {
      k8s::Write request = to_request(*write);
      request.tag = ++last_tag_;
      ++stats_.pending;
      in_flight_.emplace(request.tag,
                         InFlight{egress::key_of(write->object), write->verb, when.steady});
      log::debug("{} {} {}", egress::to_string(write->verb), request.resource->kind,
                 request.key.to_string());
      push(std::move(request));
    } else if (auto* notice = std::get_if<egress::Notice>(&action)) {
      log::info("{} {}: {}: {}", notice->regarding.kind, notice->regarding.name, notice->reason,
                notice->message);
      auto event = recorder_.record(notice->regarding, notice->warning ? "Warning" : "Normal",
                                    notice->reason, notice->message, when);
      if (event) new_events_.emplace_back(when.steady + kEventDelay, *std::move(event));
    } else if (std::holds_alternative<egress::AskServiceRanges>(action)) {
      for (k8s::Write& request : service_probe_.ask(last_tag_)) push(std::move(request));
    } else if (const auto* resign = std::get_if<egress::Resign>(&action)) {
      log::error("resigns: {}", resign->why);
      if (stop_at_) return; // it has resigned for good
      elector_.reset();
      elect();
      elector_->term_seen(static_cast<std::int32_t>(resign->term));
    }
  }

  // A leader's writes are not sent after its Lease may have run out.
  void push(k8s::Write request) {
    static const auto kOver = std::make_shared<const k8s::Tenure>();
    request.tenure = elector_->tenure();
    if (!request.tenure) request.tenure = kOver;
    writer_.push(std::move(request));
  }

  void written(const Written& answer, std::vector<egress::Event>& events) {
    const auto at = in_flight_.find(answer.request.tag);
    if (service_probe_.waits_for(answer.request.tag)) {
      if (auto told = service_probe_.answered(answer.request.tag, answer.result)) {
        stats_.count(*told);
        if (!told->problem.empty()) log::warn("ranges of services: {}", told->problem);
        events.emplace_back(*std::move(told));
      }
      return;
    }
    if (at == in_flight_.end()) { // of the recorder
      if (!answer.result) log::debug("event: {}", answer.result.error().message);
      if (auto again = recorder_.done(answer.request, answer.result, now()))
        push(*std::move(again));
      return;
    }
    const InFlight was = std::move(at->second);
    in_flight_.erase(at);
    egress::WriteDone done = to_event(was.key, answer.request, answer.result);
    stats_.count(was.key.kind, was.verb, done.outcome, now().steady - was.pushed);
    if (!answer.result) {
      const std::string& why = answer.result.error().message;
      if (done.outcome == egress::WriteDone::Outcome::Failed) {
        log::warn("{}", why);
      } else {
        log::debug("{}", why);
      }
    }
    events.emplace_back(std::move(done));
  }

  // --- questions of the health server's threads, answered by the core thread ---------------------

  HealthQuestions questions() {
    using namespace std::chrono_literals;
    HealthQuestions q;
    q.metrics = [this] {
      auto text = ask(queue_, 5s,
                      [this] { return metrics_text(core_, stats_, client_.metrics(), watches_); });
      if (text && webhook_) *text += webhook_->metrics_text();
      return text;
    };
    q.unhealthy = [this]() -> std::optional<std::string> {
      if (ask(queue_, 5s, [] { return true; })) return std::nullopt;
      return "the core thread does not answer";
    };
    q.unready = [this]() -> std::optional<std::string> {
      const auto answered = ask(queue_, 2s, [this] { return core_.world().answered(); });
      if (!answered) return "the core thread does not answer";
      if (draining_) return "stopping";
      if (*answered) return webhook_ ? webhook_->unready() : std::nullopt;
      std::string why = "waiting for lists from the API server";
      for (const auto& view : watches_.views()) {
        if (view.fault) why += "; " + *view.fault;
      }
      return why;
    };
    return q;
  }

  struct InFlight {
    egress::ObjectKey key;
    egress::WriteVerb verb;
    Time pushed;
  };

  ControllerSettings settings_;
  egress::ControllerCore core_;
  k8s::EventRecorder recorder_;
  std::deque<std::pair<Time, k8s::Write>> new_events_; // and when to write them
  ControllerStats stats_;
  std::map<std::uint64_t, InFlight> in_flight_;
  std::uint64_t last_tag_ = 0;
  ServiceProbe service_probe_{""};
  bool stopping_ = false;
  std::optional<Time> stop_at_;       // told to stop, and answers until then
  std::atomic<bool> draining_{false}; // the same, for the health server's threads
  RestingConsumer resting_{kQuiet, kLongWork, release_memory};

  // What has threads comes last: they end before the rest goes.
  Queue<Input> queue_;
  k8s::Client client_;
  std::unique_ptr<k8s::Elector> elector_;
  k8s::Writer writer_;
  ControllerWatches watches_;
  std::unique_ptr<ControllerWebhook> webhook_;
};

} // namespace

int run_controller(const ControllerSettings& settings) {
  return Controller(settings, begin_role("controller", settings.level, settings.kubeconfig)).run();
}

} // namespace egw::cmd
