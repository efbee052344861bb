// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "egress/affected.hpp"
#include "egress/classifier.hpp"
#include "egress/node_plan.hpp"
#include "egress/worlds.hpp"
#include "net/diff.hpp"
#include "net/kernel.hpp"
#include "netns/netns.hpp"

// A pod, its node, a gateway node and a server outside as network namespaces on one switch; what
// the nodes' kernels hold is planned and applied by the real code, and packets are sent.
namespace egw::test {

using namespace egw::egress;
using namespace egw::egress::testing;
using namespace std::chrono_literals;

struct Endpoint {
  std::string address;
  std::uint16_t port = 0;
};

inline sockaddr_storage sockaddr_of(const Endpoint& e, socklen_t& size) {
  sockaddr_storage s{};
  const Address a = ip(e.address);
  if (a.family == Family::V4) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(s);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(e.port);
    std::memcpy(&v4.sin_addr, a.bytes.data(), 4);
    size = sizeof v4;
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(s);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(e.port);
    std::memcpy(&v6.sin6_addr, a.bytes.data(), 16);
    size = sizeof v6;
  }
  return s;
}
inline std::string text_of(const sockaddr_storage& s) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* raw =
      s.ss_family == AF_INET
          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in&>(s).sin_addr)
          : &reinterpret_cast<const sockaddr_in6&>(s).sin6_addr;
  return inet_ntop(s.ss_family, raw, text.data(), text.size());
}

// A UDP socket of the namespace that it was made in.
class Udp {
 public:
  // `foreign`: the address is none of the namespace's own.
  Udp(const Netns& ns, const Endpoint& local, bool foreign = false) {
    const Netns::Inside inside(ns);
    socklen_t size = 0;
    const auto address = sockaddr_of(local, size);
    fd_ = Fd(check_errno(socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    if (foreign) {
      const int on = 1;
      const bool six = address.ss_family == AF_INET6;
      check_errno(setsockopt(fd_.get(), six ? IPPROTO_IPV6 : IPPROTO_IP,
                             six ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on, sizeof on),
                  "transparent");
    }
    check_errno(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), size), "bind");
  }
  void send(const Endpoint& to, const std::string& what) {
    socklen_t size = 0;
    const auto address = sockaddr_of(to, size);
    send_to(address, size, what);
  }
  // Who sent the next datagram; "" when none comes in time. What it said is in `said`.
  std::string receive(int milliseconds) {
    pollfd p{fd_.get(), POLLIN, 0};
    if (check_errno(poll(&p, 1, milliseconds), "poll") == 0) return "";
    std::vector<char> buffer(65536);
    from_size_ = sizeof from_;
    const auto n = recvfrom(fd_.get(), buffer.data(), buffer.size(), 0,
                            reinterpret_cast<sockaddr*>(&from_), &from_size_);
    said.assign(buffer.data(), static_cast<std::size_t>(check_errno(n, "recvfrom")));
    return text_of(from_);
  }
  [[nodiscard]] std::uint16_t from_port() const { // of what was received last
    return ntohs(from_.ss_family == AF_INET
                     ? reinterpret_cast<const sockaddr_in&>(from_).sin_port
                     : reinterpret_cast<const sockaddr_in6&>(from_).sin6_port);
  }
  void answer(const std::string& what) { send_to(from_, from_size_, what); }
  void drain() {
    while (!receive(0).empty()) {
    }
  }

  std::string said;

 private:
  void send_to(const sockaddr_storage& to, socklen_t size, const std::string& what) {
    // A packet that our own rules drop on its way out is a refusal here; what counts is what
    // arrives.
    (void)sendto(fd_.get(), what.data(), what.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                 size);
  }
  Fd fd_;
  sockaddr_storage from_{};
  socklen_t from_size_ = 0;
};

// A TCP connection from the pod's namespace to the server's.
struct Tcp {
  Fd client, served;
  std::string seen; // the source that the server saw

  Tcp(const Netns& server, const Netns& pod, const Endpoint& from, const Endpoint& to) {
    Fd listener;
    socklen_t size = 0;
    const auto at = sockaddr_of(to, size), local = sockaddr_of(from, size);
    const auto* address = reinterpret_cast<const sockaddr*>(&at);
    const int on = 1;
    {
      const Netns::Inside inside(server);
      listener = Fd(check_errno(socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
      check_errno(setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "reuse");
      check_errno(bind(listener.get(), address, size), "bind");
      check_errno(listen(listener.get(), 1), "listen");
    }
    {
      const Netns::Inside inside(pod);
      client = Fd(check_errno(socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
      check_errno(bind(client.get(), reinterpret_cast<const sockaddr*>(&local), size), "bind");
      limit(client);
      check_errno(connect(client.get(), address, size), "connect");
    }
    sockaddr_storage peer{};
    socklen_t peer_size = sizeof peer;
    served = Fd(check_errno(accept(listener.get(), reinterpret_cast<sockaddr*>(&peer), &peer_size),
                            "accept"));
    limit(served);
    seen = text_of(peer);
  }

 private:
  static void limit(const Fd& fd) {
    const timeval limit{3, 0};
    for (const int what : {SO_SNDTIMEO, SO_RCVTIMEO}) {
      check_errno(setsockopt(fd.get(), SOL_SOCKET, what, &limit, sizeof limit), "timeout");
    }
  }
};

// A node of the cluster with the real kernel code in it.
struct Node {
  Netns ns;
  std::unique_ptr<net::Kernel> kernel;
  std::unique_ptr<net::Lease> lease;
  NodeOptions options;
  Marks marks;
  NodePlan plan;
  std::optional<bool> with_ipvs; // whatever this kernel has

  void start() {
    const Netns::Inside inside(ns);
    kernel = std::make_unique<net::Kernel>(NodeOptions{}.ownership);
    lease = std::make_unique<net::Lease>(kernel->lease());
  }
  // Brings the kernel to what the world asks for, and looks whether it is so.
  void reconcile(const AgentWorld& world) {
    const Netns::Inside inside(ns);
    auto seen = kernel->observe();
    seen.host.ipvs = with_ipvs.value_or(seen.host.ipvs);
    plan = plan_node(world, seen.host, marks, options);
    marks = plan.marks;
    for (const auto& problem : plan.problems) FAIL_CHECK(problem);
    net::Batch batch = net::diff(seen.state, plan.state);
    hold_back(affected(seen.state, plan.state).released, batch);
    for (const Error& e : kernel->apply(batch)) FAIL_CHECK(e.message);
    const auto rest = net::diff(kernel->observe().state, plan.state);
    CHECK_MESSAGE(rest.empty(), "a second look finds something to do");
    for (const auto& op : rest.before) MESSAGE(net::to_string(op));
    for (const auto& op : rest.nft) MESSAGE(net::to_string(op));
    for (const auto& op : rest.after) MESSAGE(net::to_string(op));
  }
  // Until the kernel has told of a change by others that concerns us; how long that took.
  Duration await_change() const {
    const Time start = now().steady;
    pollfd p{kernel->event_fd(), POLLIN, 0};
    const Netns::Inside inside(ns);
    while (!kernel->drain_events()) {
      if (check_errno(poll(&p, 1, 3000), "poll") == 0) throw std::runtime_error("nothing changed");
    }
    return now().steady - start;
  }
  // Forgets the pod's connections that the plan decides otherwise; how many those were.
  std::size_t forget_stale(const std::string& pod) const {
    const Netns::Inside inside(ns);
    const auto all = net::Conntrack().find({ip(pod)});
    REQUIRE(all);
    const auto old = stale(*all, plan.classifier);
    CHECK(net::Conntrack().forget(old));
    return old.size();
  }
};

struct Cluster {
  Netns wire, server, pod;
  Node one, two; // the pod is on node1, the EIP on node2
  AgentWorld seen_by_one, seen_by_two;
  api::EgressPolicy app = policy("default", "app", "eg", 1);

  Cluster() {
    {
      const Netns::Inside inside(wire);
      run("ip link add br0 type bridge && ip link set br0 up");
    }
    plug(one.ns, "n1");
    plug(two.ns, "n2");
    plug(server, "srv");
    host(one.ns, 1);
    host(two.ns, 2);
    {
      const Netns::Inside inside(server);
      run("ip addr add 10.6.0.254/16 dev eth0 && ip addr add fd06::254/16 dev eth0 nodad && "
          "ip addr add 203.0.113.9/32 dev lo && ip addr add 2001:db8::9/128 dev lo nodad && "
          "ip route add 10.244.0.0/16 via 10.6.0.1");
    }
    {
      const Netns::Inside inside(one.ns);
      run("ip link add cali1 type veth peer name eth0 netns " + pod.path() +
          " && ip link set cali1 up && ip addr add fe80::1/64 dev cali1 nodad && "
          "ip addr add 169.254.1.1/32 dev cali1 && "
          "ip route add 10.244.1.5/32 dev cali1 && ip -6 route add fd44:0:0:1::5/128 dev cali1 && "
          "ip route add 10.244.1.6/32 dev cali1 && sysctl -qw net.ipv4.conf.cali1.rp_filter=1");
    }
    {
      const Netns::Inside inside(pod);
      run("ip link set eth0 up && ip addr add 10.244.1.5/32 dev eth0 && "
          "ip addr add 10.244.1.6/32 dev eth0 && "
          "ip addr add fd44:0:0:1::5/128 dev eth0 nodad && ip route add 169.254.1.1 dev eth0 && "
          "ip route add default via 169.254.1.1 dev eth0 && "
          "ip -6 route add default via fe80::1 dev eth0");
    }
    for (const char* name : {"node1", "node2"}) {
      AgentWorld w = world(2);
      w.node = name;
      add(w, app);
      place(w, "eg", "node2", entry(1));
      (w.node == "node1" ? seen_by_one : seen_by_two) = w;
    }
    add(seen_by_one,
        testing::pod("default", "a", {{"app", "app"}}, {"10.244.1.5", "fd44:0:0:1::5"}));
    add(seen_by_two, slice(app, {{"default", "a", "node1", {"10.244.1.5"}, {"fd44:0:0:1::5"}}}));
    one.start();
    two.start();
  }

  void reconcile() {
    two.reconcile(seen_by_two);
    one.reconcile(seen_by_one);
    REQUIRE(two.lease->refresh(60s));
  }

  // Counts from now on what reaches the server from pods' own addresses.
  void watch_pods() const {
    const Netns::Inside inside(server);
    run("nft 'table inet watch { counter four { }; counter six { }; "
        "chain in { type filter hook prerouting priority -300; "
        "ip saddr 10.244.0.0/16 counter name four; ip6 saddr fd44::/16 counter name six; }; }'");
  }
  // Whether anything did since the last time this was asked.
  [[nodiscard]] bool pod_seen() const {
    const Netns::Inside inside(server);
    const std::string said = run("nft reset counters table inet watch");
    std::size_t zeros = 0;
    for (auto at = said.find("packets 0 "); at != std::string::npos;
         at = said.find("packets 0 ", at + 1))
      ++zeros;
    return zeros != 2;
  }

 private:
  void plug(const Netns& ns, const std::string& name) {
    const Netns::Inside inside(wire);
    run("ip link add " + name + " type veth peer name eth0 netns " + ns.path() +
        " && ip link set " + name + " up master br0");
    const Netns::Inside there(ns);
    run("ip link set eth0 up");
  }
  // As a CNI leaves a node: forwarding, strict reverse path filter, masquerading of pods.
  static void host(const Netns& ns, int n) {
    const Netns::Inside inside(ns);
    const std::string i = std::to_string(n);
    run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 "
        "net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1 "
        "net.ipv4.conf.eth0.rp_filter=1 && ip addr add 10.6.0." +
        i + "/16 dev eth0 && ip addr add fd06::" + i +
        "/16 dev eth0 nodad && ip route add default via 10.6.0.254 && "
        "ip -6 route add default via fd06::254");
    for (const auto& [family, pods] : {std::pair{"ip", "10.244.0.0/16"}, {"ip6", "fd44::/16"}}) {
      const std::string f = family, p = pods;
      run("nft add table " + f + " cni && nft 'add chain " + f +
          " cni post { type nat hook postrouting priority 100; }' && nft add rule " + f +
          " cni post " + f + " saddr " + p + " " + f + " daddr != " + p + " masquerade");
    }
  }
};

struct Try {
  const char* pod;
  const char* server;
  const char* eip;
  const char* node;
};
inline constexpr std::array kBoth = {Try{"10.244.1.5", "203.0.113.9", "10.6.1.1", "10.6.0.1"},
                                     Try{"fd44:0:0:1::5", "2001:db8::9", "fd06:1::1", "fd06::1"}};

inline constexpr int kLong = 3000, kShort = 250; // ms: what must come, what must not

// What the server sees of a datagram of the pod; "" when nothing.
inline std::string first_packet(Cluster& c, const Try& t, std::uint16_t port) {
  Udp server(c.server, {t.server, 53}), pod(c.pod, {t.pod, port});
  pod.send({t.server, 53}, "first");
  return server.receive(kShort);
}

// The source that the server saw, once the pod got the server's answer to it.
inline std::string round_trip(Cluster& c, const Try& t, std::uint16_t port) {
  Udp server(c.server, {t.server, 53}), pod(c.pod, {t.pod, port});
  pod.send({t.server, 53}, "who am I?");
  const std::string seen = server.receive(kLong);
  if (seen.empty()) return "nothing came";
  server.answer(seen);
  return pod.receive(kLong) == t.server && pod.said == seen ? seen : "no answer came";
}

} // namespace egw::test
