// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "egress/node_plan.hpp"
#include "egress/packet.hpp"
#include "egress/worlds.hpp"

// Plans of node1, and packets to send through them.
namespace egw::egress::testing {

inline const NodeOptions kOptions;

inline NodePlan plan(const AgentWorld& w, const net::Host& h = host(1)) {
  return plan_node(w, h, {}, kOptions);
}

inline Packet packet(const std::string& source, const std::string& destination) {
  Packet p;
  p.source = ip(source);
  p.destination = ip(destination);
  return p;
}

inline const net::Table& ip4(const NodePlan& p) {
  return p.state.tables.at(net::NftFamily::Ip);
}

inline const net::Table& ip6(const NodePlan& p) {
  return p.state.tables.at(net::NftFamily::Ip6);
}

// node1 has a pod of policy "app"; its EIP 1 is on `holder`.
inline AgentWorld one_pod(const std::string& holder) {
  AgentWorld w = world(3);
  add(w, pod("default", "a", {{"app", "app"}}, {"10.244.1.5", "fd44:0:0:1::5"}));
  add(w, policy("default", "app", "eg", 1));
  place(w, "eg", holder, entry(1));
  return w;
}

// node1 holds EIP 1 and node2 has a pod that uses it.
inline AgentWorld gateway_for_remote() {
  AgentWorld w = world(3);
  const auto p = policy("default", "app", "eg", 1);
  add(w, p);
  place(w, "eg", "node1", entry(1));
  add(w, slice(p, {{"default", "b", "node2", {"10.244.2.5"}, {"fd44:0:0:2::5"}}}));
  return w;
}

} // namespace egw::egress::testing
