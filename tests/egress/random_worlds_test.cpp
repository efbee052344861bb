// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>

#include "egress/class_chain.hpp"
#include "egress/packet.hpp"
#include "egress/random_world.hpp"
#include "egress/rounds.hpp"
#include "egress/ruleset.hpp"
#include "egress/worlds.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;
using Kind = Classifier::Decision::Kind;

namespace {

const NodeOptions kOptions;
// Sets that stand where no rule asks: the lease is kept and the EIPs are told on every node.
const std::set<std::string> kAlways = {"nodes", "alive", "eipaddrs", "remote_pods"};

// What testing::world(4) says is inside, and what is never outside (RFC 6890, RFC 4291).
const std::vector<std::string> kInside = {
    "10.6.0.1/32",     "10.6.0.2/32",   "10.6.0.3/32",        "10.6.0.4/32",     "fd06::1/128",
    "fd06::2/128",     "fd06::3/128",   "fd06::4/128",        "10.244.1.0/24",   "10.244.2.0/24",
    "10.244.3.0/24",   "10.244.4.0/24", "fd44:0:0:1::/64",    "fd44:0:0:2::/64", "fd44:0:0:3::/64",
    "fd44:0:0:4::/64", "10.96.0.0/12",  "fd96::/108",         "0.0.0.0/8",       "127.0.0.0/8",
    "169.254.0.0/16",  "224.0.0.0/4",   "255.255.255.255/32", "::/128",          "::1/128",
    "fe80::/10",       "ff00::/8"};

// Kubernetes' words on label selectors: all parts must hold; NotIn holds without the label too.
bool fits(const api::LabelSelector& s, const api::Labels& labels) {
  const auto value = [&](const std::string& key) {
    for (const auto& [k, v] : labels.items()) {
      if (k == key) return std::optional<std::string>(v);
    }
    return std::optional<std::string>();
  };
  for (const auto& [key, wanted] : s.match_labels.items()) {
    if (value(std::string(key)) != wanted) return false;
  }
  for (const auto& r : s.match_expressions) {
    const auto is = value(r.key);
    const bool listed = is && std::ranges::count(r.values, *is) > 0;
    switch (r.op) {
      case api::SelectorOperator::In:
        if (!listed) return false;
        break;
      case api::SelectorOperator::NotIn:
        if (listed) return false;
        break;
      case api::SelectorOperator::Exists:
        if (!is) return false;
        break;
      case api::SelectorOperator::DoesNotExist:
        if (is) return false;
        break;
    }
  }
  return true;
}

bool within(const std::vector<std::string>& cidrs, const Address& a) {
  return std::ranges::any_of(cidrs,
                             [&](const std::string& text) { return cidr(text).contains(a); });
}

// What the reference says in so many words, with none of the code that the plan is made of.
struct Oracle {
  Kind kind = Kind::Untouched;
  std::int32_t id = 0;
  std::string node;
};
Oracle oracle(const AgentWorld& w, const std::vector<api::EgressPolicy>& policies,
              const api::Pod& pod, const Address& destination) {
  const bool v4 = destination.family == Family::V4;
  if (within(kInside, destination)) return {};
  const api::EgressPolicy* winner = nullptr;
  for (const auto& p : policies) {
    const bool wide = p.kind == api::PolicyKind::EgressClusterPolicy;
    if (p.status.conditions.empty()) continue;
    if (!wide && p.meta.namespace_ != pod.meta.namespace_) continue;
    if (wide && p.spec.namespace_selector &&
        !fits(*p.spec.namespace_selector, w.namespaces.at(pod.meta.namespace_).meta.labels)) {
      continue;
    }
    if (p.spec.pod_selector && !fits(*p.spec.pod_selector, pod.meta.labels)) continue;
    if (!p.spec.pod_subnet.empty() && std::ranges::none_of(pod.ips, [&](const Address& a) {
          return within(p.spec.pod_subnet, a);
        })) {
      continue;
    }
    if (!p.spec.dest_subnet.empty() && !within(p.spec.dest_subnet, destination)) continue;
    if (within(p.spec.excluded_subnet, destination)) continue;
    const auto rank = [](const api::EgressPolicy& x) {
      const bool is_wide = x.kind == api::PolicyKind::EgressClusterPolicy;
      return std::tuple(x.spec.priority.value_or(is_wide ? 32768 : 1000), is_wide, x.meta.created,
                        x.key());
    };
    if (winner == nullptr || rank(p) < rank(*winner)) winner = &p;
  }
  if (winner == nullptr) return {};
  const auto& status = winner->status;
  const Oracle drop{Kind::Drop, 0, ""};
  const auto gateway = w.gateways.find(winner->spec.gateway);
  if (gateway == w.gateways.end()) return drop;
  const auto& spec = gateway->second.spec;
  const bool bypass = spec.when_no_gateway == api::WhenNoGateway::Bypass;
  const bool allow = spec.unserved_family == api::UnservedFamily::Allow;
  const auto agree = [&](const api::EipEntry& e) {
    const auto other = [](const std::string& wanted, const std::string& told) {
      return !wanted.empty() && wanted != told;
    };
    return e.id == status.eip_id && !other(status.eip_ipv4, e.ipv4) &&
           !other(status.eip_ipv6, e.ipv6) &&
           winner->spec.use_node_ip == (e.ipv4.empty() && e.ipv6.empty());
  };
  if (status.eip_id == 0) return bypass ? Oracle{} : drop;
  if (std::ranges::any_of(gateway->second.status.unplaced, agree)) return bypass ? Oracle{} : drop;
  for (const auto& node : gateway->second.status.node_list) {
    if (std::ranges::none_of(node.eips, agree)) continue;
    const auto parent = node.name == w.node ? api::TunnelParent{"eth0", "10.6.0.1", "fd06::1"}
                                            : w.nodes.at(node.name).status.parent;
    const bool served = winner->spec.use_node_ip
                            ? !(v4 ? parent.ipv4 : parent.ipv6).empty()
                            : !(v4 ? status.eip_ipv4 : status.eip_ipv6).empty();
    if (!served) return allow ? Oracle{} : drop;
    return {node.name == w.node ? Kind::Here : Kind::Tunnel, status.eip_id, node.name};
  }
  return drop;
}

const std::vector<std::string> kDestinations = {
    "8.8.8.7",     "8.8.8.10",  "8.8.8.255",       "8.8.9.0",  "127.0.0.1",  "10.97.0.1",
    "10.5.0.1",    "128.0.0.0", "127.255.255.255", "10.6.0.3", "fe80::1",    "fd96::1:1",
    "8.8.8.8",     "8.8.8.9",   "8.8.9.9",         "9.9.9.9",  "10.244.3.3", "2001:db8::8",
    "2001:db8::9", "2002::1",   "fd44:0:0:3::1"};

std::vector<std::string> references(const net::Rule& rule) {
  std::vector<std::string> sets;
  for (const auto& e : rule) {
    if (const auto* lookup = std::get_if<net::expr::Lookup>(&e)) sets.push_back(lookup->set);
  }
  return sets;
}

} // namespace

// As long as the rest of the program: it runs beside it.
TEST_CASE("in random worlds classifier, ruleset and a naive reading of the policies agree" *
          doctest::test_suite("oracle")) {
  std::map<Kind, int> seen;
  for (std::uint32_t seed = 1; seed <= rounds(2000); ++seed) {
    RandomWorld maker(seed);
    const AgentWorld w = maker.make();
    const NodePlan plan = plan_node(w, host(1), {}, kOptions);
    for (const auto& known : w.pods) {
      const std::string name = known.first.to_string();
      const api::Pod pod = pod_of(known);
      for (const std::string& text : kDestinations) {
        const Address destination = ip(text);
        const Address source = pod.ips[destination.family == Family::V4 ? 0 : 1];
        INFO("seed ", seed, ": ", name, " to ", text);
        const Oracle wanted = oracle(w, maker.policies(), pod, destination);
        const auto decision = plan.classifier.decide(source, destination);
        ++seen[wanted.kind];
        REQUIRE(decision.kind == wanted.kind);
        REQUIRE(decision.eip_id == wanted.id);
        if (wanted.kind == Kind::Tunnel) REQUIRE(decision.gateway_node == wanted.node);

        Packet x;
        x.source = source;
        x.destination = destination;
        const auto& table = plan.state.tables.at(source.family == Family::V4 ? net::NftFamily::Ip
                                                                             : net::NftFamily::Ip6);
        REQUIRE((run(table, "prerouting", x) == Verdict::Drop) == (wanted.kind == Kind::Drop));
        if (wanted.kind == Kind::Drop) continue;
        REQUIRE(x.ct_mark == plan.classifier.expected_mark(decision));
        REQUIRE((x.mark != 0) == (wanted.kind == Kind::Tunnel));
        // Borrowed by the look-up, and given back; for IPv4 the kernel does that as it forwards.
        if (source.family == Family::V6 || wanted.kind == Kind::Untouched) REQUIRE(x.priority == 0);
        if (wanted.kind == Kind::Tunnel) {
          REQUIRE(x.mark == mark_of(plan.marks.index.at(wanted.node), kOptions.mark_mask));
        }
        // Never by another address: untouched, or the EIP, or nothing.
        x.oif = wanted.kind == Kind::Tunnel ? "egw0" : "eth0";
        REQUIRE(run(table, "forward", x) == Verdict::Accept);
        const bool left = run(table, "postrouting", x) == Verdict::Accept;
        if (wanted.kind == Kind::Untouched) REQUIRE(!x.snat);
        if (wanted.kind == Kind::Tunnel) REQUIRE(x.snat == source);
        if (wanted.kind == Kind::Here && left) {
          REQUIRE(x.snat);
          const auto held =
              wanted.id >= 7 ? std::vector{ip("10.6.0.1"), ip("fd06::1")} : plan.held.at(wanted.id);
          REQUIRE(std::ranges::count(held, *x.snat) == 1);
        }
      }
    }
  }
  CHECK(seen[Kind::Untouched] > 200); // the worlds are not of one kind
  CHECK(seen[Kind::Drop] > 200);
  CHECK(seen[Kind::Tunnel] > 200);
  CHECK(seen[Kind::Here] > 200);
}

TEST_CASE(
    "in random worlds every reference in a plan leads somewhere, and nothing stands unprotected") {
  for (std::uint32_t seed = 100; seed <= 160; ++seed) {
    RandomWorld maker(seed);
    const AgentWorld w = maker.make();
    const NodePlan plan = plan_node(w, host(1), {}, kOptions);
    INFO("seed ", seed);
    for (const auto& [family, table] : plan.state.tables) {
      std::set<std::string> chains_used, sets_used;
      for (const auto& [name, set] : table.sets) {
        for (const auto& [key, data] : set.elements) {
          const auto* v = std::get_if<net::ElementVerdict>(&data);
          if (v != nullptr && v->kind != net::VerdictKind::Drop) {
            REQUIRE(table.chains.contains(v->chain_name()));
            chains_used.insert(v->chain_name());
          }
        }
      }
      for (const auto& [name, chain] : table.chains) {
        if (chain.base) chains_used.insert(name);
        for (const auto& rule : chain.rules) {
          for (const auto& set : references(rule)) {
            REQUIRE_MESSAGE(table.sets.contains(set), set);
            sets_used.insert(set);
          }
          for (const auto& e : rule) {
            const auto* decide = std::get_if<net::expr::Decide>(&e);
            if (decide == nullptr || decide->verdict.chain.empty()) continue;
            REQUIRE_MESSAGE(table.chains.contains(decide->verdict.chain), decide->verdict.chain);
            chains_used.insert(decide->verdict.chain);
          }
        }
      }
      for (const auto& [name, set] : table.sets) {
        CHECK_MESSAGE((sets_used.contains(name) || kAlways.contains(name)), name, " is of no use");
        if (!set.interval) continue; // intervals are apart, or the kernel refuses them
        std::optional<net::ElementKey> last;
        for (const auto& [key, data] : set.elements) {
          REQUIRE(key.first <= key.last);
          if (last) REQUIRE(last->last < key.first);
          last = key;
        }
      }
      // EIPs held here have a chain even when no pod uses them yet, and classes of pods that come
      // find their end; all others are used.
      chains_used.insert(kUntakenChain);
      for (const auto& [name, chain] : table.chains) {
        CHECK_MESSAGE((chains_used.contains(name) || name.starts_with("eip_")), name,
                      " is of no use");
      }
    }
    for (const auto& [key, value] : plan.state.addresses) {
      if (!value.eip) continue;
      const Address a = key.prefix.address;
      const net::ElementKey element{
          {a.bytes.begin(), a.bytes.begin() + static_cast<std::ptrdiff_t>(a.size())}, {}};
      const auto& table =
          plan.state.tables.at(a.family == Family::V4 ? net::NftFamily::Ip : net::NftFamily::Ip6);
      CHECK(table.sets.at("eipaddrs").elements.contains(element));
      if (a.family == Family::V4) {
        CHECK(plan.state.tables.at(net::NftFamily::Arp)
                  .sets.at("eipaddrs")
                  .elements.contains(element));
      }
    }
    for (const auto& rule : plan.state.rules) {
      if (rule.action != net::RuleAction::Lookup || rule.target == kOptions.table_base) continue;
      CHECK(plan.state.routes.contains({rule.target, Prefix::all(rule.family), 0xffffffff}));
    }
    for (const auto& [key, route] : plan.state.routes) { // every next hop can be reached
      if (route.via) CHECK(plan.state.neighbours.contains({*route.via}));
      CHECK(key.metric != 0); // the kernel would show another one
    }
    for (const auto& [key, neighbour] : plan.state.neighbours)
      CHECK(plan.state.fdb.contains(neighbour));
  }
}

TEST_CASE("a plan is a function of its input alone") {
  for (std::uint32_t seed = 200; seed <= 220; ++seed) {
    const AgentWorld w = RandomWorld(seed).make();
    const NodePlan a = plan_node(w, host(1), {}, kOptions);
    const AgentWorld copy = w;
    const NodePlan b = plan_node(copy, host(1), {}, kOptions);
    CHECK(a.state == b.state);
    CHECK(a.marks == b.marks);
    CHECK(plan_node(w, host(1), a.marks, kOptions).state == a.state); // and stays so
    CHECK(recover_marks(a.state, w.nodes, kOptions) == a.marks);      // also after a restart
  }
}
