// SPDX-License-Identifier: Apache-2.0
#include "cmd/status_render.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "cmd/table.hpp"

namespace egw::cmd {
namespace {

constexpr const char* kNodeIp = "node's own";

constexpr std::size_t kProblemsShown = 20;
constexpr std::size_t kObjectsShown = 3;
constexpr std::size_t kRangesShown = 2;

Tone tone_of(const std::string& word) {
  if (word == "True" || word == "Ready") return Tone::Good;
  if (word == "Unknown" || word == "Pending" || word == "Init") return Tone::Warn;
  return word.empty() ? Tone::Plain : Tone::Bad;
}

std::string counted(std::size_t n, const char* one, const char* many) {
  return fmt::format("{} {}", n, n == 1 ? one : many);
}

template <class Items, class Good>
std::string ratio(const Items& items, Good good) {
  return fmt::format("{}/{}", std::count_if(items.begin(), items.end(), good), items.size());
}

std::string first_few(const std::vector<std::string>& names, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), most); ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > most) text += fmt::format(" and {} more", names.size() - most);
  return text;
}

std::string short_user(const std::string& user) {
  return user.substr(user.find(' ') + 1);
}

std::string users_of(const StatusReport::Eip& eip) {
  if (eip.users.empty()) return "-";
  const std::string more = eip.users.size() > 1 ? fmt::format(" +{}", eip.users.size() - 1) : "";
  return short_user(eip.users.front()) + more;
}

std::string header(const StatusReport& r, bool colour) {
  std::size_t placed = 0, waiting = 0, pods = 0;
  for (const auto& g : r.gateways) {
    waiting += g.unplaced.size();
    for (const auto& h : g.holders) placed += h.eips.size();
  }
  for (const auto& p : r.policies) pods += p.pods;
  const auto ready = [](const auto& x) { return x.ready == "True"; };
  const std::string verdict =
      r.ok() ? toned("all is well", Tone::Good, colour)
             : toned(counted(r.problem_count(), "problem", "problems"), Tone::Bad, colour);
  std::string out = fmt::format(
      "{}: gateways {} ready, nodes {} ready, {}{}, policies {} ready, {}\n", verdict,
      ratio(r.gateways, ready), ratio(r.nodes, [](const auto& n) { return n.phase == "Ready"; }),
      counted(placed, "EIP", "EIPs"), waiting == 0 ? "" : fmt::format(" (+{} nowhere)", waiting),
      ratio(r.policies, ready), counted(pods, "pod", "pods"));
  if (!r.leader.empty()) out += shortened("leader: " + r.leader, kScreenWidth) + '\n';
  return out;
}

std::string told(const std::vector<StatusReport::Problem>& problems, const char* head, Tone tone,
                 bool colour) {
  if (problems.empty()) return {};
  std::string out = '\n' + toned(head, tone, colour) + '\n';
  for (std::size_t i = 0; i < std::min(problems.size(), kProblemsShown); ++i) {
    const auto& p = problems[i];
    const std::string who = first_few(p.objects, kObjectsShown);
    const std::string text = who.empty() ? p.text : who + ": " + p.text;
    out += "  " + wrapped(text, kScreenWidth - 2, 4) + '\n';
  }
  if (problems.size() > kProblemsShown) {
    out += fmt::format("  and {} more: -o json tells all\n", problems.size() - kProblemsShown);
  }
  return out;
}

std::string gateways_table(const StatusReport& r, bool colour) {
  if (r.gateways.empty()) return {};
  Table table({"GATEWAY", "READY", "NODE", "PHASE", "IPV4", "IPV6", "USED BY"});
  for (const auto& g : r.gateways) {
    Cell name{g.cluster_default ? g.name + " *" : g.name}, ready{g.ready, tone_of(g.ready)};
    // The gateway stands on its first line, a node on its own first one.
    const auto line = [&](Cell node, Cell phase, const StatusReport::Eip* eip) {
      const bool node_ip = eip != nullptr && eip->ipv4.empty() && eip->ipv6.empty();
      const auto or_dash = [&](const std::string& s) {
        return !s.empty() ? s : std::string(node_ip ? kNodeIp : "-");
      };
      table.row({std::exchange(name, {}),
                 std::exchange(ready, {}),
                 std::move(node),
                 std::move(phase),
                 {eip == nullptr ? "" : or_dash(eip->ipv4)},
                 {eip == nullptr ? "" : or_dash(eip->ipv6)},
                 {eip == nullptr ? "" : users_of(*eip)}});
    };
    for (const auto& h : g.holders) {
      Cell node{h.node}, phase{h.phase, tone_of(h.phase)};
      if (h.eips.empty()) line(node, phase, nullptr);
      for (const auto& e : h.eips) line(std::exchange(node, {}), std::exchange(phase, {}), &e);
    }
    for (const auto& e : g.unplaced) line({"nowhere", Tone::Bad}, {}, &e);
    if (g.holders.empty() && g.unplaced.empty()) line({"no node", Tone::Bad}, {}, nullptr);
  }
  return '\n' + table.render(kScreenWidth, colour);
}

std::string policies_table(const StatusReport& r, bool colour) {
  if (r.policies.empty()) return {};
  Table table({"POLICY", "KIND", "GATEWAY", "IPV4", "IPV6", "NODE", "PODS", "READY"});
  for (const auto& p : r.policies) {
    const bool cluster = p.key.kind == api::PolicyKind::EgressClusterPolicy;
    const bool gateway = p.key.kind == api::PolicyKind::EgressGatewayPolicy;
    table.row({{api::NamespacedName{p.key.namespace_, p.key.name}.to_string()},
               {cluster   ? "cluster"
                : gateway ? "gateway"
                          : "policy"},
               {p.gateway},
               {p.node_ip ? kNodeIp : p.ipv4},
               {p.node_ip ? kNodeIp : p.ipv6},
               {p.node},
               {fmt::format("{}", p.pods)},
               {p.ready, tone_of(p.ready)}});
  }
  return '\n' + table.render(kScreenWidth, colour);
}

std::string nodes_table(const StatusReport& r, bool colour) {
  if (r.nodes.empty()) return {};
  Table table({"NODE", "PHASE", "TUNNEL", "TUNNEL6", "PARENT", "AGENT", "GATEWAYS"});
  for (const auto& n : r.nodes) {
    table.row({{n.name},
               {n.phase, tone_of(n.phase)},
               {n.tunnel_ipv4},
               {n.tunnel_ipv6},
               {n.parent},
               {n.agent},
               {first_few(n.gateways, kObjectsShown)}});
  }
  return '\n' + table.render(kScreenWidth, colour);
}

std::string inside_table(const StatusReport& r, bool colour) {
  if (r.inside.empty()) return {};
  Table table({"INSIDE", "FROM", "IPV4", "IPV6"});
  for (const auto& i : r.inside) {
    const auto few = [](const std::vector<std::string>& ranges) {
      return ranges.empty() ? std::string("-") : first_few(ranges, kRangesShown);
    };
    table.row({{i.what}, {i.from}, {few(i.ipv4)}, {few(i.ipv6)}});
  }
  return '\n' + table.render(kScreenWidth, colour);
}

Tree texts(const std::vector<std::string>& items) {
  Tree::List list;
  for (const std::string& s : items) list.emplace_back(s);
  return list;
}

Tree problems_tree(const std::vector<StatusReport::Problem>& problems) {
  Tree::List list;
  for (const auto& p : problems) {
    list.emplace_back(Tree::Members{{"objects", texts(p.objects)}, {"text", p.text}});
  }
  return list;
}

Tree eips_tree(const std::vector<StatusReport::Eip>& eips) {
  Tree::List list;
  for (const auto& e : eips) {
    list.emplace_back(Tree::Members{
        {"id", std::int64_t{e.id}}, {"ipv4", e.ipv4}, {"ipv6", e.ipv6}, {"users", texts(e.users)}});
  }
  return list;
}

Tree gateway_tree(const StatusReport::Gateway& g) {
  Tree::List nodes;
  for (const auto& h : g.holders) {
    nodes.emplace_back(
        Tree::Members{{"name", h.node}, {"phase", h.phase}, {"eips", eips_tree(h.eips)}});
  }
  return Tree::Members{{"name", g.name},
                       {"ready", g.ready},
                       {"clusterDefault", g.cluster_default},
                       {"nodes", std::move(nodes)},
                       {"unplaced", eips_tree(g.unplaced)},
                       {"ipUsage", Tree::Members{{"ipv4Total", g.usage.ipv4_total},
                                                 {"ipv4Free", g.usage.ipv4_free},
                                                 {"ipv6Total", g.usage.ipv6_total},
                                                 {"ipv6Free", g.usage.ipv6_free}}}};
}

Tree policy_tree(const StatusReport::Policy& p) {
  return Tree::Members{{"kind", api::to_string(p.key.kind)},
                       {"namespace", p.key.namespace_},
                       {"name", p.key.name},
                       {"gateway", p.gateway},
                       {"ipv4", p.ipv4},
                       {"ipv6", p.ipv6},
                       {"useNodeIP", p.node_ip},
                       {"node", p.node},
                       {"pods", Tree::count(p.pods)},
                       {"ready", p.ready},
                       {"reason", p.reason}};
}

Tree node_tree(const StatusReport::Node& n) {
  return Tree::Members{{"name", n.name},
                       {"phase", n.phase},
                       {"tunnelIPv4", n.tunnel_ipv4},
                       {"tunnelIPv6", n.tunnel_ipv6},
                       {"parent", n.parent},
                       {"agent", n.agent},
                       {"gateways", texts(n.gateways)}};
}

Tree inside_tree(const StatusReport::Inside& i) {
  return Tree::Members{
      {"what", i.what}, {"from", i.from}, {"ipv4", texts(i.ipv4)}, {"ipv6", texts(i.ipv6)}};
}

template <class Items, class F>
Tree list_tree(const Items& items, F f) {
  Tree::List list;
  for (const auto& x : items) list.push_back(f(x));
  return list;
}

} // namespace

std::string render_table(const StatusReport& r, bool colour) {
  return header(r, colour) + told(r.problems, "NOT RIGHT", Tone::Bad, colour) +
         told(r.notes, "TO KNOW", Tone::Warn, colour) + gateways_table(r, colour) +
         policies_table(r, colour) + nodes_table(r, colour) + inside_table(r, colour);
}

Tree to_tree(const StatusReport& r) {
  return Tree::Members{{"ok", r.ok()},
                       {"problemCount", Tree::count(r.problem_count())},
                       {"problems", problems_tree(r.problems)},
                       {"notes", problems_tree(r.notes)},
                       {"leader", r.leader},
                       {"gateways", list_tree(r.gateways, gateway_tree)},
                       {"policies", list_tree(r.policies, policy_tree)},
                       {"nodes", list_tree(r.nodes, node_tree)},
                       {"inside", list_tree(r.inside, inside_tree)}};
}

} // namespace egw::cmd
