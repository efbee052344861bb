// SPDX-License-Identifier: Apache-2.0
#include "cmd/agent_claims.hpp"

#include <net/if.h>

#include <variant>

#include "base/queue.hpp"
#include "netns/cluster.hpp"

using namespace egw;
using namespace egw::test;
namespace agent = egw::egress::agent;

TEST_SUITE_BEGIN("netns");

TEST_CASE("what another host claims of this node's EIPs reaches the core, and nothing else") {
  Cluster c;
  Queue<agent::Event> heard;
  const auto next = [&] { // nothing: none came in time
    const auto events = heard.take(now().steady + 5s);
    REQUIRE(events.size() == 1);
    return std::get<agent::Claimed>(events.front());
  };
  const auto announce = [&](const Node& node, const char* address) {
    const Netns::Inside inside(node.ns);
    REQUIRE(node.kernel->announce("eth0", {ip(address)}).ok());
  };
  const auto mac_in = [](const Node& node) {
    const Netns::Inside inside(node.ns);
    return node.kernel->observe().host.links.at("eth0").mac;
  };
  const Netns::Inside inside(c.one.ns);
  cmd::AgentClaims claims([&](agent::Event e) { heard.push(std::move(e)); });
  agent::WatchClaims wanted;
  wanted.links[if_nametoindex("eth0")] = {"eth0", mac_in(c.one), {ip("10.6.1.1"), ip("fd06:1::1")}};
  claims.watch(wanted);
  announce(c.two, "10.6.1.2"); // none of ours
  announce(c.one, "10.6.1.1"); // our own word
  announce(c.two, "10.6.1.1"); // as request and reply: once
  const auto first = next();
  CHECK(first.address == ip("10.6.1.1"));
  CHECK(first.mac == mac_in(c.two));
  CHECK(first.link == "eth0");
  announce(c.two, "fd06:1::1");
  CHECK(next().address == ip("fd06:1::1"));
  claims.watch({});
  announce(c.two, "10.6.1.1");
  wanted.links.begin()->second.addresses = {ip("10.6.1.3")};
  claims.watch(wanted);
  announce(c.two, "10.6.1.3");
  CHECK(next().address == ip("10.6.1.3"));
}

TEST_SUITE_END();
