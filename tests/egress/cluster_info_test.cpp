// SPDX-License-Identifier: Apache-2.0
#include "egress/cluster_info.hpp"

#include <doctest/doctest.h>

#include "egress/cluster.hpp"

using namespace egw;
using namespace egw::egress;

namespace {

const WallTime kNow = parse_rfc3339("2026-01-01T00:00:00Z");

std::map<std::string, api::Node> nodes() {
  std::map<std::string, api::Node> out;
  api::Node& n = out["node1"];
  n.meta.name = "node1";
  n.internal_ips = {Address::parse("10.6.1.1").value(), Address::parse("fd06::1").value()};
  n.pod_cidrs = {Prefix::parse("10.244.1.0/24").value(), Prefix::parse("fd44:1::/64").value()};
  return out;
}

std::map<api::NamespacedName, api::EndpointSlice> server() {
  std::map<api::NamespacedName, api::EndpointSlice> out;
  out[{"default", "kubernetes"}].addresses = {Address::parse("192.0.2.9").value()};
  return out;
}

const auto all_nodes = nodes();
const auto all_servers = server();
const std::map<api::NamespacedName, api::EndpointSlice> no_server;
const ClusterSources all{&all_nodes, &all_servers};

bool holds(const api::EgressClusterInfoStatus& status, const char* address) {
  api::EgressClusterInfo info;
  info.status = status;
  return inside_cluster(info).contains(Address::parse(address).value());
}

} // namespace

TEST_CASE("cluster info: nodes, pods, API server and what people add") {
  auto info = default_cluster_info();
  CHECK(info.meta.name == "default");
  info.spec.extra_cidr = {"10.9.0.0/16", "10.8.0.7"};
  const auto status = detect(info, all, kNow);
  CHECK(status.node_ip.at("node1") == api::CidrSource{{"10.6.1.1"}, {"fd06::1"}});
  CHECK(status.pod_cidr.at("node1") == api::CidrSource{{"10.244.1.0/24"}, {"fd44:1::/64"}});
  CHECK(status.api_server.ipv4 == std::vector<std::string>{"192.0.2.9"});
  CHECK(status.extra_cidr.ipv4 == std::vector<std::string>{"10.9.0.0/16", "10.8.0.7"});
  CHECK(status.pod_cidr_mode == "k8s");
  for (const char* a :
       {"10.6.1.1", "10.244.1.77", "fd44:1::5", "192.0.2.9", "10.9.3.4", "10.8.0.7"}) {
    CHECK(holds(status, a));
  }
  CHECK_FALSE(holds(status, "10.8.0.8"));
  CHECK(api::find_condition(status.conditions, kDetected)->status == "True");
  // The same again is the same.
  info.status = status;
  CHECK(detect(info, all, kNow + std::chrono::hours(1)) == status);
}

TEST_CASE("cluster info: what is switched off leaves the status") {
  auto info = default_cluster_info();
  info.status = detect(info, all, kNow);
  info.spec.node_ip = false;
  info.spec.pod_cidr_mode = api::PodCidrMode::Off;
  info.status.id_blocks = {{1, "a", "ua", {}}};
  const auto status = detect(info, all, kNow);
  CHECK(status.node_ip.empty());
  CHECK(status.pod_cidr.empty());
  CHECK(status.pod_cidr_mode.empty());
  CHECK(status.api_server.ipv4.size() == 1);
  CHECK(status.id_blocks == info.status.id_blocks);
  // No EIP and no tunnel address may be one of them nevertheless.
  CHECK(cluster_addresses(status, nodes()).contains(Address::parse("10.6.1.1").value()));
  CHECK(cluster_addresses(status, nodes()).contains(Address::parse("10.244.1.9").value()));
}

TEST_CASE("cluster info: what is wrong or not implemented is said") {
  auto info = default_cluster_info();
  info.spec.extra_cidr = {"10.9.0.0/16", "nonsense"};
  auto status = detect(info, {&all_nodes, &no_server}, kNow);
  CHECK(api::find_condition(status.conditions, kDetected)->status == "False");
  CHECK(api::find_condition(status.conditions, kDetected)->message.find("nonsense") !=
        std::string::npos);
  CHECK(status.extra_cidr.ipv4.size() == 1);
  info.spec.extra_cidr.clear();
  info.spec.pod_cidr_mode = api::PodCidrMode::Calico;
  status = detect(info, {&all_nodes, &no_server}, kNow);
  CHECK(api::find_condition(status.conditions, kDetected)->message.find("calico") !=
        std::string::npos);
  CHECK(status.pod_cidr.empty());
  info.spec.pod_cidr_mode = api::PodCidrMode::Auto;
  auto bare = nodes();
  bare.at("node1").pod_cidrs.clear();
  status = detect(info, {&bare, &no_server}, kNow);
  CHECK(api::find_condition(status.conditions, kDetected)->message.find("podCIDRs") !=
        std::string::npos);
}

TEST_CASE("cluster info: what can't be read stays as it was, and a condition says so") {
  auto info = default_cluster_info();
  info.status = detect(info, all, kNow);
  CHECK(api::find_condition(info.status.conditions, kWatching)->status == "True");
  const std::map<Kind, std::string> denied = {{Kind::Node, "forbidden"}, {Kind::Pod, "no rights"}};
  const auto status = detect(info, {nullptr, nullptr, &denied}, kNow);
  CHECK(status.node_ip == info.status.node_ip);
  CHECK(status.pod_cidr == info.status.pod_cidr);
  CHECK(status.api_server == info.status.api_server);
  const auto* watching = api::find_condition(status.conditions, kWatching);
  CHECK(watching->status == "False");
  CHECK(watching->reason == "Forbidden");
  CHECK(watching->message.ends_with("Node: forbidden; Pod: no rights"));
}
