// SPDX-License-Identifier: Apache-2.0
#include "egress/cluster_info.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "api/json.hpp"
#include "egress/known_cluster.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;
using api::RangeKind;
using Texts = std::vector<std::string>;

namespace {

const WallTime kNow = parse_rfc3339("2026-01-01T00:00:00Z");

bool holds(const api::EgressClusterInfoStatus& status, const char* address) {
  api::EgressClusterInfo info;
  info.status = status;
  return inside_cluster(info).contains(ip(address));
}

// "True Reason", "False Reason" ...
std::string condition(const api::EgressClusterInfoStatus& status, const char* type) {
  const auto* c = api::find_condition(status.conditions, type);
  return c == nullptr ? "" : c->status + " " + c->reason;
}

std::string message(const api::EgressClusterInfoStatus& status, const char* type) {
  const auto* c = api::find_condition(status.conditions, type);
  return c == nullptr ? "" : c->message;
}

} // namespace

TEST_CASE("cluster info: nodes, pods, API server and what people add") {
  KnownCluster known;
  known.put(range_object(RangeKind::ServiceCidr, "kubernetes", {"10.96.0.0/16", "fd00:96::/112"}));
  auto info = default_cluster_info();
  CHECK(info.meta.name == "default");
  info.spec.extra_cidr = {"10.9.0.0/16", "10.8.0.7"};
  const auto status = detect(info, known.sources, kNow);
  CHECK(status.node_ip.at("node1") == api::CidrSource{{"10.6.1.1"}, {"fd06::1"}});
  CHECK(status.pod_cidr.at("node1") == api::CidrSource{{"10.244.1.0/24"}, {"fd44:1::/64"}});
  CHECK(status.cluster_ip == api::CidrSource{{"10.96.0.0/16"}, {"fd00:96::/112"}});
  CHECK(status.api_server.ipv4 == Texts{"192.0.2.9"});
  CHECK(status.extra_cidr.ipv4 == Texts{"10.9.0.0/16", "10.8.0.7"});
  CHECK(status.pod_cidr_mode == "k8s");
  for (const char* a : {"10.6.1.1", "10.244.1.77", "fd44:1::5", "192.0.2.9", "10.9.3.4", "10.8.0.7",
                        "10.96.0.10", "fd00:96::a"}) {
    CHECK(holds(status, a));
  }
  CHECK_FALSE(holds(status, "10.8.0.8"));
  CHECK(condition(status, kDetected) == "True Detected");
  CHECK(condition(status, kPodCidr) == "True Found");
  CHECK(condition(status, kServiceCidr) == "True ServiceCIDR");
  // The same again is the same.
  info.status = status;
  CHECK(detect(info, known.sources, kNow + std::chrono::hours(1)) == status);
}

TEST_CASE("cluster info: what is switched off leaves the status") {
  KnownCluster known;
  known.put(range_object(RangeKind::ServiceCidr, "kubernetes", {"10.96.0.0/16"}));
  known.put(range_object(RangeKind::IpPool, "pool", {"192.168.0.0/16"}));
  auto info = default_cluster_info();
  info.status = detect(info, known.sources, kNow);
  CHECK_FALSE(info.status.cluster_ip.ipv4.empty());
  info.spec.node_ip = info.spec.cluster_ip = false;
  info.spec.pod_cidr_mode = api::PodCidrMode::Off;
  info.status.id_blocks = {{1, "a", "ua", {}}};
  const auto status = detect(info, known.sources, kNow);
  CHECK(status.node_ip.empty());
  CHECK(status.pod_cidr.empty());
  CHECK(status.cluster_ip == api::CidrSource{});
  CHECK(status.pod_cidr_mode.empty());
  CHECK(status.api_server.ipv4.size() == 1);
  CHECK(status.id_blocks == info.status.id_blocks);
  CHECK(condition(status, kPodCidr).empty());
  CHECK(condition(status, kServiceCidr).empty());
  CHECK(condition(status, kDetected) == "True Detected");
  // No EIP and no tunnel address may be one of them nevertheless; extraCidr may name an underlay.
  info.spec.extra_cidr = {"10.6.0.0/16"};
  const auto taken = cluster_addresses(detect(info, known.sources, kNow), known.sources);
  for (const char* a : {"10.6.1.1", "10.244.1.9", "192.168.7.7", "10.96.0.1", "192.0.2.9"}) {
    CHECK(taken.contains(ip(a)));
  }
  CHECK_FALSE(taken.contains(ip("10.6.1.2")));
}

TEST_CASE("cluster info: what is wrong is said") {
  KnownCluster known;
  known.put(range_object(RangeKind::ServiceCidr, "kubernetes", {"10.96.0.0/16"}));
  auto info = default_cluster_info();
  info.spec.extra_cidr = {"10.9.0.0/16", "nonsense"};
  auto status = detect(info, known.sources, kNow);
  CHECK(condition(status, kDetected) == "False Invalid");
  CHECK(message(status, kDetected).find("nonsense") != std::string::npos);
  CHECK(status.extra_cidr.ipv4.size() == 1);

  info.spec.extra_cidr.clear();
  known.node("node1", {"10.6.1.1"});
  status = detect(info, known.sources, kNow);
  CHECK(condition(status, kPodCidr) == "False NothingFound");
  CHECK(message(status, kPodCidr).find("spec.extraCidr") != std::string::npos);
  CHECK(message(status, kPodCidr).find("podCIDRs of the Nodes") != std::string::npos);
  CHECK(condition(status, kDetected) == "False NotAllFound");
  CHECK(message(status, kDetected) == "see condition PodCIDR");
  CHECK(status.pod_cidr_mode.empty());
  info.spec.extra_cidr = {"10.32.0.0/12"}; // where people name them, and no pod is elsewhere
  CHECK(condition(detect(info, known.sources, kNow), kPodCidr) == "True ExtraCidr");
  info.spec.extra_cidr.clear();
  known.nodes.clear(); // nobody there yet is nothing wrong
  CHECK(condition(detect(info, known.sources, kNow), kPodCidr) == "True Found");

  known.put(range_object(RangeKind::IpPool, "pool", {"192.168.0.0/16", "x", "0.0.0.0/0"}));
  status = detect(info, known.sources, kNow);
  CHECK(condition(status, kPodCidr) == "False Incomplete");
  CHECK(message(status, kPodCidr) ==
        "IPPool pool: spec.cidr: \"x\" is not a CIDR; IPPool pool: spec.cidr: 0.0.0.0/0 is no "
        "range of a cluster: it is shorter than /8");
  CHECK(status.pod_cidr.at("calico/pool").ipv4 == Texts{"192.168.0.0/16"});
  CHECK_FALSE(holds(status, "8.8.8.8"));

  ClusterSources with_pod = known.sources;
  with_pod.pod_outside = "Pod a/b has the address 10.32.0.5";
  known.put(range_object(RangeKind::IpPool, "pool", {"192.168.0.0/16"}));
  status = detect(info, with_pod, kNow);
  CHECK(condition(status, kPodCidr) == "False PodOutside");
  CHECK(message(status, kPodCidr).starts_with("Pod a/b has the address 10.32.0.5, which"));
}

TEST_CASE("cluster info: modes of podCidrMode") {
  KnownCluster known;
  known.put(range_object(RangeKind::IpPool, "pool", {"192.168.0.0/16", "fd92::/48"}));
  known.put(range_object(RangeKind::FlannelConfig, api::kFlannelConfigName, {"10.240.0.0/16"},
                         "kube-flannel"));
  known.put(range_object(RangeKind::CiliumNode, "node1", {"10.1.1.0/24", "10.244.1.0/24"}));
  auto info = default_cluster_info();
  const auto with = [&](api::PodCidrMode mode) {
    info.spec.pod_cidr_mode = mode;
    return detect(info, known.sources, kNow);
  };
  SUBCASE("auto: all that is there, each under its own name") {
    const auto status = with(api::PodCidrMode::Auto);
    CHECK(status.pod_cidr_mode == "calico+cilium+flannel+k8s");
    CHECK(status.pod_cidr.size() == 3);
    CHECK(status.pod_cidr.at("calico/pool") == api::CidrSource{{"192.168.0.0/16"}, {"fd92::/48"}});
    CHECK(status.pod_cidr.at("flannel/kube-flannel").ipv4 == Texts{"10.240.0.0/16"});
    CHECK(status.pod_cidr.at("node1").ipv4 == Texts{"10.1.1.0/24", "10.244.1.0/24"});
    CHECK(message(status, kPodCidr) ==
          "auto: Calico's IPPools, Cilium's ranges, Flannel's net-conf.json, podCIDRs of the "
          "Nodes");
  }
  SUBCASE("auto names what is not there") {
    known.ranges.clear();
    CHECK(message(with(api::PodCidrMode::Auto), kPodCidr) ==
          "auto: podCIDRs of the Nodes; not there: Calico's IPPools, Cilium's ranges, Flannel's "
          "net-conf.json");
  }
  SUBCASE("k8s: nodes alone") {
    const auto status = with(api::PodCidrMode::K8s);
    CHECK(status.pod_cidr_mode == "k8s");
    CHECK(status.pod_cidr.size() == 1);
    CHECK(status.pod_cidr.at("node1").ipv4 == Texts{"10.244.1.0/24"});
  }
  SUBCASE("calico: pools alone, and their absence is wrong") {
    auto status = with(api::PodCidrMode::Calico);
    CHECK(status.pod_cidr_mode == "calico");
    CHECK(status.pod_cidr.size() == 1);
    CHECK(status.pod_cidr.contains("calico/pool"));
    known.ranges.clear();
    status = with(api::PodCidrMode::Calico);
    CHECK(status.pod_cidr.empty());
    CHECK(status.pod_cidr_mode == "calico");
    CHECK(condition(status, kPodCidr) == "False NothingFound");
    CHECK(message(status, kPodCidr).starts_with("calico: nothing found in Calico's IPPools: "));
  }
  SUBCASE("off: nothing, and no condition") {
    const auto status = with(api::PodCidrMode::Off);
    CHECK(status.pod_cidr.empty());
    CHECK(condition(status, kPodCidr).empty());
  }
}

TEST_CASE("cluster info: what can't be read stays as it was, and a condition says so") {
  KnownCluster known;
  known.put(range_object(RangeKind::IpPool, "pool", {"192.168.0.0/16"}));
  known.put(range_object(RangeKind::FlannelConfig, api::kFlannelConfigName, {"10.240.0.0/16"},
                         "kube-flannel"));
  known.put(range_object(RangeKind::ServiceCidr, "kubernetes", {"10.96.0.0/16"}));
  auto info = default_cluster_info();
  info.status = detect(info, known.sources, kNow);
  CHECK(condition(info.status, kWatching) == "True Watching");
  SUBCASE("nodes and the API server") {
    known.denied = {{Kind::Node, "forbidden"}, {Kind::Pod, "no rights"}};
    known.sources.nodes = nullptr;
    known.sources.api_server = nullptr;
    const auto status = detect(info, known.sources, kNow);
    CHECK(status.node_ip == info.status.node_ip);
    CHECK(status.pod_cidr == info.status.pod_cidr);
    CHECK(status.pod_cidr_mode == info.status.pod_cidr_mode);
    CHECK(status.api_server == info.status.api_server);
    CHECK(condition(status, kWatching) == "False Refused");
    CHECK(message(status, kWatching).ends_with("Node: forbidden; Pod: no rights"));
  }
  SUBCASE("pools, while nodes come and go") {
    known.sources.can_read.erase(Kind::IpPool);
    known.ranges.clear();
    known.nodes.erase("node1");
    known.node("node2", {"10.6.1.2"}, {"10.244.2.0/24"});
    const auto status = detect(info, known.sources, kNow);
    CHECK(status.pod_cidr.size() == 2); // Flannel's configuration can be read, and is gone
    CHECK(status.pod_cidr.contains("calico/pool"));
    CHECK(status.pod_cidr.contains("node2"));
    CHECK(status.pod_cidr_mode == "calico+k8s");
    CHECK(message(status, kPodCidr)
              .ends_with("; kept as before, since it can't be read: Calico's IPPools"));
  }
  SUBCASE("what was never there does not count as kept") {
    known.sources.can_read.erase(Kind::CiliumNode);
    const auto status = detect(info, known.sources, kNow);
    CHECK(status.pod_cidr == info.status.pod_cidr);
    CHECK(status.pod_cidr_mode == "calico+flannel+k8s");
    // A node that goes takes its ranges along.
    info.status = status;
    known.nodes.clear();
    CHECK_FALSE(detect(info, known.sources, kNow).pod_cidr.contains("node1"));
  }
  SUBCASE("service ranges, to which flags may add") {
    known.sources.can_read.erase(Kind::ServiceCidr);
    known.ranges.clear();
    known.control_plane("kube-apiserver-n1", {"10.97.0.0/16"});
    const auto status = detect(info, known.sources, kNow);
    CHECK(status.cluster_ip.ipv4 == Texts{"10.96.0.0/16", "10.97.0.0/16"});
    CHECK(condition(status, kServiceCidr) == "True Flags");
  }
}

TEST_CASE("cluster info: an object that could not be decoded keeps its entry, and is named") {
  KnownCluster known;
  known.put(range_object(RangeKind::IpPool, "pool", {"192.168.0.0/16"}));
  known.put(range_object(RangeKind::ServiceCidr, "kubernetes", {"10.96.0.0/16"}));
  auto info = default_cluster_info();
  info.status = detect(info, known.sources, kNow);
  known.nodes.clear();
  known.ranges.erase({Kind::IpPool, "", "pool"});
  known.unreadable = {{Kind::Node, "", "node1"}, {Kind::IpPool, "", "pool"}, {Kind::Pod, "a", "b"}};
  const auto status = detect(info, known.sources, kNow);
  CHECK(status.node_ip == info.status.node_ip);
  CHECK(status.pod_cidr == info.status.pod_cidr);
  CHECK(condition(status, kDetected) == "False Invalid");
  CHECK(message(status, kDetected) ==
        "Node node1 could not be read, what was known of it stays: see the controller's log; "
        "IPPool pool could not be read, what was known of it stays: see the controller's log");
}

TEST_CASE("cluster info: services from the best source, both families of it") {
  KnownCluster known;
  auto info = default_cluster_info();
  const auto found = [&] { return detect(info, known.sources, kNow); };

  // Nothing yet: the API server is asked, which is no failure.
  CHECK(condition(found(), kServiceCidr) == "Unknown Asking");
  CHECK(condition(found(), kDetected) == "True Detected");

  ServiceRangesTold told{{}, "not allowed"};
  known.sources.told = &told;
  CHECK(condition(found(), kServiceCidr) == "False NotFound");
  CHECK(message(found(), kServiceCidr)
            .find("; not allowed; or add the service ranges to "
                  "spec.extraCidr") != std::string::npos);
  CHECK(condition(found(), kDetected) == "False NotAllFound");
  // And nothing that stood there goes for that.
  info.status.cluster_ip.ipv4 = {"10.90.0.0/16"};
  CHECK(found().cluster_ip.ipv4 == Texts{"10.90.0.0/16"});
  CHECK(message(found(), kServiceCidr).find("; what was found before stays; or add") !=
        std::string::npos);

  told = {{cidr("10.91.0.0/16"), cidr("fd91::/112")}, ""};
  CHECK(found().cluster_ip == api::CidrSource{{"10.91.0.0/16"}, {"fd91::/112"}});
  CHECK(condition(found(), kServiceCidr) == "True Told");
  told = {{cidr("10.91.0.0/16")}, "timeout"};
  CHECK(condition(found(), kServiceCidr) == "False Incomplete");

  known.control_plane("kube-apiserver-n2", {"10.93.0.0/16"});
  known.control_plane("kube-apiserver-n1", {"10.92.0.0/16", "fd92::/112"});
  known.control_plane("kube-controller-manager-n1", {"10.92.0.0/16", "fd92::/112"});
  CHECK(found().cluster_ip == api::CidrSource{{"10.92.0.0/16", "10.93.0.0/16"}, {"fd92::/112"}});
  CHECK(condition(found(), kServiceCidr) == "True Flags");
  known.control_plane("kube-apiserver-n3", {"$(SERVICES)"});
  CHECK(condition(found(), kServiceCidr) == "False Incomplete");
  CHECK(message(found(), kServiceCidr) ==
        "Pod kube-system/kube-apiserver-n3: --service-cluster-ip-range: \"$(SERVICES)\" is not a "
        "CIDR");
  CHECK(found().cluster_ip.ipv4.size() == 2);
  known.service_flags.erase("kube-apiserver-n3");

  known.put(range_object(RangeKind::ServiceCidr, "kubernetes", {"10.94.0.0/16", "fd94::/112"}));
  known.put(range_object(RangeKind::ServiceCidr, "more", {"10.95.0.0/24"}));
  CHECK(found().cluster_ip == api::CidrSource{{"10.94.0.0/16", "10.95.0.0/24"}, {"fd94::/112"}});
  CHECK(condition(found(), kServiceCidr) == "True ServiceCIDR");
}

TEST_CASE("cluster info: many nodes are merged, exactly, and not back and forth") {
  KnownCluster known;
  known.nodes.clear();
  const auto add_node = [&](int i) {
    known.node(fmt::format("node-{:05}", i),
               {fmt::format("10.6.{}.{}", i / 256, i % 256),
                fmt::format("2001:db8:{:x}:{:x}::1", i * 7919 % 65536, i)},
               {fmt::format("10.{}.{}.0/24", 100 + i / 256, i % 256),
                fmt::format("fd44:0:0:{:x}::/64", i)});
  };
  for (int i = 0; i < static_cast<int>(kMostNodesNamed); ++i) add_node(i);
  known.put(range_object(RangeKind::IpPool, "pool", {"192.168.0.0/16"}));
  auto info = default_cluster_info();
  info.status = detect(info, known.sources, kNow);
  CHECK(info.status.node_ip.size() == kMostNodesNamed);
  const std::size_t named = api::encode(info).size();

  add_node(250);
  info.status = detect(info, known.sources, kNow);
  CHECK(info.status.node_ip.size() == 1);
  CHECK(info.status.pod_cidr.size() == 2); // pools keep their names
  CHECK(info.status.pod_cidr.contains("calico/pool"));
  const auto inside = inside_cluster(info);
  for (const auto& [name, node] : known.nodes) {
    for (const Address& a : node.internal_ips) REQUIRE(inside.contains(a));
    for (const Prefix& p : node.pod_cidrs) REQUIRE(inside.contains(p.last()));
  }
  CHECK_FALSE(inside.contains(ip("10.6.0.251")));
  CHECK_FALSE(inside.contains(ip("10.100.251.0")));
  CHECK(api::encode(info).size() < named / 2);

  // The same form until there are clearly fewer.
  known.nodes.erase("node-00000");
  known.nodes.erase("node-00001");
  CHECK(detect(info, known.sources, kNow).node_ip.contains(kAllNodes));
  CHECK_FALSE(inside_cluster([&] {
                auto less = info;
                less.status = detect(info, known.sources, kNow);
                return less;
              }())
                  .contains(ip("10.6.0.1")));
  while (known.nodes.size() > kNamedAgain) known.nodes.erase(known.nodes.begin());
  info.status = detect(info, known.sources, kNow);
  CHECK(info.status.node_ip.size() == kNamedAgain);

  known.nodes.clear();
  for (int i = 0; i < 5000; ++i) add_node(i);
  info.status = detect(info, known.sources, kNow);
  const std::size_t size = api::encode(info).size();
  CHECK(size < 300'000); // etcd takes 1.5 MB
}
