// SPDX-License-Identifier: Apache-2.0
// The controller's core and EgressClusterInfo: sources that come and go, what people switch, and
// how often it is written.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <random>
#include <string>

#include "egress/cluster.hpp"
#include "egress/cluster_detection.hpp"
#include "egress/cluster_info.hpp"
#include "egress/harness.hpp"
#include "egress/known_cluster.hpp"
#include "egress/policy.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;
using namespace std::chrono_literals;
using api::RangeKind;
using Texts = std::vector<std::string>;

namespace {

const api::EgressClusterInfo& info(const Harness& h) {
  return *h.api.find<api::EgressClusterInfo>(Kind::ClusterInfo, "", "default");
}

void edit(Harness& h, const std::function<void(api::EgressClusterInfoSpec&)>& change) {
  api::EgressClusterInfo changed = info(h);
  change(changed.spec);
  h.api.put(changed);
}

std::string condition(const Harness& h, const char* type) {
  return h.condition(info(h).status.conditions, type);
}

std::size_t info_writes(const Harness& h) {
  return static_cast<std::size_t>(std::ranges::count_if(h.history, [](const Write& w) {
    return w.verb == WriteVerb::UpdateStatus &&
           std::holds_alternative<api::EgressClusterInfo>(w.object);
  }));
}

} // namespace

TEST_CASE("controller: pools and service ranges come and go") {
  Harness h = cluster();
  CHECK(h.asked == 1); // nothing tells of services
  CHECK(info(h).status.cluster_ip.ipv4 == Texts{"10.96.0.0/16"});
  CHECK(condition(h, kServiceCidr) == "True");
  h.api.put(range_object(RangeKind::IpPool, "pool", {"192.168.0.0/16"}));
  h.api.put(range_object(RangeKind::ServiceCidr, "kubernetes", {"10.97.0.0/16", "fd97::/112"}));
  h.settle();
  CHECK(info(h).status.pod_cidr.at("calico/pool").ipv4 == Texts{"192.168.0.0/16"});
  CHECK(info(h).status.cluster_ip == api::CidrSource{{"10.97.0.0/16"}, {"fd97::/112"}});
  h.api.put(range_object(RangeKind::IpPool, "pool", {"192.169.0.0/16"}));
  h.settle();
  CHECK(info(h).status.pod_cidr.at("calico/pool").ipv4 == Texts{"192.169.0.0/16"});
  h.api.remove({Kind::IpPool, "", "pool"});
  h.settle();
  CHECK_FALSE(info(h).status.pod_cidr.contains("calico/pool"));
  // Without the better source it is asked anew.
  h.service_ranges = {{cidr("10.98.0.0/16")}, ""};
  h.api.remove({Kind::ServiceCidr, "", "kubernetes"});
  h.settle();
  CHECK(h.asked == 2);
  CHECK(info(h).status.cluster_ip == api::CidrSource{{"10.98.0.0/16"}, {}});
  CHECK(h.core->counters().fruitless == 0);
}

TEST_CASE("controller: a pool that takes an EIP's address refuses the gateway, whatever is on") {
  Harness h = cluster();
  edit(h, [](auto& spec) { spec.pod_cidr_mode = api::PodCidrMode::Off; });
  h.settle();
  CHECK(h.condition(h.gateway("eg1").status.conditions, kAccepted) == "True");
  h.api.put(range_object(RangeKind::IpPool, "pool", {"10.6.2.0/24"}));
  h.settle();
  CHECK(info(h).status.pod_cidr.empty());
  CHECK(h.condition(h.gateway("eg1").status.conditions, kAccepted).starts_with("False"));
  auto disabled = range_object(RangeKind::IpPool, "pool", {"10.6.2.0/24"});
  disabled.disabled = true; // so that Calico does not translate what goes there: no pods
  h.api.put(disabled);
  h.settle();
  CHECK(h.condition(h.gateway("eg1").status.conditions, kAccepted) == "True");
}

TEST_CASE("controller: a disabled pool counts while a pod has an address there") {
  Harness h = cluster();
  auto pool = range_object(RangeKind::IpPool, "old", {"10.250.0.0/16"});
  pool.disabled = true;
  h.api.put(pool);
  h.pod("default", "late", "node1", "10.250.0.7");
  h.settle();
  CHECK(info(h).status.pod_cidr.contains("calico/old"));
  h.pod("default", "later", "node1", "10.250.0.8");
  h.api.remove({Kind::Pod, "default", "late"});
  h.settle();
  CHECK(info(h).status.pod_cidr.contains("calico/old"));
  h.api.remove({Kind::Pod, "default", "later"});
  h.settle();
  CHECK_FALSE(info(h).status.pod_cidr.contains("calico/old"));
}

TEST_CASE("controller: a pod whose address nothing holds is told of") {
  Harness h = cluster();
  h.api.put(range_object(RangeKind::IpPool, "pool", {"10.244.0.0/16"}));
  h.pod("default", "a", "node1", "10.244.1.1");
  h.settle();
  CHECK(condition(h, kPodCidr) == "True");
  h.pod("default", "b", "node1", "10.32.0.5");
  h.settle();
  CHECK(condition(h, kPodCidr) == "False PodOutside");
  CHECK(noticed(h, "PodOutside"));
  edit(h, [](auto& spec) { spec.extra_cidr = {"10.32.0.0/16"}; });
  h.settle();
  CHECK(condition(h, kPodCidr) == "True");
  h.pod("default", "c", "node1", "10.33.0.5");
  h.settle();
  CHECK(condition(h, kPodCidr) == "False PodOutside");
  h.api.remove({Kind::Pod, "default", "c"});
  h.settle();
  CHECK(condition(h, kPodCidr) == "True");
}

TEST_CASE("controller: flags of the control plane's pods, and a question that is not allowed") {
  Harness h;
  h.service_ranges = {{}, "not allowed"};
  h.node("node1");
  h.restart(7);
  h.pump();
  CHECK(h.asked == 1);
  CHECK(condition(h, kServiceCidr) == "False NotFound");
  CHECK(noticed(h, "NotFound"));
  h.advance(11s);
  h.pump();
  CHECK(h.asked == 2);
  api::Pod pod;
  pod.meta.namespace_ = "kube-system";
  pod.meta.name = "kube-apiserver-n1";
  pod.host_network = true;
  pod.service_cidrs = Texts{"10.96.0.0/12"};
  h.api.put(pod);
  h.pump();
  h.advance(2s);
  h.pump();
  CHECK(info(h).status.cluster_ip.ipv4 == Texts{"10.96.0.0/12"});
  CHECK(condition(h, kServiceCidr) == "True");
  h.settle(); // nothing more is asked
  CHECK(h.asked == 2);
}

TEST_CASE("controller: what people switch off leaves at once, also while others have to wait") {
  Harness h = cluster();
  h.advance(1min);
  for (std::size_t i = 4; i <= 6; ++i) { // the first changes are written at once
    h.node("node" + std::to_string(i));
    h.pump();
    CHECK(info(h).status.node_ip.size() == i);
  }
  h.node("node7");
  h.pump();
  CHECK(info(h).status.node_ip.size() == 6); // the next waits for company
  edit(h, [](auto& spec) { spec.node_ip = spec.cluster_ip = false; });
  h.pump();
  CHECK(info(h).status.node_ip.empty());
  CHECK(info(h).status.cluster_ip == api::CidrSource{});
  edit(h, [](auto& spec) {
    spec.node_ip = spec.cluster_ip = true;
    spec.extra_cidr = {"10.9.0.0/16"};
  });
  h.pump();
  CHECK(info(h).status.node_ip.size() == 7);
  CHECK(info(h).status.extra_cidr.ipv4 == Texts{"10.9.0.0/16"});
  CHECK(h.asked == 2); // switched on anew: asked anew
  h.settle();
  CHECK(info(h).status.cluster_ip.ipv4 == Texts{"10.96.0.0/16"});
}

TEST_CASE("controller: nodes that come one after the other make few writes, ids do not wait") {
  Harness h = cluster();
  const auto before = info_writes(h);
  for (int i = 10; i < 60; ++i) {
    h.node("node" + std::to_string(i));
    h.pump();
    h.advance(20ms);
  }
  h.gateway("eg2", {"10.6.3.10"}); // needs a block of ids
  h.pump();
  CHECK(h.condition(h.gateway("eg2").status.conditions, kReady) != "");
  CHECK(info(h).status.id_blocks.size() == 2);
  // One more waits for its turn, and whoever asks is told.
  h.node("node60");
  h.pump();
  CHECK(h.core->pending(h.now.steady) == 1);
  h.settle();
  CHECK(h.core->pending(h.now.steady) == 0);
  CHECK(info(h).status.node_ip.size() == 54);
  CHECK(info_writes(h) - before <= 6); // three at once, one for the ids, and one each second
}

TEST_CASE("controller: an object that is deleted is made again, with its ids") {
  Harness h = cluster();
  const auto blocks = info(h).status.id_blocks;
  const auto uid = info(h).meta.uid;
  REQUIRE_FALSE(blocks.empty());
  h.api.remove({Kind::ClusterInfo, "", "default"});
  h.pump();
  CHECK(info(h).meta.uid != uid);
  CHECK(info(h).status.id_blocks == blocks);
  CHECK(info(h).status.node_ip.size() == 3);
}

TEST_CASE("controller: whatever happened, the status is what a fresh look finds") {
  for (unsigned seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto pick = [&](unsigned n) { return static_cast<unsigned>(random()) % n; };
    Harness h;
    const auto act = [&] {
      const std::string i = std::to_string(1 + pick(4));
      switch (pick(8)) {
        case 0: {
          h.node("node" + i);
          api::Node node = *h.api.find<api::Node>(Kind::Node, "", "node" + i);
          if (pick(2) == 0) node.pod_cidrs = {cidr("10.244." + i + ".0/24")};
          if (pick(3) == 0) node.cilium_cidrs = {"10.245." + i + ".0/24"};
          return h.api.put(node);
        }
        case 1:
          return h.remove_node("node" + i);
        case 2: {
          auto pool = range_object(RangeKind::IpPool, "p" + i, {"10.24" + i + ".0.0/16"});
          pool.disabled = pick(2) == 0;
          return h.api.put(pool);
        }
        case 3: {
          const auto kind = api::kRangeKinds.at(pick(5));
          if (pick(2) == 0) {
            h.api.remove({kind_of(kind), "", "p" + i});
          } else if (kind != RangeKind::IpPool) {
            h.api.put(range_object(kind, "p" + i, {pick(5) == 0 ? "?" : "10.25" + i + ".0.0/16"}));
          }
          return;
        }
        case 4:
        case 5:
          return h.pod("default", "pod" + std::to_string(pick(6)), "node1",
                       "10.24" + std::to_string(pick(6)) + "." + i + ".7");
        case 6:
          h.api.remove({Kind::Pod, "default", "pod" + std::to_string(pick(6))});
          return;
        default:
          if (h.api.find<api::EgressClusterInfo>(Kind::ClusterInfo, "", "default") == nullptr) {
            return;
          }
          return edit(h, [&](auto& spec) {
            spec.pod_cidr_mode = static_cast<api::PodCidrMode>(pick(4));
            spec.cluster_ip = pick(3) != 0;
            spec.node_ip = pick(3) != 0;
          });
      }
    };
    std::int64_t term = 1;
    h.restart(term, seed);
    for (int i = 0; i < 120; ++i) {
      if (pick(2) == 0) act();
      if (pick(40) == 0) h.restart(++term, pick(1000));
      h.shake(random);
    }
    h.settle();
    CHECK(h.core->counters().fruitless == 0);

    World world;
    for (Event& event : h.api.lists()) world.replace(std::get<Replaced>(std::move(event)));
    api::EgressClusterInfo fresh = info(h);
    fresh.status = {};
    ClusterDetection detection;
    if (detection.ask(world, fresh, {})) detection.told(h.service_ranges, {});
    const auto wanted = detection.detect(world, fresh, {});
    const auto& found = info(h).status;
    CHECK(found.node_ip == wanted.node_ip);
    CHECK(found.pod_cidr == wanted.pod_cidr);
    CHECK(found.pod_cidr_mode == wanted.pod_cidr_mode);
    CHECK(found.cluster_ip == wanted.cluster_ip);
    for (const char* type : {kPodCidr, kServiceCidr, kDetected}) {
      CHECK(h.condition(found.conditions, type) == h.condition(wanted.conditions, type));
    }
    const auto inside = inside_cluster(info(h));
    const auto pods = world.pods.in("default");
    const bool outside = std::ranges::any_of(pods, [&](PodId id) {
      return !inside.contains(world.pods.get(id)->endpoint.ips.all().front());
    });
    if (condition(h, kPodCidr) == "True") CHECK_FALSE(outside);
    if (condition(h, kPodCidr) == "False PodOutside") CHECK(outside);
  }
}

TEST_CASE("controller: a kind that the cluster lacks, or may not be read, holds nothing up") {
  Harness h = cluster();
  h.api.put(range_object(RangeKind::IpPool, "pool", {"192.168.0.0/16"}));
  h.settle();
  h.restart_without({Kind::IpPool, Kind::CiliumNode}, 9);
  h.settle();
  CHECK(h.core->active());
  CHECK(condition(h, kWatching) == "False Refused");
  CHECK(info(h).status.pod_cidr.contains("calico/pool")); // stays
  h.grant(Kind::IpPool);
  h.grant(Kind::CiliumNode);
  h.settle();
  CHECK(condition(h, kWatching) == "True");
  CHECK(info(h).status.pod_cidr.contains("calico/pool"));
}
