// SPDX-License-Identifier: Apache-2.0
#include "cmd/controller_metrics.hpp"

#include "cmd/controller_writes.hpp"
#include "version.hpp"

namespace egw::cmd {

namespace {

void gateways(MetricsText& text, const egress::World& world) {
  text.family("egw_eips", "gauge", "EIPs by gateway and node; without a node: unplaced");
  for (const auto& [name, gateway] : world.gateways) {
    for (const auto& node : gateway.status.node_list) {
      text.sample({{"gateway", name}, {"node", node.name}}, static_cast<double>(node.eips.size()));
    }
    text.sample({{"gateway", name}, {"node", ""}},
                static_cast<double>(gateway.status.unplaced.size()));
  }
  text.family("egw_gateway_addresses_free", "gauge", "Addresses of the pool that no EIP uses");
  for (const auto& [name, gateway] : world.gateways) {
    const auto& usage = gateway.status.ip_usage;
    text.sample({{"gateway", name}, {"family", "ipv4"}}, static_cast<double>(usage.ipv4_free));
    text.sample({{"gateway", name}, {"family", "ipv6"}}, static_cast<double>(usage.ipv6_free));
  }
  text.family("egw_gateway_ready", "gauge", "Whether the gateway's condition Ready is True");
  for (const auto& [name, gateway] : world.gateways) {
    const auto* ready = api::find_condition(gateway.status.conditions, egress::kReady);
    text.sample({{"gateway", name}}, ready != nullptr && ready->status == "True" ? 1 : 0);
  }
}

void nodes(MetricsText& text, const egress::World& world) {
  std::map<api::NodePhase, int> counts;
  for (const auto& [name, node] : world.egress_nodes) ++counts[node.status.phase];
  text.family("egw_nodes", "gauge", "EgressNodes by phase");
  for (const auto& [phase, count] : counts) {
    text.sample({{"phase", api::to_string(phase)}}, count);
  }
}

void policies(MetricsText& text, const egress::World& world) {
  std::map<std::pair<std::string, bool>, int> counts;
  for (const auto& [key, policy] : world.policies) {
    const auto* ready = api::find_condition(policy.status.conditions, egress::kReady);
    ++counts[{api::to_string(key.kind), ready != nullptr && ready->status == "True"}];
  }
  text.family("egw_policies", "gauge", "Policies by kind, and whether they are in effect");
  for (const auto& [what, count] : counts) {
    text.sample({{"kind", what.first}, {"ready", what.second ? "true" : "false"}}, count);
  }
}

void cluster_info(MetricsText& text, const egress::World& world, const ControllerStats& stats) {
  text.family("egw_cluster_info_condition", "gauge",
              "Whether a condition of the EgressClusterInfo is True");
  for (const auto& [name, info] : world.cluster_infos) {
    for (const auto& c : info.status.conditions) {
      text.sample({{"condition", c.type}}, c.status == "True" ? 1 : 0);
    }
  }
  text.family("egw_service_range_questions_total", "counter",
              "How often the API server was asked for the ranges of services");
  text.sample({{"result", "answered"}}, static_cast<double>(stats.questions_answered));
  text.sample({{"result", "failed"}}, static_cast<double>(stats.questions_failed));
}

void watches_of(MetricsText& text, const ControllerWatches& watches) {
  const auto views = watches.views();
  text.family("egw_watch_up", "gauge", "Whether the watch of a kind works");
  for (const auto& v : views) {
    if (v.absent) continue; // nothing to watch, and nothing wrong
    text.sample({{"kind", egress::to_string(v.kind)}}, v.fault ? 0 : 1);
  }
  const auto counter = [&](const char* name, const char* help, auto member) {
    text.family(name, "counter", help);
    for (const auto& v : views) {
      text.sample({{"kind", egress::to_string(v.kind)}},
                  static_cast<double>((v.metrics->*member).load()));
    }
  };
  using M = k8s::WatchMetrics;
  counter("egw_watch_events_total", "Objects added, modified or deleted after the list",
          &M::events);
  counter("egw_watch_lists_total", "Complete lists; after the first one, gaps", &M::lists);
  text.family("egw_watch_listed_timestamp_seconds", "gauge",
              "When the last complete list had come, in Unix time; 0: none has");
  for (const auto& v : views) {
    text.sample({{"kind", egress::to_string(v.kind)}},
                static_cast<double>(v.metrics->listed_us.load()) * 1e-6);
  }
  counter("egw_watch_failures_total", "Watches refused, cut, stalled or not understood",
          &M::failures);
  counter("egw_watch_decode_errors_total", "Objects that could not be decoded", &M::decode_errors);
}

void client_of(MetricsText& text, const k8s::ClientMetrics& m) {
  const auto counter = [&](const char* name, const char* help, const auto& value,
                           double scale = 1) {
    text.family(name, "counter", help);
    text.sample({}, static_cast<double>(value.load()) * scale);
  };
  counter("egw_api_requests_total", "Requests sent to the API server", m.requests);
  counter("egw_api_retries_total", "Attempts after the first", m.retries);
  counter("egw_api_network_errors_total", "Requests without an answer", m.errors_network);
  counter("egw_api_throttled_total", "Answers 429", m.throttled);
  counter("egw_api_server_errors_total", "Answers 5xx", m.errors_5xx);
  counter("egw_api_rate_limited_seconds_total", "Waited for the own rate limit", m.rate_limited_us,
          1e-6);
}

} // namespace

void ControllerStats::count(egress::Kind kind, egress::WriteVerb verb,
                            egress::WriteDone::Outcome outcome, Duration took) {
  --pending;
  ++writes[{kind, verb, outcome}];
  write_times[kind].observe(took);
}

void ControllerStats::count(const egress::ServiceRangesTold& told) {
  ++(told.problem.empty() ? questions_answered : questions_failed);
}

std::string metrics_text(const egress::ControllerCore& core, const ControllerStats& stats,
                         const k8s::ClientMetrics& client, const ControllerWatches& watches) {
  MetricsText text;
  text.family("egw_build_info", "gauge", "Version of the program");
  text.sample({{"version", std::string(version())}}, 1);
  text.family("egw_controller_leader", "gauge", "Whether this process leads");
  text.sample({}, core.active() ? 1 : 0);
  text.family("egw_controller_term", "gauge", "Of this leader, as it stands in gateways' status");
  text.sample({}, core.active() ? static_cast<double>(core.term()) : 0);
  gateways(text, core.world());
  policies(text, core.world());
  nodes(text, core.world());
  cluster_info(text, core.world(), stats);

  const auto& counters = core.counters();
  text.family("egw_reconciles_total", "counter", "How often something was planned anew");
  for (const auto& [what, n] : {std::pair{"verdict", counters.verdicts},
                                {"gateway", counters.gateways},
                                {"policy", counters.statuses},
                                {"node", counters.nodes},
                                {"slices", counters.slices},
                                {"cluster_info", counters.infos}}) {
    text.sample({{"object", what}}, static_cast<double>(n));
  }
  text.family("egw_fruitless_writes_total", "counter", "Writes that succeeded and changed nothing");
  text.sample({}, static_cast<double>(counters.fruitless));
  text.family("egw_objects_pending", "gauge",
              "Objects that are being written, or whose write waits for another try");
  text.sample({}, static_cast<double>(core.pending(now().steady)));
  text.family("egw_step_duration_seconds", "histogram", "One turn of the loop");
  text.histogram({}, stats.steps);
  text.family("egw_writes_total", "counter", "Writes of the controller by result");
  for (const auto& [what, n] : stats.writes) {
    const auto& [kind, verb, outcome] = what;
    text.sample({{"kind", egress::to_string(kind)},
                 {"verb", egress::to_string(verb)},
                 {"result", to_string(outcome)}},
                static_cast<double>(n));
  }
  text.family("egw_writes_pending", "gauge", "Writes that are queued or under way");
  text.sample({}, static_cast<double>(stats.pending));
  text.family("egw_write_duration_seconds", "histogram", "From the wish to the answer");
  for (const auto& [kind, histogram] : stats.write_times) {
    text.histogram({{"kind", egress::to_string(kind)}}, histogram);
  }
  watches_of(text, watches);
  client_of(text, client);
  return text.take();
}

} // namespace egw::cmd
