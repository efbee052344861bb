// SPDX-License-Identifier: Apache-2.0
#include "egress/cluster_sources.hpp"

#include <doctest/doctest.h>

#include "egress/known_cluster.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::test;
using api::RangeKind;

TEST_CASE("sources: a disabled IPPool counts while pods have addresses there") {
  KnownCluster known;
  known.put(range_object(RangeKind::IpPool, "on", {"192.168.0.0/16"}));
  known.put(range_object(RangeKind::IpPool, "off", {"172.16.0.0/16"})).disabled = true;
  CHECK(calico_ranges(known.sources).by_origin.size() == 1);
  known.used_pools = {"off"};
  const auto found = calico_ranges(known.sources);
  CHECK(found.by_origin.at("calico/on") == std::vector{cidr("192.168.0.0/16")});
  CHECK(found.by_origin.at("calico/off") == std::vector{cidr("172.16.0.0/16")});
  CHECK(found.readable);
  known.sources.can_read.erase(Kind::IpPool);
  CHECK_FALSE(calico_ranges(known.sources).readable);
}

TEST_CASE("sources: Cilium's ranges of nodes come before the pool that they are taken from") {
  KnownCluster known;
  known.put(
      range_object(RangeKind::CiliumConfig, api::kCiliumConfigName, {"10.0.0.0/8"}, "kube-system"));
  CHECK(cilium_ranges(known.sources).by_origin.at("cilium/kube-system") ==
        std::vector{cidr("10.0.0.0/8")});
  known.nodes.at("node1").cilium_cidrs = {"10.0.1.0/24", "fd00:1::/64"};
  auto found = cilium_ranges(known.sources);
  CHECK(found.by_origin.size() == 1);
  CHECK(found.by_origin.at("node1") == std::vector{cidr("10.0.1.0/24"), cidr("fd00:1::/64")});
  // Told twice, and of a node that there is no Node for.
  known.put(range_object(RangeKind::CiliumNode, "node1", {"10.0.1.0/24"}));
  known.put(range_object(RangeKind::CiliumNode, "other", {"10.0.2.0/24"}));
  found = cilium_ranges(known.sources);
  CHECK(found.by_origin.at("node1").size() == 2);
  CHECK(found.by_origin.at("other") == std::vector{cidr("10.0.2.0/24")});
  CHECK(found.problems.empty());

  known.nodes.at("node1").cilium_cidrs = {"10.0.1.0-24"};
  known.put(range_object(RangeKind::CiliumNode, "other", {"::/0"}));
  found = cilium_ranges(known.sources);
  CHECK(found.problems ==
        std::vector<std::string>{
            "CiliumNode other: spec.ipam: ::/0 is no range of a cluster: it is shorter than /8",
            "Node node1: annotations of Cilium: \"10.0.1.0-24\" is not a CIDR"});
  known.sources.can_read.erase(Kind::CiliumNode);
  CHECK_FALSE(cilium_ranges(known.sources).readable);
}

TEST_CASE("sources: a ConfigMap of the right name elsewhere says nothing") {
  KnownCluster known;
  known.put(range_object(RangeKind::FlannelConfig, api::kFlannelConfigName, {"8.0.0.0/8"}, "team"));
  known.put(range_object(RangeKind::CiliumConfig, api::kCiliumConfigName, {"8.0.0.0/8"}, "team"));
  CHECK(flannel_ranges(known.sources).empty());
  CHECK(cilium_ranges(known.sources).empty());
  for (const char* ns : {"kube-flannel", "kube-system"}) {
    known.put(
        range_object(RangeKind::FlannelConfig, api::kFlannelConfigName, {"10.244.0.0/16"}, ns));
  }
  CHECK(flannel_ranges(known.sources).by_origin.size() == 2);
  known.put(range_object(RangeKind::FlannelConfig, api::kFlannelConfigName, {}, "kube-system"))
      .problem = "data[\"net-conf.json\"]: not JSON";
  CHECK(flannel_ranges(known.sources).problems ==
        std::vector<std::string>{"ConfigMap kube-system/kube-flannel-cfg: "
                                 "data[\"net-conf.json\"]: not JSON"});
}

TEST_CASE("sources: the API server is asked only where nothing better is there") {
  KnownCluster known;
  CHECK(service_ranges(known.sources).ask);
  known.control_plane("kube-apiserver-n1", {"10.96.0.0/16"});
  CHECK_FALSE(service_ranges(known.sources).ask);
  known.service_flags.clear();
  known.put(range_object(RangeKind::ServiceCidr, "kubernetes", {"10.96.0.0/16"}));
  CHECK_FALSE(service_ranges(known.sources).ask);
  known.ranges.clear();
  known.sources.can_read.erase(Kind::ServiceCidr); // also when that can't be read
  CHECK(service_ranges(known.sources).ask);
}

TEST_CASE("sources: of a world, only what was listed") {
  World world;
  auto sources = sources_of(world);
  CHECK(sources.nodes == nullptr);
  CHECK(sources.service_flags == nullptr);
  CHECK(sources.can_read.empty());
  world.replace({Kind::IpPool, {range_object(RangeKind::IpPool, "p", {"10.0.0.0/16"})}, {}, "1"});
  world.replace({Kind::Pod, {}, {}, "1"});
  sources = sources_of(world);
  CHECK(sources.can_read == std::set{Kind::IpPool});
  CHECK(calico_ranges(sources).by_origin.contains("calico/p"));
  CHECK(sources.service_flags != nullptr);
  // A kind that vanished has an empty list, and its objects are gone.
  world.replace({Kind::IpPool, {}, {}, ""});
  CHECK(calico_ranges(sources_of(world)).empty());
}
