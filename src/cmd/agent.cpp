// SPDX-License-Identifier: Apache-2.0
#include "cmd/agent.hpp"

#include <fmt/format.h>

#include <memory>
#include <utility>
#include <variant>

#include "api/json.hpp"
#include "base/log.hpp"
#include "base/memory.hpp"
#include "base/queue.hpp"
#include "base/signals.hpp"
#include "cmd/agent_claims.hpp"
#include "cmd/agent_connections.hpp"
#include "cmd/agent_guard.hpp"
#include "cmd/agent_kernel.hpp"
#include "cmd/agent_lock.hpp"
#include "cmd/agent_metrics.hpp"
#include "cmd/agent_watches.hpp"
#include "cmd/boot_guard.hpp"
#include "cmd/guarded.hpp"
#include "cmd/health.hpp"
#include "cmd/role.hpp"
#include "k8s/client.hpp"
#include "k8s/config.hpp"
#include "k8s/writer.hpp"
#include "version.hpp"

namespace egw::cmd {

namespace {

namespace agent = egress::agent;

constexpr const char* kManager = "egw-agent"; // field manager

struct Written { // the answer to a write of our EgressNode
  Result<std::string> result;
};
struct KernelReadable {};
struct Stop {};
using Input = std::variant<agent::Event, Written, KernelReadable, Ask, Stop>;

// Watches, writer and kernel push into one queue; this thread drains it, steps the core, and
// carries out what the core wants done.
class Agent {
 public:
  Agent(const AgentSettings& settings, const k8s::Config& config)
      : settings_(settings),
        core_(settings.core),
        kernel_(settings.core.plan, stats_),
        lease_(kernel_.lease()),
        client_(config, client_options("agent")),
        writer_(client_, [this](const k8s::Write&,
                                Result<std::string> r) { queue_.push(Written{std::move(r)}); }),
        guard_({.agent_grace = settings.agent_grace, .restart_grace = settings.restart_grace},
               [this](Duration left) { return lease_.refresh(left); }),
        watches_(config, settings.core.node, [this](agent::Event e) { queue_.push(std::move(e)); }),
        connections_(settings.core.plan, [this](agent::Event e) { queue_.push(std::move(e)); }),
        claims_([this](agent::Event e) { queue_.push(std::move(e)); }),
        readable_(kernel_.event_fd(), [this] { queue_.push(KernelReadable{}); }) {}

  int run() {
    auto health = serve_health(settings_.metrics, questions());
    SignalThread signals([this] { queue_.push(Stop{}); });
    log::info("egw {} on node {}, API server {}:{} ({})", version(), settings_.core.node,
              client_.config().host, client_.config().port, client_.config().origin);
    if (settings_.core.plan.ownership.exclusive && !kernel_.tables_are_bound()) {
      log::info("others can change our nftables tables: Linux 6.9 and newer keep them from it");
    }
    queue_.push(agent::Event{agent::KernelChanged{}}); // the first look need not wait for a list
    while (!stopping_) turn();
    guard_.leave();
    log::info("stopping; the datapath stays, EIPs are served for {:.0f} s more",
              std::chrono::duration<double>(guard_.left(now().steady)).count());
    health.reset();
    queue_.close(); // questions that are asked from now on get no answer
    client_.stop();
    watches_.stop();
    writer_.stop();
    return 0;
  }

 private:
  void turn() {
    auto inputs = resting_.take(queue_, core_.deadline());
    const Time start = now().steady;
    guard_.turn_begins(start);
    std::vector<agent::Event> events;
    for (Input& input : inputs) {
      std::visit([&](auto& in) { take(in, events); }, input);
    }
    // Answers of the kernel are there at once and go on in the same turn.
    while (!stopping_) {
      auto actions = core_.step(std::exchange(events, {}), now());
      for (agent::Action& action : actions) {
        std::visit([&](auto& a) { perform(a, events); }, action);
      }
      if (events.empty()) break;
    }
    guard_.turn_ends();
    stats_.turns.observe(now().steady - start);
    tell_settled();
    if (core_.settled() && !took_over_) take_over();
  }

  // From here on our own ruleset keeps what the host's boot guard kept until now.
  void take_over() {
    const auto errors = remove_boot_guard();
    took_over_ = errors.empty();
    stats_.refusals += errors.size();
    for (const Error& e : errors) log::error("boot guard: {}; tried again", e.message);
  }

  void take(agent::Event& event, std::vector<agent::Event>& events) {
    events.push_back(std::move(event));
  }
  void take(Written& answer, std::vector<agent::Event>& events) {
    if (!answer.result) {
      ++stats_.report_failures;
      log::warn("{}", answer.result.error().message);
      events.emplace_back(agent::PatchDone{answer.result.error()});
      return;
    }
    events.emplace_back(agent::PatchDone{api::decode_text<api::EgressNode>(*answer.result)});
  }
  void take(KernelReadable&, std::vector<agent::Event>& events) {
    if (kernel_.drain_events()) events.emplace_back(agent::KernelChanged{});
    readable_.drained();
  }
  void take(Ask& ask, std::vector<agent::Event>&) { ask.work(); }
  void take(Stop&, std::vector<agent::Event>&) { stopping_ = true; }

  template <class A>
  void perform(A& action, std::vector<agent::Event>& events) {
    events.push_back(kernel_.perform(action));
  }
  void perform(agent::ListConnections& action, std::vector<agent::Event>&) {
    connections_.perform(std::move(action));
  }
  void perform(agent::Forget& action, std::vector<agent::Event>&) {
    connections_.perform(std::move(action));
  }
  void perform(agent::Announce& action, std::vector<agent::Event>&) { kernel_.announce(action); }
  void perform(agent::CountConnections& action, std::vector<agent::Event>&) {
    connections_.perform(action);
  }
  void perform(agent::AskInsertFailures&, std::vector<agent::Event>& events) {
    events.emplace_back(agent::InsertFailures{insert_failures()});
  }
  void perform(agent::Probe& action, std::vector<agent::Event>&) { kernel_.probe(action); }
  void perform(agent::WatchClaims& action, std::vector<agent::Event>&) {
    claims_.watch(std::move(action));
  }
  void perform(agent::WatchSlices& action, std::vector<agent::Event>&) {
    watches_.slices_of(action.gateways);
  }
  void perform(agent::ConfirmPlacement& action, std::vector<agent::Event>&) {
    if (!action.confirmed) {
      log::error("the kernel holds an EIP that is another node's; the lease is not renewed");
    }
    guard_.confirm(action.confirmed);
  }
  void perform(agent::PatchEgressNode& action, std::vector<agent::Event>&) {
    ++stats_.reports;
    k8s::Write write;
    write.verb = k8s::Verb::Apply;
    write.resource = &api::resource<api::EgressNode>();
    write.key = {"", action.node.meta.name};
    write.status = true;
    write.field_manager = kManager;
    write.body = api::encode_agent_part(action.node);
    writer_.push(std::move(write));
  }
  void perform(agent::Tell& action, std::vector<agent::Event>&) {
    for (const std::string& text : action.problems) log::error("{}", text);
    for (const std::string& text : action.warnings) log::warn("{}", text);
    if (action.problems.empty()) log::info("this node's datapath is complete");
  }

  Result<std::uint64_t> insert_failures() {
    return guarded<Result<std::uint64_t>>([&] { return statistics_.insert_failures(); });
  }

  void tell_settled() {
    if (std::exchange(was_synced_, core_.synced()) || !core_.synced()) return;
    log::info("every list is there: {} policies, {} gateways, {} pods on this node",
              core_.world().policies.size(), core_.world().gateways.size(),
              core_.world().pods.size());
  }

  // --- questions of the health server's threads, answered by the core thread ---------------------

  std::string why_unready() const {
    std::string why;
    for (const std::string& list : core_.waiting_for()) {
      why += (why.empty() ? "waiting for lists from the API server: " : ", ") + list;
    }
    for (const auto& view : watches_.views()) {
      if (view.fault)
        why += fmt::format("{}{}: {}", why.empty() ? "" : "; ", view.name, *view.fault);
    }
    return core_.synced() ? (core_.settled() ? "" : "the kernel is not as planned") : why;
  }

  HealthQuestions questions() {
    using namespace std::chrono_literals;
    HealthQuestions q;
    q.metrics = [this] {
      return ask(queue_, 5s, [this] {
        stats_.forgotten = connections_.forgotten();
        stats_.insert_failures = insert_failures().value_or(0);
        return metrics_text(core_, stats_, guard_, client_.metrics(), watches_);
      });
    };
    q.unhealthy = [this]() -> std::optional<std::string> {
      if (guard_.stuck(now().steady)) return "the core thread is stuck";
      return std::nullopt;
    };
    q.unready = [this]() -> std::optional<std::string> {
      const auto why = ask(queue_, 2s, [this] { return why_unready(); });
      if (!why) return "the core thread does not answer";
      return why->empty() ? std::nullopt : why;
    };
    return q;
  }

  const AgentSettings settings_;
  AgentStats stats_;
  egress::AgentCore core_;
  AgentKernel kernel_;
  net::Lease lease_;
  net::Conntrack statistics_;
  bool stopping_ = false, was_synced_ = false, took_over_ = false;
  RestingConsumer resting_{kQuiet, kLongWork, release_memory};

  // What has threads comes last: they end before the rest goes.
  Queue<Input> queue_;
  k8s::Client client_;
  k8s::Writer writer_;
  AgentGuard guard_;
  AgentWatches watches_;
  AgentConnections connections_;
  AgentClaims claims_;
  ReadableThread readable_;
};

} // namespace

int run_agent(const AgentSettings& settings) {
  const k8s::Config config = begin_role("agent", settings.level, settings.kubeconfig);
  const auto lock = lock_node();
  if (!lock) throw std::runtime_error(lock.error().message);
  return Agent(settings, config).run();
}

} // namespace egw::cmd
