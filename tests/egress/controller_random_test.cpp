// SPDX-License-Identifier: Apache-2.0
// Random worlds, random delays, lost and doubled writes, changes of leader: what must hold holds at
// every moment, and in the end there is nothing more to do.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "egress/controller_core.hpp"
#include "egress/harness.hpp"
#include "egress/rounds.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;

namespace {

// More of them where there is time (EGW_SEEDS).
unsigned seeds() {
  const char* wanted = std::getenv("EGW_SEEDS");
  return wanted == nullptr ? testing::rounds(40) : static_cast<unsigned>(std::atoi(wanted));
}

class Chaos {
 public:
  explicit Chaos(unsigned seed) : random(seed) {}

  std::mt19937 random;
  Harness h;

  unsigned pick(unsigned n) { return static_cast<unsigned>(random()) % n; }
  std::string node() { return fmt::format("node{}", 1 + pick(5)); }
  std::string gateway() { return fmt::format("eg{}", 1 + pick(3)); }
  std::string ns() { return fmt::format("ns{}", 1 + pick(2)); }

  void act() {
    switch (pick(14)) {
      case 0:
      case 1:
        h.node(node(), pick(3) != 0, pick(5) == 0);
        break;
      case 2:
        h.remove_node(node());
        break;
      case 3:
      case 4: {
        const unsigned i = 1 + pick(3);
        // Pools of neighbours may overlap by one address.
        h.gateway(fmt::format("eg{}", i),
                  {fmt::format("10.6.{}.1-10.6.{}.6", 1 + i, 1 + i),
                   fmt::format("10.6.{}.7", pick(4) == 0 ? 2 : 1 + i)},
                  pick(2) == 0
                      ? std::vector<std::string>{}
                      : std::vector<std::string>{fmt::format("fd00:{}::1-fd00:{}::5", i, i)});
        break;
      }
      case 5:
        if (pick(4) == 0) h.api.remove({Kind::Gateway, "", gateway()});
        break;
      case 6:
      case 7:
      case 8: {
        const std::string g = gateway();
        const std::string name = fmt::format("p{}", pick(8));
        const std::string n = ns();
        // The fields that can't change after creation come from the name.
        h.policy(n, name, "eg" + std::to_string(1 + (name.back() - '0') % 3),
                 (name.back() - '0') % 2 == 0
                     ? ""
                     : fmt::format("10.6.{}.{}", 2 + (name.back() - '0') % 3,
                                   1 + (name.back() - '0') % 7),
                 pick(3) == 0 ? "db" : "web", [&](api::PolicySpec& spec) {
                   if (name == "p4") spec.allocator = api::AllocatorPolicy::RoundRobin;
                   spec.use_node_ip = name == "p6";
                 });
        break;
      }
      case 9:
        h.api.remove({Kind::Policy, ns(), fmt::format("p{}", pick(8))});
        break;
      case 10:
      case 11:
        h.pod(ns(), fmt::format("pod{}", pick(20)), node(),
              fmt::format("10.244.0.{}", 1 + pick(200)), pick(2) == 0 ? "web" : "db");
        break;
      case 12:
        h.api.remove({Kind::Pod, ns(), fmt::format("pod{}", pick(20))});
        break;
      case 13:
        h.agents(pick(4) == 0 ? "False" : "True");
        break;
    }
  }
};

std::map<std::int32_t, std::string> places(const Harness& h) {
  std::map<std::int32_t, std::string> out;
  for (const auto& [key, object] : h.api.objects()) {
    const auto* g = std::get_if<api::EgressGateway>(&object);
    if (g == nullptr) continue;
    for (const auto& n : g->status.node_list) {
      for (const auto& e : n.eips) out[e.id] = n.name + " " + e.ipv4 + " " + e.ipv6;
    }
  }
  return out;
}

// What must hold once nothing is left to do.
void check_settled(const Harness& h) {
  std::map<std::int32_t, const api::EgressGateway*> entries;
  for (const auto& [key, object] : h.api.objects()) {
    const auto* g = std::get_if<api::EgressGateway>(&object);
    if (g == nullptr) continue;
    bool target = false;
    for (const auto& n : g->status.node_list) {
      const auto* node = h.api.find<api::Node>(Kind::Node, "", n.name);
      REQUIRE(node != nullptr);
      CHECK(n.status == api::to_string(h.egress_node(n.name).status.phase));
      if (!n.eips.empty()) CHECK(n.status == "Ready");
      target = target || (n.status == "Ready" && !node->unschedulable);
      for (const auto& e : n.eips) entries[e.id] = g;
    }
    if (target) CHECK(g->status.unplaced.empty());
    for (const auto& e : g->status.unplaced) entries[e.id] = g;
  }
  std::set<std::int32_t> used;
  for (const auto& [key, object] : h.api.objects()) {
    const auto* p = std::get_if<api::EgressPolicy>(&object);
    if (p == nullptr) continue;
    CAPTURE(p->key().to_string());
    if (p->status.eip_id != 0) {
      REQUIRE(entries.contains(p->status.eip_id));
      const auto placed = find_entry(entries.at(p->status.eip_id)->status, p->status.eip_id);
      CHECK(entries.at(p->status.eip_id)->meta.name == p->spec.gateway);
      CHECK(placed.entry->ipv4 == p->status.eip_ipv4);
      CHECK(placed.entry->ipv6 == p->status.eip_ipv6);
      CHECK(fits(p->spec, *placed.entry));
      CHECK(placed.node == p->status.node);
      if (!p->spec.eip_ipv4.empty()) CHECK(p->status.eip_ipv4 == p->spec.eip_ipv4);
      used.insert(p->status.eip_id);
    } else {
      const auto why = h.condition(p->status.conditions, kReady);
      CHECK(why.starts_with("False"));
      CHECK(why != "False Pending");
      CHECK(why != "False WaitingForId");
    }
    // Slices hold exactly the selected pods.
    std::set<std::string> wanted, found;
    if (h.condition(p->status.conditions, kEnforced) == "True") {
      for (const auto& [k, o] : h.api.objects()) {
        const auto* pod = std::get_if<api::Pod>(&o);
        if (pod != nullptr && selects(compile(*p), *pod, nullptr)) wanted.insert(pod->meta.name);
      }
    }
    for (const auto& [k, o] : h.api.objects()) {
      const auto* slice = std::get_if<api::EgressEndpointSlice>(&o);
      if (slice == nullptr || *slice->meta.labels.find(api::kLabelPolicyUid) != p->meta.uid)
        continue;
      for (const auto& e : slice->endpoints) CHECK(found.insert(e.pod).second);
    }
    CHECK(found == wanted);
  }
  for (const auto& [id, g] : entries) CHECK(used.contains(id));
  for (const auto& [key, object] : h.api.objects()) {
    if (key.kind == Kind::Node)
      CHECK(h.api.find<api::EgressNode>(Kind::EgressNode, "", key.name) != nullptr);
    if (key.kind == Kind::EgressNode)
      CHECK(h.api.find<api::Node>(Kind::Node, "", key.name) != nullptr);
  }
}

} // namespace

TEST_CASE("controller: random worlds converge, and at no moment is one address held twice") {
  for (unsigned seed = 1; seed <= seeds(); ++seed) {
    CAPTURE(seed);
    Chaos c(seed);
    c.h.ns("ns1");
    c.h.ns("ns2");
    for (int i = 0; i < 10; ++i) c.act();
    std::int64_t term = 1;
    c.h.restart(term, seed);
    for (int i = 0; i < 150; ++i) {
      if (c.pick(2) == 0) c.act();
      if (c.pick(60) == 0) c.h.restart(++term, c.pick(1000));
      c.h.shake(c.random);
      const auto wrong = c.h.violations();
      REQUIRE_MESSAGE(wrong.empty(), wrong.front());
    }
    c.h.settle();
    check_settled(c.h);
    CHECK(c.h.resigned == 0);
    CHECK(c.h.core->counters().fruitless == 0);

    c.h.advance(std::chrono::hours(1));
    CHECK(c.h.settle() == 0);
    // Another process finds nothing to do but to write its term.
    const auto before = places(c.h);
    c.h.restart(++term, seed + 1);
    c.h.settle();
    CHECK(places(c.h) == before);
    check_settled(c.h);
  }
}

TEST_CASE("controller: the loss of a node moves its EIPs and nothing else") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Chaos c(seed);
    c.h.ns("ns1");
    c.h.ns("ns2");
    for (int i = 1; i <= 5; ++i) c.h.node(fmt::format("node{}", i));
    for (int i = 1; i <= 3; ++i)
      c.h.gateway(fmt::format("eg{}", i), {fmt::format("10.6.{}.0/28", 1 + i)});
    c.h.restart(1, seed);
    c.h.settle();
    c.h.agents();
    for (int i = 0; i < 60; ++i) {
      const unsigned g = 1 + c.pick(3);
      c.h.policy(c.ns(), fmt::format("q{}", i), fmt::format("eg{}", g),
                 fmt::format("10.6.{}.{}", 1 + g, 1 + c.pick(14)));
    }
    c.h.settle();
    const auto before = places(c.h);
    const std::string lost = c.node();
    c.h.history.clear();
    if (c.pick(2) == 0) {
      c.h.node(lost, false);
    } else {
      c.h.remove_node(lost);
    }
    c.h.settle();
    const auto after = places(c.h);
    REQUIRE(after.size() == before.size());
    std::map<std::string, int> load;
    for (const auto& [id, place] : after) {
      ++load[place.substr(0, place.find(' '))];
      if (before.at(id).starts_with(lost + " ")) {
        CHECK_FALSE(place.starts_with(lost + " "));
      } else {
        CHECK(place == before.at(id));
      }
    }
    // They were even before and are even now.
    const auto [least, most] = std::minmax_element(
        load.begin(), load.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    CHECK(most->second - least->second <= 2);
    std::map<std::string, int> writes;
    for (const Write& w : c.h.history) {
      if (key_of(w.object).kind == Kind::Gateway) ++writes[key_of(w.object).name];
    }
    for (const auto& [name, n] : writes) CHECK(n == 1);
  }
}
