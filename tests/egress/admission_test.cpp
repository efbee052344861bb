// SPDX-License-Identifier: Apache-2.0
#include "egress/admission.hpp"

#include <doctest/doctest.h>

#include <string>

#include "egress/cluster_info.hpp"

using namespace egw;
using namespace egw::egress;
using api::AdmissionOperation;
using api::AdmissionPhase;

namespace {

api::EgressGateway gateway(const std::string& name, const std::vector<std::string>& v4,
                           const std::vector<std::string>& v6 = {}) {
  api::EgressGateway g;
  g.meta.name = name;
  g.meta.uid = "uid-" + name;
  g.spec.ipv4_pool = v4;
  g.spec.ipv6_pool = v6;
  g.spec.node_selector.match_labels = {{"egress", "true"}};
  return g;
}

api::EgressPolicy policy(const std::string& name, const std::string& gateway) {
  api::EgressPolicy p;
  p.kind = api::PolicyKind::EgressPolicy;
  p.meta.namespace_ = "team";
  p.meta.name = name;
  p.spec.gateway = gateway;
  p.spec.pod_selector = api::LabelSelector{{{"app", "web"}}, {}};
  return p;
}

const char* kind_name(const api::EgressGateway&) {
  return "EgressGateway";
}
const char* kind_name(const api::EgressPolicy& p) {
  return api::to_string(p.kind);
}
const char* kind_name(const api::EgressClusterInfo&) {
  return "EgressClusterInfo";
}

// A cluster of one node, with the gateway eg1.
struct Scene {
  World world;
  Fresh fresh;
  AdmissionInput in;
  AdmissionVerdict last;

  Scene() {
    in.world = &world;
    in.fresh = &fresh;
    api::Node node;
    node.meta.name = "node1";
    node.meta.labels = {{"egress", "true"}};
    node.internal_ips = {Address::parse("10.6.0.1").value()};
    node.pod_cidrs = {Prefix::parse("10.244.0.0/24").value()};
    world.put(node);
    api::Namespace ns;
    ns.meta.name = "team";
    world.put(ns);
    auto info = default_cluster_info();
    info.status.cluster_ip = {{"10.96.0.0/12"}, {}};
    world.put(info);
    world.put(gateway("eg1", {"10.6.1.10-10.6.1.20"}, {"fd00::10-fd00::20"}));
  }

  template <class T>
  api::AdmissionRequest request(AdmissionOperation operation, const T& object,
                                const T* before = nullptr) {
    api::AdmissionRequest r;
    r.operation = operation;
    r.kind = {api::kGroup, api::kVersion, kind_name(object)};
    r.name = object.meta.name;
    r.namespace_ = object.meta.namespace_;
    if (operation == AdmissionOperation::Delete) {
      r.old_object = object;
    } else {
      r.object = object;
      if (before != nullptr) r.old_object = *before;
    }
    return r;
  }
  std::string text() {
    const auto& r = last.response;
    return r.allowed ? "" : r.message;
  }
  // The refusal's message; empty: allowed.
  template <class T>
  std::string create(const T& object) {
    last = admit(request(AdmissionOperation::Create, object), in);
    return text();
  }
  template <class T>
  std::string update(const T& before, const T& object) {
    last = admit(request(AdmissionOperation::Update, object, &before), in);
    return text();
  }
  template <class T>
  std::string remove(const T& object) {
    last = admit(request(AdmissionOperation::Delete, object), in);
    return text();
  }
  template <class T>
  std::vector<api::PatchOperation> mutate(const T& object, const T* before = nullptr) {
    auto r = request(before == nullptr ? AdmissionOperation::Create : AdmissionOperation::Update,
                     object, before);
    r.phase = AdmissionPhase::Mutating;
    last = admit(r, in);
    CHECK(last.response.allowed);
    return last.response.patch;
  }
};

bool has(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

} // namespace

TEST_CASE("admission: the default EIPs are filled in, and go with their pool") {
  Scene s;
  const auto g = gateway("eg2", {"10.6.2.30-10.6.2.40", "10.6.2.9"}, {"fd01::5"});
  const auto patch = s.mutate(g);
  REQUIRE(patch.size() == 2);
  CHECK(patch[0].path == "/spec/ippools/ipv4DefaultEIP");
  CHECK(std::get<std::string>(patch[0].value) == "10.6.2.9");
  CHECK(std::get<std::string>(patch[1].value) == "fd01::5");
  auto filled = g;
  filled.spec.ipv4_default_eip = "10.6.2.9";
  filled.spec.ipv6_default_eip = "fd01::5";
  CHECK(s.mutate(filled).empty());
  // A lower address that comes later does not change it.
  auto grown = filled;
  grown.spec.ipv4_pool.emplace_back("10.6.2.1");
  CHECK(s.mutate(grown, &filled).empty());
  auto emptied = filled;
  emptied.spec.ipv6_pool.clear();
  const auto cleared = s.mutate(emptied, &filled);
  REQUIRE(cleared.size() == 1);
  CHECK(cleared[0].path == "/spec/ippools/ipv6DefaultEIP");
  CHECK(std::get<std::string>(cleared[0].value).empty());
  CHECK(s.mutate(gateway("bad", {"nonsense"})).empty());
}

TEST_CASE("admission: a policy gets its namespace's default gateway, else the cluster's") {
  Scene s;
  CHECK(s.mutate(policy("p", "eg9")).empty());
  CHECK(s.mutate(policy("p", "")).empty());
  CHECK(s.create(policy("p", "")).empty());
  REQUIRE(s.last.response.warnings.size() == 1);
  CHECK(has(s.last.response.warnings[0], "spec.clusterDefault"));
  CHECK(s.create(gateway("eg2", {"10.6.2.5/28"}, {""})).empty());
  CHECK(s.last.response.warnings ==
        std::vector<std::string>{"spec.ippools.ipv4[0]: 10.6.2.5/28 is taken as 10.6.2.0/28: write "
                                 "that, or one address"});
  auto by_default = gateway("standard", {"10.6.3.1"});
  by_default.spec.cluster_default = true;
  s.world.put(by_default);
  auto patch = s.mutate(policy("p", ""));
  REQUIRE(patch.size() == 1);
  CHECK(patch[0].path == "/spec/egressGatewayName");
  CHECK(std::get<std::string>(patch[0].value) == "standard");
  api::Namespace ns;
  ns.meta.name = "team";
  ns.meta.annotations = {{api::kLabelNamespaceDefault, "by-annotation"}};
  s.world.put(ns);
  CHECK(std::get<std::string>(s.mutate(policy("p", ""))[0].value) == "by-annotation");
  ns.meta.labels = {{api::kLabelNamespaceDefault, "by-label"}};
  s.world.put(ns);
  CHECK(std::get<std::string>(s.mutate(policy("p", ""))[0].value) == "by-label");
  auto wide = policy("p", "");
  wide.kind = api::PolicyKind::EgressClusterPolicy;
  wide.meta.namespace_.clear();
  CHECK(std::get<std::string>(s.mutate(wide)[0].value) == "standard");
}

TEST_CASE("admission: a namespace that the watch has yet to bring is read anew") {
  Scene s;
  auto p = policy("p", "");
  p.meta.namespace_ = "young";
  CHECK(s.mutate(p).empty());
  const ObjectKey key{Kind::Namespace, "", "young"};
  REQUIRE(s.last.rests_on == std::vector<ObjectKey>{key});
  api::Namespace ns;
  ns.meta.name = "young";
  ns.meta.labels = {{api::kLabelNamespaceDefault, "eg1"}};
  s.fresh[key] = ns;
  CHECK(s.mutate(p).size() == 1);
  CHECK(s.last.rests_on.empty());
}

TEST_CASE("admission: a default gateway is not chosen by a namespace as it was") {
  Scene s;
  auto by_default = gateway("standard", {"10.6.3.1"});
  by_default.spec.cluster_default = true;
  s.world.put(by_default);
  CHECK(std::get<std::string>(s.mutate(policy("p", ""))[0].value) == "standard");
  const ObjectKey key{Kind::Namespace, "", "team"};
  REQUIRE(s.last.rests_on == std::vector<ObjectKey>{key});
  api::Namespace ns;
  ns.meta.name = "team";
  ns.meta.annotations = {{api::kLabelNamespaceDefault, "eg1"}};
  s.fresh[key] = ns;
  CHECK(std::get<std::string>(s.mutate(policy("p", ""))[0].value) == "eg1");
  CHECK(s.last.rests_on.empty());
}

TEST_CASE("admission: gateways: what others forbid") {
  Scene s;
  CHECK(s.create(gateway("eg2", {"10.6.2.1-10.6.2.9"})).empty());
  CHECK(s.last.response.warnings.empty());
  CHECK(has(s.create(gateway("eg2", {"10.6.1.0/28"})),
            "spec.ippools: 10.6.1.10-10.6.1.14 is in the pool of EgressGateway eg1 too"));
  CHECK(s.last.response.code == 422);
  CHECK(has(s.create(gateway("eg2", {"10.6.0.1"})), "belongs to a node"));
  CHECK(has(s.create(gateway("eg2", {"10.244.0.7"})), "belongs to a node"));
  CHECK(has(s.create(gateway("eg2", {"10.100.0.1"})), "belongs to a node"));
  CHECK(has(s.create(gateway("eg2", {"172.31.4.4"})), "--tunnel-ipv4-subnet"));
  CHECK(has(s.create(gateway("eg2", {"nonsense"})), "spec.ippools.ipv4[0]: \"nonsense\""));
  CHECK(s.create(gateway("eg2", {"10.6.2.5/28"}, {""})).empty());
  CHECK(s.last.response.warnings ==
        std::vector<std::string>{"spec.ippools.ipv4[0]: 10.6.2.5/28 is taken as 10.6.2.0/28: write "
                                 "that, or one address"});
  auto by_default = gateway("standard", {"10.6.3.1"});
  by_default.spec.cluster_default = true;
  CHECK(s.create(by_default).empty());
  s.world.put(by_default);
  auto second = gateway("second", {"10.6.4.1"});
  second.spec.cluster_default = true;
  CHECK(has(s.create(second), "EgressGateway standard is the cluster's default"));
  CHECK(s.update(by_default, by_default).empty());
  auto lonely = gateway("lonely", {"10.6.5.1"});
  lonely.spec.node_selector.match_labels = {{"no", "such"}};
  CHECK(s.create(lonely).empty());
  CHECK(s.last.response.warnings.size() == 1);

  s.in.families.v6 = false;
  CHECK(has(s.create(gateway("eg2", {"10.6.2.1"}, {"fd01::1"})),
            "spec.ippools.ipv6: IPv6 is switched off"));
  CHECK(s.create(gateway("eg2", {"10.6.2.1"})).empty());
}

TEST_CASE("admission: gateways: a refusal rests on what is read anew") {
  Scene s;
  auto second = gateway("eg2", {"10.6.1.15"});
  CHECK_FALSE(s.create(second).empty());
  const ObjectKey eg1{Kind::Gateway, "", "eg1"};
  REQUIRE(s.last.rests_on == std::vector<ObjectKey>{eg1});
  s.fresh[eg1] = std::nullopt; // deleted a moment ago
  CHECK(s.create(second).empty());
  s.fresh[eg1] = gateway("eg1", {"10.6.1.10"}); // or its pool made smaller
  CHECK(s.create(second).empty());
  s.fresh[eg1] = gateway("eg1", {"10.6.1.10-10.6.1.30"});
  CHECK_FALSE(s.create(second).empty());
  CHECK(s.last.rests_on.empty());
}

TEST_CASE("admission: gateways: an EIP in use can't leave the pool") {
  Scene s;
  auto before = gateway("eg1", {"10.6.1.10-10.6.1.20"}, {"fd00::10-fd00::20"});
  before.status.node_list = {{"node1", "Ready", {{3, "10.6.1.12", "fd00::12", {}}}}};
  before.status.unplaced = {{4, "10.6.1.19", "fd00::19", {}}};
  auto after = before;
  after.spec.ipv4_pool = {"10.6.1.12-10.6.1.18"};
  CHECK(has(s.update(before, after), "spec.ippools.ipv4: 10.6.1.19 is in use"));
  after.spec.ipv4_pool = {"10.6.1.12", "10.6.1.19"};
  CHECK(s.update(before, after).empty());
  after.spec.ipv6_pool.clear();
  CHECK(has(s.update(before, after), "spec.ippools.ipv6: fd00::12 and 1 more is in use"));
  // One that stands outside already is no reason to refuse other changes.
  before.spec.ipv4_pool = {"10.6.1.12"};
  after = before;
  after.spec.ipv4_pool = {"10.6.1.12-10.6.1.14"};
  CHECK(s.update(before, after).empty());
}

TEST_CASE("admission: what does not touch the spec always passes") {
  Scene s;
  auto bad = gateway("bad", {"nonsense"});
  auto labelled = bad;
  labelled.meta.labels = {{"a", "b"}};
  CHECK(s.update(bad, labelled).empty());
  const auto p = policy("p", "missing");
  auto finalized = p;
  finalized.meta.finalizers = {"some/finalizer"};
  CHECK(s.update(p, finalized).empty());
  auto edited = p; // and an edit is judged by itself: its gateway is gone, but was right once
  edited.spec.dest_subnet = {"192.0.2.0/24"};
  CHECK(s.update(p, edited).empty());
  edited.spec.dest_subnet = {"nonsense"};
  CHECK(has(s.update(p, edited), "spec.destSubnet[0]: \"nonsense\""));
}

TEST_CASE("admission: a gateway in use can't be deleted") {
  Scene s;
  const auto g = gateway("eg1", {"10.6.1.10-10.6.1.20"});
  CHECK(s.remove(g).empty());
  s.world.put(policy("p", "eg1"));
  s.world.put(policy("q", "eg1"));
  CHECK(has(s.remove(g), "EgressGateway eg1 is in use by EgressPolicy team/p and others"));
  REQUIRE(s.last.rests_on.size() == 2);
  // Both deleted a moment ago, as `kubectl delete -f` does.
  for (const auto& key : s.last.rests_on) s.fresh[key] = std::nullopt;
  CHECK(s.remove(g).empty());
  auto going = policy("p", "eg1");
  going.meta.deleting = true;
  s.fresh[key_of(going.key())] = going;
  CHECK(s.remove(g).empty());
  CHECK(s.remove(policy("p", "eg1")).empty()); // policies always can
  CHECK(s.remove(default_cluster_info()).empty());
}

TEST_CASE("admission: policies: the gateway, its scope and its pool") {
  Scene s;
  CHECK(s.create(policy("p", "eg1")).empty());
  CHECK(has(s.create(policy("p", "eg9")),
            "spec.egressGatewayName: EgressGateway eg9 does not exist"));
  const ObjectKey eg9{Kind::Gateway, "", "eg9"};
  CHECK(std::ranges::count(s.last.rests_on, eg9) == 1);
  s.fresh[eg9] = gateway("eg9", {"10.6.9.1"}); // applied together with the policy
  CHECK(s.create(policy("p", "eg9")).empty());

  auto scoped = gateway("scoped", {"10.6.5.1"});
  scoped.spec.scope_namespaces = {"other"};
  s.world.put(scoped);
  CHECK(has(s.create(policy("p", "scoped")), "does not admit namespace team"));
  auto wide = policy("p", "scoped");
  wide.kind = api::PolicyKind::EgressClusterPolicy;
  wide.meta.namespace_.clear();
  CHECK(s.create(wide).empty());

  auto p = policy("p", "eg1");
  p.spec.eip_ipv4 = "10.6.1.99";
  CHECK(has(s.create(p), "spec.egressIP.ipv4 10.6.1.99 is not in spec.ippools.ipv4"));
  auto g = gateway("eg1", {"10.6.1.10-10.6.1.20"}, {"fd00::10-fd00::20"});
  g.status.node_list = {{"node1", "Ready", {{3, "10.6.1.12", "fd00::13", {}}}}};
  g.meta.resource_version = "7";
  s.world.put(g);
  p.spec.eip_ipv4 = "10.6.1.12";
  CHECK(s.create(p).empty());
  p.spec.eip_ipv6 = "fd00::12";
  CHECK(has(s.create(p), "10.6.1.12 is not paired with fd00::12"));
  p.spec.eip_ipv6 = "fd00::13";
  CHECK(s.create(p).empty());

  s.world.put(gateway("empty", {}));
  CHECK(has(s.create(policy("p", "empty")), "gateway empty has no addresses"));
  auto own = policy("p", "empty");
  own.spec.use_node_ip = true;
  CHECK(s.create(own).empty());
  auto full = gateway("full", {"10.6.8.1-10.6.8.2"}, {"fd08::1"});
  full.status.node_list = {{"node1", "Ready", {{9, "10.6.8.1", "fd08::1", {}}}}};
  s.world.put(full);
  auto rest = policy("p", "full");
  rest.spec.eip_ipv4 = "10.6.8.2";
  CHECK(s.create(rest).empty()); // it may have an address tomorrow
  CHECK(s.last.response.warnings.size() == 1);

  auto nothing = policy("p", "eg1");
  nothing.spec.pod_selector.reset();
  CHECK(has(s.create(nothing), "spec.appliedTo: selects nothing"));
}

TEST_CASE("admission: EgressClusterInfo") {
  Scene s;
  auto info = default_cluster_info();
  CHECK(s.create(info).empty());
  info.meta.name = "other";
  CHECK(has(s.create(info), "metadata.name"));
  const auto before = default_cluster_info();
  auto after = before;
  after.spec.extra_cidr = {"nonsense"};
  CHECK(has(s.update(before, after), "spec.extraCidr[0]"));
  after.spec.extra_cidr = {"10.0.0.0/8", "192.0.2.1"};
  CHECK(s.update(before, after).empty());
}
