// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "netns/cluster.hpp"

// Services as kube-proxy makes them in its mode IPVS: their addresses stand on the node itself.
using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;
using namespace egw::test;

namespace {

bool kernel_has_ipvs() {
  (void)succeeds("modprobe -q -a ip_vs ip_vs_rr");
  return access("/proc/thread-self/net/ip_vs", F_OK) == 0;
}

std::string at(const std::string& address, int port) {
  const bool six = address.find(':') != std::string::npos;
  return (six ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

void add_service(const std::string& address, const std::string& backend, int port) {
  run("ip addr add " + address + " dev kube-ipvs0 nodad && ipvsadm -A -u " + at(address, port) +
      " -s rr && ipvsadm -a -u " + at(address, port) + " -r " + at(backend, port) + " -m");
}

// Whom a server at `backend` sees, once the pod got its answer from the Service.
std::string seen_by_backend(const Netns& ns, const char* backend, const Netns& client,
                            const char* pod, const std::string& service, std::uint16_t port) {
  Udp server(ns, {backend, port}), from(client, {pod, 4000});
  from.send({service, port}, "who am I?");
  const std::string seen = server.receive(kLong);
  if (seen.empty()) return "nothing came";
  server.answer(seen);
  return from.receive(kLong) == service && from.said == seen ? seen : "no answer came";
}

} // namespace

TEST_SUITE_BEGIN("netns");

TEST_CASE("Services by IPVS, where the kernel has it") {
  Cluster c;
  {
    const Netns::Inside inside(c.one.ns);
    if (!kernel_has_ipvs()) {
      MESSAGE("this kernel has no IPVS: not tried");
      return;
    }
    run("sysctl -qw net.ipv4.vs.conntrack=1 && ip link add kube-ipvs0 type dummy");
    add_service("10.96.0.9", "203.0.113.9", 53);
    add_service("fd96::9", "2001:db8::9", 53);
    add_service("198.51.100.80", "10.6.0.2", 54); // of type LoadBalancer, outside the cluster's own
    add_service("2001:db8:80::80", "fd06::2", 54);
  }
  const auto outside = [&](const Try& t, const char* service) {
    return seen_by_backend(c.server, t.server, c.pod, t.pod, service, 53);
  };
  const auto inside = [&](const Try& t, const char* backend, const char* service) {
    return seen_by_backend(c.two.ns, backend, c.pod, t.pod, service, 54);
  };
  const auto& [four, six] = kBoth;
  c.watch_pods();

  // Without a policy: as without egw.
  AgentWorld unselected = c.seen_by_one;
  unselected.policies.clear();
  c.two.reconcile(c.seen_by_two);
  c.one.reconcile(unselected);
  CHECK(outside(four, "10.96.0.9") == four.node);
  CHECK(outside(six, "fd96::9") == six.node);

  c.reconcile();
  (void)c.one.forget_stale(four.pod);
  (void)c.one.forget_stale(six.pod);
  for (int again = 0; again < 2; ++again) { // a connection's first packet, and a later one
    CHECK(outside(four, "10.96.0.9") == four.eip);
    CHECK(outside(six, "fd96::9") == six.eip);
    CHECK(inside(four, "10.6.0.2", "198.51.100.80") == four.node);
    CHECK(inside(six, "fd06::2", "2001:db8:80::80") == six.node);
    CHECK(round_trip(c, four, 4001) == four.eip);
    CHECK(round_trip(c, six, 4001) == six.eip);
  }
  {
    const Netns::Inside node(c.one.ns); // the way to the gateway is lost
    run("ip route flush table 7702; ip -6 route flush table 7702");
  }
  CHECK(outside(four, "10.96.0.9") == "nothing came");
  CHECK(outside(six, "fd96::9") == "nothing came");
  CHECK_FALSE(c.pod_seen());
}

TEST_CASE("what a node sends itself with a pod's address is judged, where there may be IPVS") {
  Cluster c;
  c.watch_pods();
  for (const bool ipvs : {false, true}) {
    c.one.with_ipvs = ipvs;
    c.reconcile();
    for (const Try& t : kBoth) {
      CAPTURE(t.pod);
      // No Service is needed for what leaves: a socket of the node does what IPVS does.
      for (int again = 0; again < 2; ++again) {
        Udp server(c.server, {t.server, 53}), node(c.one.ns, {t.pod, 4002}, true);
        node.send({t.server, 53}, "by the node");
        CHECK(server.receive(kLong) == (ipvs ? t.eip : t.node));
      }
      const Netns::Inside inside(c.one.ns);
      CHECK(net::Conntrack().forget(net::Conntrack().find({ip(t.pod)}).value()));
    }
    CHECK(round_trip(c, kBoth[0], 4003) == kBoth[0].eip);
    CHECK(round_trip(c, kBoth[1], 4003) == kBoth[1].eip);
  }
  CHECK_FALSE(c.pod_seen());
}

TEST_SUITE_END();
