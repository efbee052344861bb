// SPDX-License-Identifier: Apache-2.0
#include "api/validate.hpp"

#include <doctest/doctest.h>

using namespace egw;
using namespace egw::api;

namespace {

Address ip(const char* text) {
  return Address::parse(text).value();
}

EgressGateway good_gateway() {
  EgressGateway g;
  g.meta.name = "eg1";
  g.spec.ipv4_pool = {"10.6.1.55", "10.6.1.60-10.6.1.65", "10.6.1.72/29"};
  g.spec.ipv6_pool = {"fd00::55", "fd00:1::/64"};
  g.spec.node_selector.match_labels.set("egress", "true");
  return g;
}

EgressPolicy good_policy(PolicyKind kind = PolicyKind::EgressPolicy) {
  EgressPolicy p;
  p.kind = kind;
  p.meta.name = "app";
  p.spec.gateway = "eg1";
  p.spec.pod_selector = LabelSelector{Labels{{"app", "web"}}, {}};
  return p;
}

template <class T>
std::string only_error(const T& object) {
  const auto errors = validate(object);
  REQUIRE(errors.size() == 1);
  return errors.front().message;
}

} // namespace

TEST_CASE("pools are sets: subnets without their ends, a /64 at no cost, the lowest as default") {
  const auto pools = parse_pools(good_gateway().spec);
  REQUIRE(pools.ok());
  CHECK(pools->addresses.size(Family::V4) == 1 + 6 + 6);
  CHECK_FALSE(pools->addresses.contains(ip("10.6.1.72")));
  CHECK(pools->addresses.contains(ip("10.6.1.73")));
  CHECK(pools->addresses.contains(ip("10.6.1.78")));
  CHECK_FALSE(pools->addresses.contains(ip("10.6.1.79")));
  CHECK(pools->addresses.contains(ip("fd00:1::")));
  CHECK(pools->default_v4 == ip("10.6.1.55"));
  CHECK(pools->default_v6 == ip("fd00::55"));

  EgressGatewaySpec loose; // as the project that coined the API writes it in its examples
  loose.ipv4_pool = {"10.6.1.70/28"};
  loose.ipv6_pool = {""};
  const auto whole = parse_pools(loose);
  REQUIRE(whole.ok());
  CHECK(whole->addresses.size(Family::V4) == 14);
  CHECK(whole->addresses.contains(ip("10.6.1.65")));
  CHECK(pool_warnings(loose).size() == 1);
  CHECK(pool_warnings(good_gateway().spec).empty());

  EgressGatewaySpec small;
  small.ipv4_pool = {"10.0.0.0/31", "10.0.1.7/32", "10.0.2.0/30"};
  small.ipv4_default_eip = "10.0.2.1";
  const auto few = parse_pools(small);
  REQUIRE(few.ok());
  CHECK(few->addresses.size(Family::V4) == 2 + 1 + 2);
  CHECK(few->default_v4 == ip("10.0.2.1"));
  CHECK_FALSE(few->default_v6.has_value());
  CHECK(parse_pools(EgressGatewaySpec{})->addresses.empty());
}

TEST_CASE("what a pool cannot hold") {
  const auto pool_error = [](std::vector<std::string> v4, std::vector<std::string> v6,
                             std::string def = "") {
    EgressGatewaySpec spec;
    spec.ipv4_pool = std::move(v4);
    spec.ipv6_pool = std::move(v6);
    spec.ipv4_default_eip = std::move(def);
    const auto pools = parse_pools(spec);
    return pools.ok() ? "" : pools.error().message;
  };
  CHECK(pool_error({"10.0.0.1", "10.0.0.300"}, {})
            .starts_with("spec.ippools.ipv4[1]: \"10.0.0.300\" is not an address, a range"));
  CHECK(pool_error({"10.0.0.9-10.0.0.1"}, {})
            .starts_with("spec.ippools.ipv4[0]: \"10.0.0.9-10.0.0.1\" is not"));
  CHECK(pool_error({"fd00::1"}, {}) ==
        "spec.ippools.ipv4[0]: \"fd00::1\" is not IPv4: put it into spec.ippools.ipv6");
  CHECK(pool_error({}, {"10.0.0.1"}) ==
        "spec.ippools.ipv6[0]: \"10.0.0.1\" is not IPv6: put it into spec.ippools.ipv4");
  for (const char* bad :
       {"127.0.0.1", "0.0.0.0/0", "224.0.0.5", "169.254.1.0/24", "255.255.255.255"}) {
    CHECK(pool_error({bad}, {}).find("leave them out") != std::string::npos);
  }
  for (const char* bad : {"::1", "fe80::1", "ff02::1", "::/0"}) {
    CHECK(pool_error({}, {bad}).find("leave them out") != std::string::npos);
  }
  CHECK(pool_error({"10.0.0.1"}, {}, "10.0.0.2") ==
        "spec.ippools.ipv4DefaultEIP: 10.0.0.2 is not in the pool: add it to spec.ippools.ipv4 or "
        "choose an address from there");
  CHECK(pool_error({"10.0.0.0/29"}, {}, "10.0.0.0").find("is not in the pool") !=
        std::string::npos);
  CHECK(pool_error({"10.0.0.1"}, {}, "fd00::1") ==
        "spec.ippools.ipv4DefaultEIP: \"fd00::1\" is not an IPv4 address");
}

TEST_CASE("a gateway: everything that is wrong, in order") {
  EgressGateway g = good_gateway();
  CHECK(validate(g).empty());

  g.spec.node_selector = {};
  CHECK(only_error(g).starts_with("spec.nodeSelector.selector: empty"));

  g = good_gateway();
  g.spec.placement = PlacementPolicy::LimitSelection;
  CHECK(only_error(g).starts_with("spec.nodeSelector.limit: missing"));
  g.spec.limit = 5;
  CHECK(validate(g).empty());

  g = good_gateway();
  g.spec.scope_namespaces = std::vector<std::string>{};
  CHECK(only_error(g).starts_with("spec.scope.namespaces: an empty list admits nobody"));

  g = good_gateway();
  g.spec.node_selector.match_expressions = {{"a b", SelectorOperator::In, {}},
                                            {"zone", SelectorOperator::Exists, {"x"}}};
  g.spec.ipv4_pool.emplace_back("x");
  const auto errors = validate(g);
  REQUIRE(errors.size() == 4);
  CHECK(errors[0].message.starts_with("spec.ippools.ipv4[3]: \"x\""));
  CHECK(
      errors[1].message.starts_with("spec.nodeSelector.selector.matchExpressions[0].key: \"a b\""));
  CHECK(errors[2].message.starts_with(
      "spec.nodeSelector.selector.matchExpressions[0].values: empty"));
  CHECK(errors[3].message.starts_with(
      "spec.nodeSelector.selector.matchExpressions[1].values: \"x\""));
}

TEST_CASE("a policy: explicit addresses") {
  EgressPolicy p = good_policy();
  CHECK(validate(p).empty());
  p.spec.eip_ipv4 = "10.6.1.55";
  p.spec.eip_ipv6 = "fd00::55";
  CHECK(validate(p).empty());
  p.spec.eip_ipv4 = "fd00::1";
  CHECK(only_error(p) == "spec.egressIP.ipv4: \"fd00::1\" is not an IPv4 address");
  p.spec.eip_ipv4 = "";
  p.spec.use_node_ip = true;
  CHECK(
      only_error(p) ==
      "spec.egressIP.ipv6: fd00::55 is given together with useNodeIP: true: remove one of the two");
}

TEST_CASE("a policy: whom it applies to") {
  EgressPolicy p = good_policy();
  p.spec.pod_subnet = {"172.29.16.0/24"};
  CHECK(only_error(p).find("together with podSelector") != std::string::npos);
  p.spec.pod_selector.reset();
  CHECK(validate(p).empty());
  p.spec.pod_subnet = {"172.29.16.0/24", "172.29.16.0/64"};
  CHECK(only_error(p).starts_with("spec.appliedTo.podSubnet[1]: \"172.29.16.0/64\" is not a CIDR"));
  p.spec.pod_subnet.clear();
  CHECK(only_error(p) == "spec.appliedTo: selects nothing: give podSelector or podSubnet");
  p.spec.namespace_selector = LabelSelector{};
  CHECK(validate(p).size() == 2); // not its field, and still nothing selected

  EgressPolicy cluster = p;
  cluster.kind = PolicyKind::EgressClusterPolicy;
  CHECK(validate(cluster).empty()); // namespaces alone: all their pods
  cluster.spec.pod_selector = LabelSelector{};
  CHECK(validate(cluster).empty());
}

TEST_CASE("a policy: destinations and priority") {
  EgressPolicy p = good_policy();
  p.spec.dest_subnet = {"10.6.1.92/32", "10.6.1.93", "fd00::/8", "0.0.0.0/0"};
  p.spec.excluded_subnet = {"10.0.0.0/8"};
  CHECK(validate(p).empty());
  p.spec.dest_subnet = {"example.org"};
  CHECK(
      only_error(p).starts_with("spec.destSubnet[0]: \"example.org\" is not a CIDR or an address"));
  p = good_policy();
  p.spec.excluded_subnet = {"::ffff:10.0.0.1"};
  CHECK(only_error(p).starts_with("spec.excludedSubnet[0]:"));

  for (const int wrong : {-1, 0, 65537}) {
    p = good_policy();
    p.spec.priority = wrong;
    CHECK(only_error(p).find("is not within 1..65536") != std::string::npos);
  }
  p = good_policy();
  p.spec.priority = 99;
  CHECK(only_error(p) == "spec.priority: 99 is for an EgressClusterPolicy: choose 100..65536");
  p.kind = PolicyKind::EgressClusterPolicy;
  CHECK(validate(p).empty());
}

TEST_CASE("cluster info") {
  EgressClusterInfo info;
  info.meta.name = "default";
  info.spec.extra_cidr = {"10.96.0.0/12", "10.0.0.1"};
  CHECK(validate(info).empty());
  info.spec.extra_cidr.emplace_back("x");
  info.meta.name = "other";
  const auto errors = validate(info);
  REQUIRE(errors.size() == 2);
  CHECK(errors[0].message.starts_with("metadata.name: \"other\""));
  CHECK(errors[1].message.starts_with("spec.extraCidr[2]: \"x\""));
}

TEST_CASE("prefixes with the field in the message") {
  CHECK(parse_prefixes({"10.0.0.0/8", "fd00::1"}, "spec.destSubnet")->size() == 2);
  CHECK(parse_prefixes({"10.0.0.0/8", "?"}, "spec.destSubnet")
            .error()
            .message.starts_with("spec.destSubnet[1]: \"?\""));
}
