// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "egress/worlds.hpp"

namespace egw::egress::testing {

// Few labels, few and overlapping destinations, so that policies collide as often as they can.
class RandomWorld {
 public:
  explicit RandomWorld(std::uint32_t seed) : random_(seed) {}

  int upto(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  bool maybe(int percent) { return upto(100) < percent; }
  template <class T>
  const T& one_of(const std::vector<T>& from) {
    return from[static_cast<std::size_t>(upto(static_cast<int>(from.size())))];
  }

  AgentWorld make() {
    AgentWorld w = world(4);
    w.namespaces["default"].meta.labels = {{"team", "a"}};
    w.namespaces["other"].meta.labels = {{"team", "b"}};
    for (std::int32_t id = 1; id <= 6; ++id) {
      auto e = entry(id);
      if (maybe(15)) e.ipv6.clear();
      place(w, maybe(50) ? "eg1" : "eg2",
            one_of(std::vector<std::string>{"node1", "node1", "node2", "node3", ""}), e);
    }
    // Entries of useNodeIP policies; node3 has no IPv6 address.
    w.nodes["node3"].status.parent.ipv6.clear();
    w.nodes["node1"].status.parent = {}; // an agent does not keep its own
    for (std::int32_t id = 7; id <= 8; ++id) {
      place(w, "eg1", one_of(std::vector<std::string>{"node1", "node3", ""}), {id, "", "", {}});
    }
    for (auto& [name, gateway] : w.gateways) {
      if (maybe(40)) gateway.spec.when_no_gateway = api::WhenNoGateway::Bypass;
      if (maybe(40)) gateway.spec.unserved_family = api::UnservedFamily::Allow;
    }
    for (int n = 1; n <= 12; ++n) {
      add(w, pod(maybe(70) ? "default" : "other", "pod" + std::to_string(n), labels(),
                 {"10.244.1." + std::to_string(n), "fd44:0:0:1::" + std::to_string(n)}));
    }
    for (int n = 0; n < 10; ++n) policies_.push_back(random_policy(n));
    for (const auto& p : policies_) {
      add(w, p);
      if (!maybe(60)) continue;
      std::vector<api::Endpoint> endpoints;
      for (int i = 0; i < 3; ++i) {
        const std::string host = std::to_string(1 + upto(8));
        endpoints.push_back(
            {"default", "r" + host, "node2", {"10.244.2." + host}, {"fd44:0:0:2::" + host}});
      }
      add(w, slice(p, endpoints));
    }
    return w;
  }
  const std::vector<api::EgressPolicy>& policies() const { return policies_; }

 private:
  api::Labels labels() {
    api::Labels l;
    for (const char* key : {"x", "y", "z"}) {
      if (maybe(60)) l.set(key, maybe(50) ? "1" : "2");
    }
    return l;
  }

  api::LabelSelector selector() {
    api::LabelSelector s{labels(), {}};
    for (int i = maybe(30) ? 1 + upto(2) : 0; i > 0; --i) {
      const auto op = static_cast<api::SelectorOperator>(upto(4));
      api::SelectorRequirement r{one_of(std::vector<std::string>{"x", "y", "z"}), op, {}};
      if (op == api::SelectorOperator::In || op == api::SelectorOperator::NotIn) {
        r.values = {maybe(50) ? "1" : "2"};
        if (maybe(20)) r.values = {"1", "2"};
      }
      s.match_expressions.push_back(std::move(r));
    }
    return s;
  }

  api::EgressPolicy random_policy(int n) {
    auto p =
        policy(maybe(70) ? "default" : "other", "p" + std::to_string(n), maybe(50) ? "eg1" : "eg2",
               upto(10)); // 0 and 9: no EIP, or one that is not there
    p.spec.use_node_ip = p.status.eip_id >= 7 ? maybe(90) : maybe(5);
    if (p.spec.use_node_ip) p.status.eip_ipv4 = p.status.eip_ipv6 = "";
    if (maybe(30)) {
      p.kind = api::PolicyKind::EgressClusterPolicy;
      p.meta.namespace_.clear();
      if (maybe(60))
        p.spec.namespace_selector = api::LabelSelector{{{"team", maybe(50) ? "a" : "b"}}, {}};
    }
    p.spec.pod_selector = selector();
    if (maybe(15)) {
      static const std::vector<std::string> subnets = {"10.244.1.0/29", "10.244.1.8/30",
                                                       "fd44:0:0:1::8/125", "10.0.0.0/8"};
      p.spec.pod_selector.reset();
      if (!p.spec.namespace_selector || maybe(50)) p.spec.pod_subnet.push_back(one_of(subnets));
    }
    // Nested, adjacent, and one that begins where another ends.
    static const std::vector<std::string> destinations = {
        "8.8.8.0/24",  "8.8.8.8/32",    "8.8.8.8/31",      "8.8.8.10/31",     "8.8.9.0/24",
        "8.8.0.0/16",  "0.0.0.0/0",     "128.0.0.0/1",     "0.0.0.0/1",       "10.244.0.0/16",
        "10.96.0.0/8", "2001:db8::/32", "2001:db8::8/128", "2001:db8::8/127", "::/0"};
    for (int i = upto(4); i > 0; --i) p.spec.dest_subnet.push_back(one_of(destinations));
    for (int i = upto(3); i > 0; --i) p.spec.excluded_subnet.push_back(one_of(destinations));
    if (maybe(40)) p.spec.priority = 100 + upto(3);
    p.meta.created = WallTime(std::chrono::seconds(upto(3)));
    if (maybe(10)) p.status.conditions.clear();
    if (maybe(20)) p.status.eip_ipv6.clear();
    if (maybe(10) && !p.spec.use_node_ip) p.status.eip_ipv4 = "10.6.1.250"; // not the gateway's
    return p;
  }

  std::mt19937 random_;
  std::vector<api::EgressPolicy> policies_;
};

} // namespace egw::egress::testing
