// SPDX-License-Identifier: Apache-2.0
#include "egress/harness.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>

namespace egw::egress::test {

namespace {
constexpr const char* kRole = "role";
}

Harness::Harness(ControllerOptions options) : options_(options) {
  now.steady = Time{} + std::chrono::hours(1);
  now.wall = parse_rfc3339("2026-01-01T00:00:00Z");
  api.wall = now.wall;
  ns("default");
}

void Harness::advance(Duration d) {
  now.steady += d;
  now.wall += std::chrono::duration_cast<std::chrono::microseconds>(d);
  api.wall = now.wall;
}

void Harness::step(std::vector<Event> events) {
  for (Action& action : core->step(std::move(events), now)) {
    if (auto* write = std::get_if<Write>(&action)) {
      history.push_back(*write);
      sent_.push_back(*std::move(write));
      most_at_once = std::max(most_at_once, sent_.size());
    } else if (auto* notice = std::get_if<Notice>(&action)) {
      notices.push_back(*std::move(notice));
    } else if (std::holds_alternative<AskServiceRanges>(action)) {
      ++asked;
      lists_.emplace_back(service_ranges);
    } else {
      ++resigned;
    }
  }
}

void Harness::restart(std::int64_t term, unsigned seed) {
  core = std::make_unique<ControllerCore>(options_);
  sent_.clear();
  lists_ = api.lists();
  lists_.emplace_back(LeaderChanged{term});
  std::mt19937 random(seed);
  std::shuffle(lists_.begin(), lists_.end(), random);
}

void Harness::restart_without(const std::set<Kind>& kinds, std::int64_t term) {
  restart(term);
  denied_ = kinds;
  for (const Kind kind : kinds) {
    std::erase_if(lists_, [&](const Event& event) {
      const auto* list = std::get_if<Replaced>(&event);
      return list != nullptr && list->kind == kind;
    });
    lists_.emplace_back(Access{kind, "forbidden"});
  }
}

void Harness::grant(Kind kind) {
  denied_.erase(kind);
  while (api.next(kind)) {
  }
  lists_.emplace_back(Access{kind, std::nullopt});
  lists_.emplace_back(api.list(kind));
}

void Harness::deny(Kind kind) {
  denied_.insert(kind);
  lists_.emplace_back(Access{kind, "forbidden"});
}

void Harness::allow(Kind kind) {
  denied_.erase(kind);
  lists_.emplace_back(Access{kind, std::nullopt});
}

bool Harness::heard() const {
  for (std::size_t k = 0; k < kKinds; ++k) {
    if (!denied_.contains(static_cast<Kind>(k)) && api.has_events(static_cast<Kind>(k)))
      return true;
  }
  return false;
}

void Harness::pump() {
  for (int i = 0; i < 1000; ++i) {
    std::vector<Event> events = std::exchange(lists_, {});
    for (std::size_t k = 0; k < kKinds; ++k) {
      if (denied_.contains(static_cast<Kind>(k))) continue;
      while (auto event = api.next(static_cast<Kind>(k))) events.push_back(*std::move(event));
    }
    while (!sent_.empty()) {
      events.emplace_back(api.write(sent_.front()));
      sent_.pop_front();
    }
    const bool idle = events.empty();
    step(std::move(events));
    if (idle && sent_.empty() && lists_.empty() && !heard()) return;
  }
  throw std::logic_error("the controller does not come to rest");
}

std::size_t Harness::settle() {
  const std::size_t before = history.size();
  for (int i = 0; i < 1000; ++i) {
    pump();
    const auto deadline = core->deadline();
    if (!deadline) return history.size() - before;
    advance(std::max(*deadline - now.steady, Duration(1)));
  }
  throw std::logic_error("the controller never stops setting timers");
}

void Harness::shake(std::mt19937& random) {
  std::vector<Event> events;
  const auto coin = [&] { return random() % 2 == 0; };
  while (!lists_.empty() && coin()) {
    events.push_back(std::move(lists_.back()));
    lists_.pop_back();
  }
  if (lists_.empty()) {
    for (std::size_t k = 0; k < kKinds; ++k) {
      while (coin()) {
        auto event = api.next(static_cast<Kind>(k));
        if (!event) break;
        events.push_back(*std::move(event));
      }
    }
  }
  while (!sent_.empty() && coin()) {
    const std::size_t i = random() % sent_.size();
    const Write write = sent_[i];
    sent_.erase(sent_.begin() + static_cast<std::ptrdiff_t>(i));
    const auto luck = random() % 10;
    if (luck == 0) { // never arrived
      events.emplace_back(WriteDone{key_of(write.object), WriteDone::Outcome::Failed, {}});
    } else {
      WriteDone done = api.write(write);
      if (luck == 1)
        done = {done.key, WriteDone::Outcome::Failed, {}}; // done, but the answer was lost
      events.emplace_back(std::move(done));
    }
  }
  std::shuffle(events.begin(), events.end(), random);
  // Each watch keeps its order.
  std::stable_sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
    const auto version = [](const Event& e) -> std::uint64_t {
      if (const auto* u = std::get_if<Upsert>(&e))
        return std::stoull(meta_of(u->object).resource_version);
      if (const auto* d = std::get_if<Deleted>(&e)) return std::stoull(d->resource_version);
      return 0;
    };
    return version(a) < version(b);
  });
  step(std::move(events));
  advance(std::chrono::milliseconds(random() % 400));
}

// --- objects -------------------------------------------------------------------------------------

void Harness::node(const std::string& name, bool ready, bool cordoned, int number) {
  api::Node n;
  n.meta.name = name;
  n.meta.labels.set(kRole, "gateway");
  if (number == 0) number = std::stoi(name.substr(name.find_first_of("0123456789")));
  n.internal_ips = {Address::v4(0x0a060100 + static_cast<std::uint32_t>(number))};
  n.ready = ready;
  n.unschedulable = cordoned;
  api.put(n);
}

void Harness::remove_node(const std::string& name) {
  api.remove({Kind::Node, "", name});
}

void Harness::gateway(const std::string& name, const std::vector<std::string>& v4,
                      const std::vector<std::string>& v6, const std::string& role) {
  api::EgressGateway g;
  g.meta.name = name;
  g.spec.ipv4_pool = v4;
  g.spec.ipv6_pool = v6;
  g.spec.node_selector.match_labels = {{kRole, role}};
  api.put(g);
}

void Harness::policy(const std::string& ns, const std::string& name, const std::string& gateway,
                     const std::string& v4, const std::string& app,
                     const std::function<void(api::PolicySpec&)>& edit) {
  api::EgressPolicy p;
  p.kind = api::PolicyKind::EgressPolicy;
  p.meta.namespace_ = ns;
  p.meta.name = name;
  p.spec.gateway = gateway;
  p.spec.eip_ipv4 = v4;
  p.spec.pod_selector = api::LabelSelector{{{"app", app}}, {}};
  if (edit) edit(p.spec);
  api.put(p);
}

void Harness::ns(const std::string& name, const api::Labels& labels) {
  api::Namespace n;
  n.meta.name = name;
  n.meta.labels = labels;
  api.put(n);
}

void Harness::pod(const std::string& ns, const std::string& name, const std::string& node,
                  const std::string& ip, const std::string& app) {
  api::Pod p;
  p.meta.namespace_ = ns;
  p.meta.name = name;
  p.meta.labels = {{"app", app}};
  p.node_name = node;
  p.phase = api::PodPhase::Running;
  p.ips = {Address::parse(ip).value()};
  api.put(p);
}

void Harness::agents(const std::string& ready) {
  std::vector<std::string> names;
  for (const auto& [key, object] : api.objects()) {
    const auto* n = std::get_if<api::EgressNode>(&object);
    if (n != nullptr && !n->status.tunnel_ipv4.empty()) names.push_back(key.name);
  }
  for (const std::string& name : names) {
    const auto* n = api.find<api::Node>(Kind::Node, "", name);
    if (n != nullptr) api.agent(name, ready, {"eth0", n->internal_ips.front().to_string(), ""});
  }
}

const api::EgressGateway& Harness::gateway(const std::string& name) const {
  return *api.find<api::EgressGateway>(Kind::Gateway, "", name);
}
const api::EgressPolicy& Harness::policy(const std::string& ns, const std::string& name) const {
  return *api.find<api::EgressPolicy>(Kind::Policy, ns, name);
}
const api::EgressNode& Harness::egress_node(const std::string& name) const {
  return *api.find<api::EgressNode>(Kind::EgressNode, "", name);
}

std::string Harness::condition(const std::vector<api::Condition>& conditions,
                               const char* type) const {
  const auto* c = api::find_condition(conditions, type);
  if (c == nullptr) return "";
  return c->status == "True" ? c->status : c->status + " " + c->reason;
}

std::vector<std::string> Harness::violations() const {
  std::vector<std::string> out = api.refused;
  std::map<std::string, std::string> addresses, tunnels;
  std::map<std::int32_t, std::string> ids;
  const auto once = [&](auto& seen, const auto& what, const std::string& who) {
    const auto [at, fresh] = seen.emplace(what, who);
    if (!fresh) out.push_back(fmt::format("{} is held by {} and {}", what, at->second, who));
  };
  for (const auto& [key, object] : api.objects()) {
    if (const auto* g = std::get_if<api::EgressGateway>(&object)) {
      const auto check = [&](const api::EipEntry& e, const std::string& node) {
        const std::string who = fmt::format("{} #{} on {}", key.name, e.id, node);
        once(ids, e.id, who);
        for (const auto* text : {&e.ipv4, &e.ipv6}) {
          if (!text->empty()) once(addresses, *text, who);
        }
      };
      for (const auto& n : g->status.node_list) {
        for (const auto& e : n.eips) check(e, n.name);
      }
      for (const auto& e : g->status.unplaced) check(e, "no node");
    }
    if (const auto* n = std::get_if<api::EgressNode>(&object)) {
      for (const auto* text : {&n->status.tunnel_ipv4, &n->status.tunnel_ipv6}) {
        if (!text->empty()) once(tunnels, *text, key.name);
      }
    }
  }
  return out;
}

Harness cluster() {
  Harness h;
  for (const char* name : {"node1", "node2", "node3"}) h.node(name);
  h.gateway("eg1", {"10.6.2.10-10.6.2.19"}, {"fd00::10-fd00::19"});
  h.restart(7);
  h.settle();
  h.agents();
  h.settle();
  return h;
}

std::vector<Event> one(Event event) {
  std::vector<Event> events;
  events.push_back(std::move(event));
  return events;
}

bool noticed(const Harness& h, const std::string& reason) {
  return std::ranges::any_of(h.notices, [&](const Notice& n) { return n.reason == reason; });
}

} // namespace egw::egress::test
