// SPDX-License-Identifier: Apache-2.0
#include "egress/tunnel.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <set>

#include "egress/names.hpp"
#include "egress/policy.hpp"

using namespace egw;
using namespace egw::egress;

namespace {

const WallTime kNow = parse_rfc3339("2026-01-01T00:00:00Z");

api::Node node(const std::string& name, bool ready = true) {
  api::Node n;
  n.meta.name = name;
  n.meta.uid = "uid-" + name;
  n.internal_ips = {Address::parse("10.0.0.1").value()};
  n.ready = ready;
  return n;
}

api::EgressNode said(api::EgressNode n, const std::string& datapath, const std::string& parent) {
  n.meta.uid = "x";
  n.status.parent = {"eth0", parent, ""};
  api::set_condition(n.status.conditions, {kDatapathReady, datapath, "Test", "", 1, {}}, kNow);
  return n;
}

std::string reason(const api::EgressNode& n, const char* type) {
  const auto* c = api::find_condition(n.status.conditions, type);
  return c == nullptr ? "" : c->status + " " + c->reason;
}

} // namespace

TEST_CASE("tunnel: addresses come from the name, and none is given twice") {
  TunnelBook book;
  std::set<std::string> seen;
  const TunnelSubnets subnets;
  for (int i = 0; i < 500; ++i) {
    const auto n = node(fmt::format("node{}", i));
    const auto wanted = plan_egress_node({&n, nullptr, false, subnets, {}, kNow}, book);
    book.claim(wanted);
    CHECK(seen.insert(wanted.status.tunnel_ipv4).second);
    CHECK(seen.insert(wanted.status.tunnel_ipv6).second);
    CHECK(wanted.status.tunnel_mac == tunnel_mac(n.meta.name).to_string());
  }
  CHECK_FALSE(seen.contains("172.31.0.0"));
  CHECK_FALSE(seen.contains("172.31.255.255"));
  CHECK_FALSE(seen.contains("fd11::"));
  // A node that comes back finds its own address again.
  const auto before = TunnelBook().pick(subnets.v4, "node7");
  CHECK(before == TunnelBook().pick(subnets.v4, "node7"));
}

TEST_CASE("tunnel: a small subnet is filled to the last address, then says so") {
  TunnelBook book;
  TunnelSubnets subnets{Prefix::parse("192.168.0.0/29").value(),
                        Prefix::parse("fd11::/125").value()};
  CHECK(validate(subnets).ok());
  for (int i = 0; i < 6; ++i) {
    const auto n = node(fmt::format("node{}", i));
    const auto wanted = plan_egress_node({&n, nullptr, false, subnets, {}, kNow}, book);
    CHECK_FALSE(wanted.status.tunnel_ipv4.empty());
    book.claim(wanted);
  }
  const auto n = node("late");
  const auto wanted = plan_egress_node({&n, nullptr, false, subnets, {}, kNow}, book);
  CHECK(wanted.status.tunnel_ipv4.empty());
  CHECK(reason(wanted, kAddressesAllocated) == "False SubnetFull");
  CHECK(wanted.status.phase == api::NodePhase::Pending);
  book.remove("node3");
  CHECK_FALSE(
      plan_egress_node({&n, nullptr, false, subnets, {}, kNow}, book).status.tunnel_ipv4.empty());
  CHECK_FALSE(validate(TunnelSubnets{Prefix::parse("fd11::/112").value(), subnets.v6}).ok());
  CHECK_FALSE(validate(TunnelSubnets{Prefix::parse("10.0.0.0/30").value(), subnets.v6}).ok());
}

TEST_CASE("tunnel: of two that claim one address the older has it") {
  TunnelBook book;
  api::EgressNode a, b;
  a.meta.name = "a";
  a.meta.uid = "1";
  a.meta.created = kNow;
  a.status.tunnel_ipv4 = "172.31.0.9";
  b = a;
  b.meta.name = "b";
  b.meta.created = kNow - std::chrono::hours(1);
  book.claim(a);
  book.claim(b);
  CHECK(*book.owner(Address::parse("172.31.0.9").value()) == "b");
  CHECK(book.claimants(b) == std::set<std::string>{"a"});
  const auto n = node("a");
  CHECK(plan_egress_node({&n, &a, false, {}, {}, kNow}, book).status.tunnel_ipv4 != "172.31.0.9");
  book.remove("b");
  CHECK(*book.owner(Address::parse("172.31.0.9").value()) == "a");
  CHECK(plan_egress_node({&n, &a, false, {}, {}, kNow}, book).status.tunnel_ipv4 == "172.31.0.9");
  // An address outside the subnet, from an earlier configuration, is replaced.
  const TunnelSubnets other{Prefix::parse("192.168.0.0/24").value(), TunnelSubnets().v6};
  CHECK(plan_egress_node({&n, &a, false, other, {}, kNow}, book)
            .status.tunnel_ipv4.starts_with("192.168.0."));
}

TEST_CASE("tunnel: a subnet that overlaps the cluster gives nothing new and takes nothing away") {
  const TunnelSubnets subnets;
  const Range overlap{Address::parse("172.31.5.0").value(), Address::parse("172.31.5.9").value()};
  const auto n = node("a");
  const auto fresh = plan_egress_node({&n, nullptr, false, subnets, overlap, kNow}, TunnelBook());
  CHECK(fresh.status.tunnel_ipv4.empty());
  CHECK_FALSE(fresh.status.tunnel_ipv6.empty());
  CHECK(reason(fresh, kAddressesAllocated) == "False SubnetOverlap");
  auto known = fresh;
  known.meta.uid = "1";
  known.status.tunnel_ipv4 = "172.31.0.9";
  CHECK(plan_egress_node({&n, &known, false, subnets, overlap, kNow}, TunnelBook())
            .status.tunnel_ipv4 == "172.31.0.9");
}

TEST_CASE("tunnel: the phase follows from the Node and from the agent's word") {
  const auto up = node("a"), down = node("a", false);
  TunnelBook book;
  const auto fresh = plan_egress_node({&up, nullptr, false, {}, {}, kNow}, book);
  CHECK(node_phase(&up, nullptr) == api::NodePhase::Pending);
  CHECK(fresh.status.phase == api::NodePhase::Init);
  CHECK(node_phase(nullptr, &fresh) == api::NodePhase::NodeNotReady);
  auto deleting = up;
  deleting.meta.deleting = true;
  const auto ready = said(fresh, "True", "10.0.0.1");
  CHECK(node_phase(&up, &ready) == api::NodePhase::Ready);
  CHECK(node_phase(&down, &ready) == api::NodePhase::NodeNotReady);
  CHECK(node_phase(&deleting, &ready) == api::NodePhase::NodeNotReady);
  const auto failed = said(fresh, "False", "10.0.0.1"),
             unknown = said(fresh, "Unknown", "10.0.0.1");
  CHECK(node_phase(&up, &failed) == api::NodePhase::Failed);
  CHECK(node_phase(&up, &unknown) == api::NodePhase::Init);
}

TEST_CASE("tunnel: an underlay address must be one of the Node's") {
  const auto n = node("a");
  const auto fresh = plan_egress_node({&n, nullptr, false, {}, {}, kNow}, TunnelBook());
  const auto foreign = said(fresh, "True", "10.0.0.2");
  CHECK(foreign_parent(n, foreign) == "10.0.0.2");
  CHECK(node_phase(&n, &foreign) == api::NodePhase::Failed);
  auto six = said(fresh, "True", "10.0.0.1");
  six.status.parent.ipv6 = "fd00::1"; // the kubelet lists one family only
  CHECK_FALSE(foreign_parent(n, six));
  auto both = n;
  both.internal_ips.push_back(Address::parse("fd00::2").value());
  CHECK(foreign_parent(both, six) == "fd00::1");
}

TEST_CASE("tunnel: an underlay address may lie in a subnet that was chosen for it") {
  auto n = node("a");
  TunnelSubnets subnets;
  subnets.underlay = {Prefix::parse("10.0.0.0/30").value()};
  const auto fresh = plan_egress_node({&n, nullptr, false, subnets, {}, kNow}, TunnelBook());
  CHECK_FALSE(fresh.meta.annotations.find(api::kAnnotationTunnelParent).has_value());
  const auto other = said(fresh, "True", "10.0.0.2"), far = said(fresh, "True", "10.0.0.4");
  CHECK(node_phase(&n, &other, subnets) == api::NodePhase::Ready);
  CHECK(node_phase(&n, &far, subnets) == api::NodePhase::Failed);
  n.tunnel_parent = "eth1,10.0.0.4/30"; // of this Node alone, and told to its agent
  CHECK(node_phase(&n, &far, subnets) == api::NodePhase::Ready);
  auto copied = plan_egress_node({&n, &fresh, false, subnets, {}, kNow}, TunnelBook());
  CHECK(*copied.meta.annotations.find(api::kAnnotationTunnelParent) == n.tunnel_parent);
  n.tunnel_parent.clear();
  copied = plan_egress_node({&n, &copied, false, subnets, {}, kNow}, TunnelBook());
  CHECK_FALSE(copied.meta.annotations.find(api::kAnnotationTunnelParent).has_value());
}

TEST_CASE("tunnel: the label, the owner, and nothing that is another's") {
  const auto n = node("a");
  auto current = plan_egress_node({&n, nullptr, true, {}, {}, kNow}, TunnelBook());
  CHECK(*current.meta.labels.find(api::kLabelGatewayNode) == "true");
  CHECK(current.meta.owners.at(0).uid == n.meta.uid);
  current.meta.uid = "1";
  current.meta.labels.set("mine", "yes");
  current.meta.owners.push_back({"v1", "ConfigMap", "other", "u2", false});
  current = said(current, "True", "10.0.0.1");
  current.status.agent.version = "1.2.3";
  const auto same = plan_egress_node({&n, &current, true, {}, {}, kNow}, TunnelBook());
  CHECK(same.meta == current.meta);
  CHECK(same.status.agent == current.status.agent);
  CHECK(same.status.parent == current.status.parent);
  const auto plain = plan_egress_node({&n, &current, false, {}, {}, kNow}, TunnelBook());
  CHECK_FALSE(plain.meta.labels.find(api::kLabelGatewayNode).has_value());
  CHECK(plain.meta.labels.find("mine").has_value());
  auto reborn = n;
  reborn.meta.uid = "new";
  const auto adopted = plan_egress_node({&reborn, &current, true, {}, {}, kNow}, TunnelBook());
  REQUIRE(adopted.meta.owners.size() == 2);
  CHECK(adopted.meta.owners[1].uid == "new");
}

TEST_CASE("tunnel: two nodes with one MAC: the younger gets another, and keeps it") {
  TunnelBook book;
  const TunnelSubnets subnets;
  const auto a = node("a"), b = node("b");
  auto old = plan_egress_node({&a, nullptr, false, subnets, {}, kNow}, book);
  old.meta.uid = "1";
  old.meta.created = kNow;
  old.status.tunnel_mac = tunnel_mac("b").to_string(); // as if the digests were the same
  book.claim(old);
  auto young = plan_egress_node({&b, nullptr, false, subnets, {}, kNow}, book);
  CHECK(young.status.tunnel_mac == tunnel_mac("b", 1).to_string());
  young.meta.uid = "2";
  young.meta.created = kNow + std::chrono::seconds(1);
  book.claim(young);
  CHECK(book.claimants(young).empty());
  // Written by hand: the younger one is looked at again, and repaired.
  auto copied = young;
  copied.status.tunnel_mac = old.status.tunnel_mac;
  book.claim(copied);
  CHECK(book.claimants(old) == std::set<std::string>{"b"});
  CHECK(plan_egress_node({&b, &copied, false, subnets, {}, kNow}, book).status.tunnel_mac ==
        tunnel_mac("b", 1).to_string());
  // The other node goes: what is in use stays.
  book.claim(young);
  book.remove("a");
  CHECK(plan_egress_node({&b, &young, false, subnets, {}, kNow}, book).status.tunnel_mac ==
        young.status.tunnel_mac);
  // Something that is none of its MACs is repaired.
  auto odd = young;
  odd.status.tunnel_mac = "02:00:00:00:00:09";
  book.claim(odd);
  CHECK(plan_egress_node({&b, &odd, false, subnets, {}, kNow}, book).status.tunnel_mac ==
        tunnel_mac("b").to_string());
}
