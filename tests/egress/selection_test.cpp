// SPDX-License-Identifier: Apache-2.0
#include "egress/selection.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <set>

using namespace egw;
using namespace egw::egress;

namespace {

int version = 1;

api::Pod pod(const std::string& ns, const std::string& name, api::Labels labels) {
  api::Pod p;
  p.meta.namespace_ = ns;
  p.meta.name = name;
  p.meta.resource_version = std::to_string(++version);
  p.meta.labels = std::move(labels);
  p.ips = {Address::parse("10.1.0.1").value()};
  p.phase = api::PodPhase::Running;
  return p;
}

api::EgressPolicy policy(const std::string& ns, const std::string& name, api::Labels labels) {
  api::EgressPolicy p;
  p.kind = ns.empty() ? api::PolicyKind::EgressClusterPolicy : api::PolicyKind::EgressPolicy;
  p.meta.namespace_ = ns;
  p.meta.name = name;
  p.meta.uid = "uid-" + name;
  p.meta.resource_version = std::to_string(++version);
  p.spec.gateway = "eg1";
  p.spec.pod_selector = api::LabelSelector{std::move(labels), {}};
  return p;
}

struct Scene {
  World world;
  std::optional<Selection> selection;

  void start() { selection.emplace(world); }
  void put(const Object& object) {
    const auto change = world.put(object);
    if (change && selection) tell(*change);
  }
  void erase(const ObjectKey& key) {
    const auto change = world.erase({key, "", std::to_string(++version)});
    if (change && selection) tell(*change);
    world.pods.release();
  }
  void tell(const World::Change& change) {
    const ObjectKey& key = change.key;
    if (change.pod) selection->pod_changed(*change.pod);
    if (key.kind == Kind::Namespace) selection->namespace_changed(key.name);
    if (const auto kind = policy_kind(key.kind)) {
      selection->policy_changed({*kind, key.namespace_, key.name});
    }
  }
  std::set<std::string> selected(const api::PolicyKey& key) {
    std::set<std::string> names;
    for (const PodId id : selection->slices_of(key)->pods()) {
      names.insert(*world.pods.get(id)->endpoint.namespace_ + "/" +
                   std::string(*world.pods.get(id)->endpoint.pod));
    }
    return names;
  }
  std::vector<std::string> ahead(const api::PolicyKey& key) const {
    std::vector<std::string> names;
    for (const auto* other : selection->ahead_of(key)) names.push_back(other->key.name);
    return names;
  }
};

const api::PolicyKey kA{api::PolicyKind::EgressPolicy, "ns1", "a"};
const api::PolicyKey kB{api::PolicyKind::EgressPolicy, "ns1", "b"};
const api::PolicyKey kWide{api::PolicyKind::EgressClusterPolicy, "", "wide"};

} // namespace

TEST_CASE("selection: pods, policies and namespaces come in any order") {
  for (const bool early : {true, false}) {
    Scene s;
    if (early) s.start();
    s.put(pod("ns1", "web", {{"app", "web"}}));
    s.put(pod("ns2", "web", {{"app", "web"}}));
    s.put(policy("ns1", "a", {{"app", "web"}}));
    auto wide = policy("", "wide", {{"app", "web"}});
    wide.spec.namespace_selector = api::LabelSelector{{{"team", "x"}}, {}};
    s.put(wide);
    api::Namespace ns;
    ns.meta.name = "ns2";
    ns.meta.labels = {{"team", "x"}};
    s.put(ns);
    if (!early) s.start();
    CHECK(s.selected(kA) == std::set<std::string>{"ns1/web"});
    CHECK(s.selected(kWide) == std::set<std::string>{"ns2/web"});
  }
}

TEST_CASE("selection: what an event touches is told, and nothing else") {
  Scene s;
  s.put(policy("ns1", "a", {{"app", "web"}}));
  s.put(policy("ns1", "b", {{"app", "db"}}));
  s.start();
  (void)s.selection->take_touched();
  s.put(pod("ns1", "p", {{"app", "web"}}));
  CHECK(s.selection->take_touched() == std::set<api::PolicyKey>{kA});
  s.put(pod("ns1", "q", {{"app", "other"}}));
  CHECK(s.selection->take_touched().empty());
  s.put(pod("ns1", "p", {{"app", "db"}}));
  CHECK(s.selection->take_touched() == std::set<api::PolicyKey>{kA, kB});
  s.erase({Kind::Pod, "ns1", "p"});
  CHECK(s.selection->take_touched() == std::set<api::PolicyKey>{kB});
}

TEST_CASE("selection: policies that meet on a pod, in their order") {
  Scene s;
  s.put(pod("ns1", "p", {{"app", "web"}, {"tier", "front"}}));
  s.put(policy("ns1", "a", {{"app", "web"}}));
  auto b = policy("ns1", "b", {{"tier", "front"}});
  b.spec.priority = 200;
  s.put(b);
  auto wide = policy("", "wide", {});
  wide.spec.priority = 5;
  wide.spec.dest_subnet = {"192.0.2.0/24"};
  s.put(wide);
  s.start();
  CHECK(s.ahead(kA) == std::vector<std::string>{"wide", "b"});
  CHECK(s.ahead(kB) == std::vector<std::string>{"wide"});
  CHECK(s.ahead(kWide).empty());
  (void)s.selection->take_met();

  // Destinations that do not overlap are not in each other's way.
  b.spec.dest_subnet = {"198.51.100.0/24"};
  b.meta.resource_version = std::to_string(++version);
  s.put(b);
  CHECK(s.ahead(kB).empty());
  CHECK(s.ahead(kA) == std::vector<std::string>{"wide", "b"});
  CHECK(s.selection->take_met().contains(kA));
  // A pod that only one selects any more.
  s.put(pod("ns1", "p", {{"app", "web"}}));
  CHECK(s.ahead(kA) == std::vector<std::string>{"wide"});
  CHECK(s.selection->take_met().contains(kA));
  s.erase({Kind::ClusterPolicy, "", "wide"});
  CHECK(s.ahead(kA).empty());
  CHECK(s.selection->slices_of(kWide) == nullptr);
}

TEST_CASE("selection: random changes, beside a reading of the whole world") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    const auto upto = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    const auto labels = [&] {
      api::Labels l;
      for (const char* key : {"app", "tier"}) {
        if (upto(3) != 0) l.set(key, fmt::format("v{}", upto(3)));
      }
      return l;
    };
    Scene s;
    std::map<std::pair<std::string, std::string>, api::Pod> pods;
    s.start();
    for (int i = 0; i < 300; ++i) {
      const std::string ns = fmt::format("ns{}", upto(2));
      const std::string name = fmt::format("x{}", upto(8));
      switch (upto(6)) {
        case 0:
        case 1: {
          const auto p = pod(ns, name, labels());
          s.put(p);
          pods[{ns, name}] = p;
          break;
        }
        case 2:
          s.erase({Kind::Pod, ns, name});
          pods.erase({ns, name});
          break;
        case 3: {
          auto p = policy(upto(3) == 0 ? "" : ns, name, labels());
          if (p.meta.namespace_.empty() && upto(2) == 0) {
            p.spec.namespace_selector = api::LabelSelector{{{"team", "x"}}, {}};
          }
          p.spec.priority = static_cast<std::int32_t>(100 + upto(3));
          s.put(p);
          break;
        }
        case 4:
          s.erase(
              {upto(2) == 0 ? Kind::Policy : Kind::ClusterPolicy, upto(2) == 0 ? "" : ns, name});
          break;
        default: {
          api::Namespace n;
          n.meta.name = ns;
          n.meta.resource_version = std::to_string(++version);
          if (upto(2) == 0) n.meta.labels = {{"team", "x"}};
          s.put(n);
        }
      }
    }
    std::map<api::PolicyKey, std::set<api::PolicyKey>> ahead;
    std::map<api::PolicyKey, std::set<std::string>> selected;
    for (const auto& [key, object] : s.world.policies) selected[key];
    for (const auto& [name, p] : pods) {
      std::vector<CompiledPolicy> here;
      for (const auto& [key, object] : s.world.policies) {
        if (!selects(compile(object), p, s.world.namespace_labels(name.first))) continue;
        selected[key].insert(name.first + "/" + name.second);
        here.push_back(compile(object));
      }
      std::ranges::sort(here, before);
      for (std::size_t later = 1; later < here.size(); ++later) {
        for (std::size_t k = 0; k < later; ++k) ahead[here[later].key].insert(here[k].key);
      }
    }
    for (const auto& [key, wanted] : selected) {
      CAPTURE(key.to_string());
      CHECK(s.selected(key) == wanted);
      std::set<api::PolicyKey> found;
      for (const auto* other : s.selection->ahead_of(key)) found.insert(other->key);
      CHECK(found == ahead[key]);
    }
  }
}
