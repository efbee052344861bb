// SPDX-License-Identifier: Apache-2.0
#include "cmd/agent_metrics.hpp"

#include <algorithm>

#include "egress/classifier.hpp"
#include "version.hpp"

namespace egw::cmd {

namespace {

void gauge(MetricsText& text, const char* name, const char* help, double value) {
  text.family(name, "gauge", help);
  text.sample({}, value);
}
void counter(MetricsText& text, const char* name, const char* help, std::uint64_t value) {
  text.family(name, "counter", help);
  text.sample({}, static_cast<double>(value));
}

void plan_of(MetricsText& text, const egress::NodePlan& plan) {
  text.family("egw_node_eip_held", "gauge", "EIPs that this node holds");
  for (const auto& [id, addresses] : plan.held) {
    for (const Address& a : addresses) text.sample({{"eip", a.to_string()}}, 1);
  }
  gauge(text, "egw_node_gateways_used", "Gateway nodes that pods of this node use",
        static_cast<double>(std::ranges::count_if(
            plan.marks.index, [](const auto& m) { return !egress::link_of(m.first); })));
  const auto& data = plan.classifier.data;
  gauge(text, "egw_node_pod_addresses",
        "Addresses of selected pods, remote ones on a gateway included",
        data ? static_cast<double>(data->pod_count()) : 0);
  gauge(text, "egw_node_pods_starting",
        "Pods that a policy selects and whose address is not known yet",
        static_cast<double>(plan.pods_starting));
  gauge(text, "egw_node_problems", "Why this node's datapath is not complete",
        static_cast<double>(plan.problems.size()));
  gauge(text, "egw_node_warnings", "What is wrong elsewhere and concerns this node",
        static_cast<double>(plan.warnings.size()));
}

void watches_of(MetricsText& text, const AgentWatches& watches) {
  const auto views = watches.views();
  text.family("egw_watch_up", "gauge", "Whether a watch works");
  for (const auto& v : views) text.sample({{"kind", v.name}}, v.fault ? 0 : 1);
  const auto each = [&](const char* name, const char* help, auto member) {
    text.family(name, "counter", help);
    for (const auto& v : views) {
      text.sample({{"kind", v.name}}, static_cast<double>((v.metrics->*member).load()));
    }
  };
  using M = k8s::WatchMetrics;
  each("egw_watch_events_total", "Objects added, modified or deleted after the list", &M::events);
  each("egw_watch_lists_total", "Complete lists; after the first one, gaps", &M::lists);
  each("egw_watch_failures_total", "Watches refused, cut, stalled or not understood", &M::failures);
  each("egw_watch_decode_errors_total", "Objects that could not be decoded", &M::decode_errors);
}

} // namespace

std::string metrics_text(const egress::AgentCore& core, const AgentStats& stats,
                         const AgentGuard& guard, const k8s::ClientMetrics& client,
                         const AgentWatches& watches) {
  MetricsText text;
  text.family("egw_build_info", "gauge", "Version of the program");
  text.sample({{"version", std::string(version())}}, 1);
  gauge(text, "egw_agent_synced", "Whether every list has been complete", core.synced() ? 1 : 0);
  gauge(text, "egw_agent_settled", "Whether the kernel is as planned", core.settled() ? 1 : 0);
  plan_of(text, core.plan());
  text.family("egw_node_eip_conflicts", "gauge",
              "EIPs of this node that another host uses too, with its MAC");
  for (const auto& c : core.conflicts()) {
    text.sample({{"eip", c.address.to_string()}, {"mac", c.mac.to_string()}}, 1);
  }
  text.family("egw_node_eip_crowded", "gauge",
              "Connections of an EIP to a destination for which it has no port left");
  for (const auto& c : core.crowded()) {
    text.sample({{"eip_id", std::to_string(c.eip_id)},
                 {"protocol", std::to_string(c.protocol)},
                 {"destination", c.destination.to_string()},
                 {"port", std::to_string(c.port)}},
                static_cast<double>(c.connections));
  }
  gauge(text, "egw_lease_left_seconds", "Until this node stops answering for its EIPs",
        std::chrono::duration<double>(guard.left(now().steady)).count());
  counter(text, "egw_lease_refreshes_total", "Renewals of the lease", guard.refreshes());
  counter(text, "egw_lease_failures_total", "Renewals that the kernel refused", guard.failures());
  text.family("egw_turn_duration_seconds", "histogram",
              "One turn of the loop, kernel writes included");
  text.histogram({}, stats.turns);
  text.family("egw_kernel_look_duration_seconds", "histogram", "Full looks at the kernel");
  text.histogram({}, stats.looks);
  text.family("egw_kernel_apply_duration_seconds", "histogram", "Changes written to the kernel");
  text.histogram({}, stats.applies);
  counter(text, "egw_kernel_refusals_total", "Operations that the kernel refused", stats.refusals);
  counter(text, "egw_connections_forgotten_total",
          "Connections that a newer plan decides otherwise", stats.forgotten);
  counter(text, "egw_conntrack_insert_failures_total",
          "Connections of this node that the kernel had to drop, mostly because an EIP had no port "
          "left for a destination",
          stats.insert_failures);
  counter(text, "egw_announcements_total", "Addresses announced after a takeover", stats.announced);
  counter(text, "egw_reports_total", "Writes of this node's EgressNode", stats.reports);
  counter(text, "egw_report_failures_total", "Those that failed", stats.report_failures);
  watches_of(text, watches);
  counter(text, "egw_api_requests_total", "Requests sent to the API server", client.requests);
  counter(text, "egw_api_network_errors_total", "Requests without an answer",
          client.errors_network);
  return text.take();
}

} // namespace egw::cmd
