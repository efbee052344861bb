// SPDX-License-Identifier: Apache-2.0
#include <functional>

#include "egress/agent_bench.hpp"
#include "egress/node_plans.hpp"
#include "egress/node_ranges.hpp"

// What becomes of packets from pod addresses that the API has not told of (docs/design.md).
using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;

namespace {

NodePlan plan_with(const AgentWorld& w, UnknownPods mode) {
  NodeOptions o;
  o.unknown_pods = mode;
  return plan_node(w, host(1), {}, o);
}

// The verdict of prerouting for both families; they must agree.
Verdict fate(const NodePlan& p, const std::string& host,
             const std::string& destination4 = "8.8.8.8",
             const std::string& destination6 = "2001:db8::8",
             const std::function<void(Packet&)>& edit = {}) {
  Packet x = packet("10.244.1." + host, destination4);
  Packet y = packet("fd44:0:0:1::" + host, destination6);
  if (edit) edit(x);
  if (edit) edit(y);
  const Verdict v4 = run(ip4(p), "prerouting", x), v6 = run(ip6(p), "prerouting", y);
  CHECK(v4 == v6);
  if (v4 == Verdict::Accept) {
    CHECK(x.ct_mark == 0);
    CHECK(x.mark == 0);
  }
  return v4;
}

// node1 has a selected pod, .5, and one of no policy, .6.
AgentWorld two_pods() {
  AgentWorld w = one_pod("node2");
  add(w, pod("default", "other", {{"app", "other"}}, {"10.244.1.6", "fd44:0:0:1::6"}));
  return w;
}
AgentWorld with_starting(api::Labels labels, const std::string& ns = "default") {
  AgentWorld w = two_pods();
  add(w, pod(ns, "new", std::move(labels), {}));
  return w;
}

} // namespace

TEST_CASE("unknown pods: Drop always, Allow never, Auto while a selected pod starts here") {
  const AgentWorld still = two_pods(), starts = with_starting({{"app", "app"}});
  const struct {
    const AgentWorld& world;
    UnknownPods mode;
    Verdict wanted;
  } cases[] = {
      {still, UnknownPods::Auto, Verdict::Accept},  {starts, UnknownPods::Auto, Verdict::Drop},
      {still, UnknownPods::Drop, Verdict::Drop},    {starts, UnknownPods::Drop, Verdict::Drop},
      {still, UnknownPods::Allow, Verdict::Accept}, {starts, UnknownPods::Allow, Verdict::Accept}};
  for (const auto& c : cases) {
    INFO("mode ", static_cast<int>(c.mode));
    const NodePlan p = plan_with(c.world, c.mode);
    CHECK(p.warnings.empty());
    CHECK(fate(p, "7") == c.wanted);
    // Known ones are never touched, nor is what stays inside, ends here, or answers.
    CHECK(fate(p, "6") == Verdict::Accept);
    CHECK(fate(p, "7", "10.96.0.10", "fd96::a") == Verdict::Accept);
    CHECK(fate(p, "7", "10.6.1.1", "fd06:1::1", [](Packet& x) { x.local = true; }) ==
          Verdict::Accept);
    CHECK(fate(p, "7", "8.8.8.8", "2001:db8::8", [](Packet& x) { x.ct_reply = true; }) ==
          Verdict::Accept);
    Packet stranger = packet("192.0.2.1", "198.51.100.1"); // no pod of this node
    CHECK(run(ip4(p), "prerouting", stranger) == Verdict::Accept);
    Packet remote = packet("10.244.2.9", "8.8.8.8");
    CHECK(run(ip4(p), "prerouting", remote) == Verdict::Accept);
  }
}

TEST_CASE("a selected pod whose policy leaves the destination alone is known as well") {
  AgentWorld w = two_pods();
  auto p = policy("default", "app", "eg", 1);
  p.spec.dest_subnet = {"198.51.100.0/24", "2001:db8:77::/64"};
  add(w, p);
  CHECK(fate(plan_with(w, UnknownPods::Drop), "5") == Verdict::Accept);
  const auto released = [](Packet& x) { x.released = true; };
  CHECK(fate(plan_with(w, UnknownPods::Drop), "5", "8.8.8.8", "2001:db8::8", released) ==
        Verdict::Accept);
}

TEST_CASE("which pods count as starting") {
  const auto starting = [](const AgentWorld& w) { return plan(w).pods_starting; };
  CHECK(starting(two_pods()) == 0);
  CHECK(starting(with_starting({{"app", "app"}})) == 1);
  CHECK(starting(with_starting({{"app", "other"}})) == 0);
  CHECK(starting(with_starting({{"app", "app"}}, "elsewhere")) == 0);
  AgentWorld w = with_starting({{"app", "app"}});
  auto& fresh = w.pods.at({"default", "new"});
  SUBCASE("its address is known") {
    fresh.ips = {ip("10.244.1.7"), ip("fd44:0:0:1::7")};
    CHECK(starting(w) == 0);
    CHECK(fate(plan(w), "8") == Verdict::Accept);
  }
  SUBCASE("on the host's network") {
    fresh.host_network = true;
    CHECK(starting(w) == 0);
  }
  SUBCASE("it has ended before it began") {
    fresh.ended = true;
    CHECK(starting(w) == 0);
  }
  SUBCASE("a policy that was never accepted") {
    auto p = policy("default", "app", "eg", 1);
    p.status.conditions.clear();
    add(w, p);
    CHECK(starting(w) == 0);
  }
  SUBCASE("a policy by subnets may come to hold for any pod of its namespace") {
    w = with_starting({{"app", "other"}});
    auto p = policy("default", "app", "eg", 1);
    p.spec.pod_selector.reset();
    p.spec.pod_subnet = {"10.244.1.128/25"};
    add(w, p);
    CHECK(starting(w) == 1);
  }
  SUBCASE("labels of the namespace that are not known may fit") {
    w = with_starting({{"app", "app"}}, "young");
    auto p = policy("", "app", "eg", 1);
    p.kind = api::PolicyKind::EgressClusterPolicy;
    p.spec.namespace_selector = api::LabelSelector{{{"team", "a"}}, {}};
    w.policies.clear();
    add(w, p);
    CHECK(starting(w) == 1);
    w.namespaces["young"].meta.labels = {{"team", "b"}};
    CHECK(starting(w) == 0);
    w.namespaces["young"].meta.labels = {{"team", "a"}};
    CHECK(starting(w) == 1);
  }
}

TEST_CASE("an address that a policy held is closed once its pod is gone, until another has it") {
  const auto released = [](Packet& x) { x.released = true; };
  AgentWorld w = two_pods();
  w.pods.erase({"default", "a"});
  const auto fate_of_5 = [&](UnknownPods mode) {
    return fate(plan_with(w, mode), "5", "8.8.8.8", "2001:db8::8", released);
  };
  CHECK(fate_of_5(UnknownPods::Auto) == Verdict::Drop);
  CHECK(fate_of_5(UnknownPods::Allow) == Verdict::Accept);
  SUBCASE("a pod that ended still names it") {
    auto ended = pod("default", "a", {{"app", "app"}}, {"10.244.1.5", "fd44:0:0:1::5"});
    ended.phase = api::PodPhase::Succeeded;
    add(w, ended);
    CHECK(fate_of_5(UnknownPods::Auto) == Verdict::Drop);
    CHECK(fate(plan_with(w, UnknownPods::Drop), "5") == Verdict::Drop);
  }
  SUBCASE("a pod of another namespace has it now") {
    add(w, pod("elsewhere", "b", {}, {"10.244.1.5", "fd44:0:0:1::5"}));
    CHECK(fate_of_5(UnknownPods::Auto) == Verdict::Accept);
    CHECK(fate_of_5(UnknownPods::Drop) == Verdict::Accept);
  }
}

TEST_CASE(
    "ranges of this node's pods: its own, pools, merged ones that hold a pod; else extraCidr") {
  const auto of = [](const std::vector<std::string>& texts) {
    IntervalSet set;
    for (const std::string& text : texts) set.add(cidr(text));
    return set;
  };
  AgentWorld w = with_starting({{"app", "app"}});
  CHECK(ranges_of_pods(w) == of({"10.244.1.0/24", "fd44:0:0:1::/64"}));
  auto& sources = w.cluster.status.pod_cidr;
  sources["IPPool/blue"] = {{"10.250.0.0/16"}, {}};
  CHECK(ranges_of_pods(w) == of({"10.244.1.0/24", "10.250.0.0/16", "fd44:0:0:1::/64"}));
  sources = {{"all nodes", {{"10.244.0.0/20", "10.245.0.0/20"}, {"fd44::/48"}}}};
  CHECK(ranges_of_pods(w) == of({"10.244.0.0/20", "fd44::/48"}));
  w.pods.clear();
  CHECK(ranges_of_pods(w) == of({"10.244.0.0/20", "10.245.0.0/20", "fd44::/48"}));

  w = with_starting({{"app", "app"}});
  w.cluster.status.pod_cidr.clear();
  CHECK(ranges_of_pods(w).empty());
  CHECK(plan(w).warnings.size() == 2);
  CHECK(plan(w).warnings[0].find("names no IPv4 range of this node's pods") != std::string::npos);
  CHECK(fate(plan(w), "7") == Verdict::Accept);
  w.cluster.status.extra_cidr = {{"10.244.0.0/16", "10.6.0.0/30"}, {"fd44::/16"}};
  CHECK(ranges_of_pods(w) ==
        of({"10.6.0.0/32", "10.244.0.0/16", "fd44::/16"})); // without the three nodes
  CHECK(plan(w).warnings.empty());
  CHECK(fate(plan(w), "7") == Verdict::Drop);
}

TEST_CASE("a pod that starts changes a few elements, and no rule") {
  const Scene scene("node2");
  Bench b;
  b.start(scene.world, scene.policies);
  b.pass(1s);
  const auto only_elements = [&](int applies) {
    CHECK(b.count<Apply>() == applies);
    const net::Batch& batch = b.last<Apply>().batch;
    CHECK(batch.before.empty());
    CHECK(batch.after.empty());
    for (const net::NftOp& op : batch.nft) {
      CHECK_MESSAGE((std::holds_alternative<net::AddElements>(op) ||
                     std::holds_alternative<net::DeleteElements>(op)),
                    net::to_string(op));
    }
    return batch.nft.size();
  };
  auto fresh = pod("default", "b", {{"app", "app"}}, {});
  b.send({Changed<api::Pod>{fresh}});
  CHECK(only_elements(2) == 2); // the ranges of both families come
  CHECK(b.core.plan().pods_starting == 1);
  b.pass(1s);
  CHECK(b.count<Apply>() == 2); // as long as it starts
  fresh.ips = {ip("10.244.1.7"), ip("fd44:0:0:1::7")};
  b.send({Changed<api::Pod>{fresh}});
  CHECK(only_elements(3) == 2); // the pod comes
  b.pass(90ms);
  CHECK(b.count<Apply>() == 3);
  b.pass(1s);
  CHECK(only_elements(4) == 2); // the ranges go, when no packet can be under way that missed it
  b.send({Changed<api::Pod>{pod("default", "c", {{"app", "other"}}, {})}});
  b.pass(1s);
  CHECK(b.count<Apply>() == 4); // one of no policy is nobody's concern
}
