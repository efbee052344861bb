// SPDX-License-Identifier: Apache-2.0
#include "cmd/status_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "egress/cidr_lists.hpp"
#include "egress/cluster_info.hpp"

namespace egw::cmd {
namespace {

using api::Condition;
using Problems = std::vector<StatusReport::Problem>;

// Clocks of two machines differ; a lease is called stale only beyond what that explains.
constexpr auto kClockSkew = std::chrono::seconds(15);

const Condition* first_false(const std::vector<Condition>& conditions,
                             std::initializer_list<std::string_view> first) {
  for (const std::string_view type : first) {
    const Condition* c = api::find_condition(conditions, type);
    if (c != nullptr && c->status == "False") return c;
  }
  const auto other = std::find_if(conditions.begin(), conditions.end(),
                                  [](const Condition& c) { return c.status == "False"; });
  return other == conditions.end() ? nullptr : &*other;
}

std::string reason_of(const Condition& c) {
  if (c.message.empty()) return c.reason.empty() ? c.type + " is False" : c.reason;
  return c.reason.empty() ? c.message : fmt::format("{}: {}", c.reason, c.message);
}

std::string ready_of(const std::vector<Condition>& conditions) {
  const Condition* ready = api::find_condition(conditions, "Ready");
  return ready == nullptr ? "Unknown" : ready->status;
}

// The same cause for many objects is told once.
void tell(Problems& problems, std::string object, const std::string& text) {
  auto at = std::find_if(problems.begin(), problems.end(),
                         [&](const StatusReport::Problem& p) { return p.text == text; });
  if (at == problems.end()) at = problems.insert(at, {{}, text});
  if (!object.empty()) at->objects.push_back(std::move(object));
}

class Reporter {
 public:
  Reporter(const ClusterLists& lists, WallTime now) : lists_(lists), now_(now) {}

  StatusReport make() {
    collect();
    leader();
    for (const Error& e : lists_.broken) tell(report_.problems, "", "unreadable: " + e.message);
    info();
    for (const api::EgressGateway& g : lists_.gateways) gateway(g);
    for (const api::EgressNode& n : lists_.nodes) node(n);
    for (const api::EgressPolicy& p : lists_.policies) policy(p);
    std::sort(report_.gateways.begin(), report_.gateways.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    std::sort(report_.nodes.begin(), report_.nodes.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    std::sort(report_.policies.begin(), report_.policies.end(), [](const auto& a, const auto& b) {
      return std::tie(a.key.namespace_, a.key.name, a.key.kind) <
             std::tie(b.key.namespace_, b.key.name, b.key.kind);
    });
    return std::move(report_);
  }

 private:
  void collect() {
    for (const api::EgressPolicy& p : lists_.policies) {
      if (p.status.eip_id != 0) users_[p.status.eip_id].push_back(p.key().to_string());
    }
    for (auto& [id, names] : users_) std::sort(names.begin(), names.end());
    for (const api::EgressEndpointSlice& s : lists_.slices) {
      if (const auto uid = s.meta.labels.find(api::kLabelPolicyUid)) {
        pods_[std::string(*uid)] += s.endpoints.size();
      } else if (!s.meta.owners.empty()) {
        pods_[s.meta.owners.front().uid] += s.endpoints.size();
      }
    }
    for (const api::EgressGateway& g : lists_.gateways) {
      for (const auto& n : g.status.node_list) gateways_of_[n.name].push_back(g.meta.name);
    }
  }

  void leader() {
    const api::Lease* latest = nullptr;
    for (const api::Lease& lease : lists_.leases) {
      if (!lease.holder.empty() && (latest == nullptr || lease.renewed > latest->renewed)) {
        latest = &lease;
      }
    }
    const char* remedy = "nothing is decided meanwhile: see `kubectl -n egw-system get pods`";
    if (latest == nullptr) {
      tell(report_.problems, "", fmt::format("no controller leads; {}", remedy));
      return;
    }
    const auto silent = std::chrono::duration_cast<std::chrono::seconds>(now_ - latest->renewed);
    if (silent > std::chrono::seconds(latest->duration_seconds) + kClockSkew) {
      tell(report_.problems, "",
           fmt::format("controller {} led last, {} s ago; {}", latest->holder, silent.count(),
                       remedy));
      return;
    }
    report_.leader = latest->holder;
  }

  void info() {
    if (lists_.infos.empty()) {
      tell(report_.problems, "EgressClusterInfo default",
           "missing, so that agents cannot tell what is inside the cluster: a controller makes it");
    }
    for (const api::EgressClusterInfo& i : lists_.infos) {
      for (const Condition& c : i.status.conditions) {
        if (c.status != "False" || c.reason == egress::kOthersSay) continue;
        tell(report_.problems, "EgressClusterInfo " + i.meta.name, reason_of(c));
      }
      if (i.meta.name == egress::kClusterInfoName) inside(i.status);
    }
  }

  void inside(const api::EgressClusterInfoStatus& s) {
    const auto line = [&](const char* what, std::string from,
                          const std::vector<const api::CidrSource*>& sources) {
      std::vector<Range> ranges;
      for (const auto* source : sources) egress::collect(ranges, *source);
      if (ranges.empty()) return;
      auto merged = egress::merged(std::move(ranges), true);
      report_.inside.push_back(
          {what, std::move(from), std::move(merged.ipv4), std::move(merged.ipv6)});
    };
    const auto all = [](const std::map<std::string, api::CidrSource>& by_origin) {
      std::vector<const api::CidrSource*> sources;
      sources.reserve(by_origin.size());
      for (const auto& [origin, source] : by_origin) sources.push_back(&source);
      return sources;
    };
    const auto* services = api::find_condition(s.conditions, egress::kServiceCidr);
    line("nodes", "Nodes", all(s.node_ip));
    line("pods", s.pod_cidr_mode, all(s.pod_cidr));
    line("services", services == nullptr ? "" : services->reason, {&s.cluster_ip});
    line("API server", "default/kubernetes", {&s.api_server});
    line("added", "spec.extraCidr", {&s.extra_cidr});
  }

  StatusReport::Eip eip(const api::EipEntry& entry) const {
    StatusReport::Eip eip{entry.id, entry.ipv4, entry.ipv6, {}};
    const auto known = users_.find(entry.id);
    if (known != users_.end()) {
      eip.users = known->second;
    } else {
      for (const api::PolicyKey& key : entry.policies) eip.users.push_back(key.to_string());
    }
    return eip;
  }

  void gateway(const api::EgressGateway& g) {
    StatusReport::Gateway line{.name = g.meta.name,
                               .ready = ready_of(g.status.conditions),
                               .cluster_default = g.spec.cluster_default,
                               .holders = {},
                               .unplaced = {},
                               .usage = g.status.ip_usage};
    for (const auto& n : g.status.node_list) {
      auto& holder = line.holders.emplace_back(StatusReport::Holder{n.name, n.status, {}});
      for (const auto& entry : n.eips) holder.eips.push_back(eip(entry));
    }
    for (const auto& entry : g.status.unplaced) line.unplaced.push_back(eip(entry));

    const std::string name = "EgressGateway " + g.meta.name;
    if (const Condition* wrong = first_false(g.status.conditions, {"Accepted", "Ready"})) {
      tell(report_.problems, name, reason_of(*wrong));
    } else if (line.ready != "True") {
      tell(report_.problems, name, "not judged by a controller yet");
    } else if (!line.unplaced.empty()) {
      tell(report_.problems, name,
           fmt::format("{} of its EIPs stand nowhere: no node that it selects is ready",
                       line.unplaced.size()));
    }
    report_.gateways.push_back(std::move(line));
  }

  void node(const api::EgressNode& n) {
    const api::EgressNodeStatus& s = n.status;
    StatusReport::Node line{.name = n.meta.name,
                            .phase = api::to_string(s.phase),
                            .tunnel_ipv4 = s.tunnel_ipv4,
                            .tunnel_ipv6 = s.tunnel_ipv6,
                            .parent = s.parent.name,
                            .agent = s.agent.version,
                            .gateways = {}};
    const auto gateways = gateways_of_.find(n.meta.name);
    if (gateways != gateways_of_.end()) line.gateways = gateways->second;
    if (s.phase != api::NodePhase::Ready) {
      const Condition* wrong =
          first_false(s.conditions, {"AddressesAllocated", "DatapathReady", "Ready"});
      const std::string why = wrong == nullptr ? line.phase : reason_of(*wrong);
      tell(report_.problems, "EgressNode " + n.meta.name,
           fmt::format("{}; see `kubectl describe node {}` and the egw-agent pod there", why,
                       n.meta.name));
    }
    for (const char* type : {"EIPsUnique", "PortsAvailable"}) {
      const Condition* c = api::find_condition(s.conditions, type);
      if (c != nullptr && c->status == "False") {
        tell(report_.problems, "EgressNode " + n.meta.name, c->message);
      }
    }
    report_.nodes.push_back(std::move(line));
  }

  void policy(const api::EgressPolicy& p) {
    const api::PolicyStatus& s = p.status;
    const Condition* ready = api::find_condition(s.conditions, "Ready");
    StatusReport::Policy line{.key = p.key(),
                              .gateway = p.spec.gateway,
                              .ipv4 = s.eip_ipv4,
                              .ipv6 = s.eip_ipv6,
                              .node = s.node,
                              .ready = ready_of(s.conditions),
                              .reason = ready == nullptr ? "" : ready->reason,
                              .node_ip = p.spec.use_node_ip};
    const auto pods = pods_.find(p.meta.uid);
    if (pods != pods_.end()) line.pods = pods->second;
    const std::string name = line.key.to_string();
    if (const Condition* wrong = first_false(s.conditions, {"Accepted", "Allocated", "Ready"})) {
      tell(report_.problems, name, reason_of(*wrong));
    } else if (line.ready != "True") {
      tell(report_.problems, name, "not judged by a controller yet");
    } else if (line.pods == 0) {
      tell(report_.notes, name, "selects no running pod: compare spec.appliedTo with their labels");
    }
    for (const char* type : {"Allocated", "Overlapped"}) {
      const Condition* c = api::find_condition(s.conditions, type);
      if (c != nullptr && c->status == "True" && !c->message.empty()) {
        tell(report_.notes, name, reason_of(*c));
      }
    }
    report_.policies.push_back(std::move(line));
  }

  const ClusterLists& lists_;
  WallTime now_;
  StatusReport report_;
  std::unordered_map<std::int32_t, std::vector<std::string>> users_; // by EIP id
  std::unordered_map<std::string, std::size_t> pods_;                // by policy's uid
  std::map<std::string, std::vector<std::string>> gateways_of_;      // by node
};

} // namespace

std::size_t StatusReport::problem_count() const {
  std::size_t n = 0;
  for (const Problem& p : problems) n += std::max<std::size_t>(p.objects.size(), 1);
  return n;
}

StatusReport make_report(const ClusterLists& lists, WallTime now) {
  return Reporter(lists, now).make();
}

} // namespace egw::cmd
