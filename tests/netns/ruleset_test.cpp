// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "egress/names.hpp"
#include "egress/node_plan.hpp"
#include "egress/worlds.hpp"
#include "net/diff.hpp"
#include "net/kernel.hpp"
#include "netns/netns.hpp"

// A pod, its node, a gateway node and a server outside as network namespaces on one switch; what
// the nodes' kernels hold is planned and applied by the real code, and packets are sent.
using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;
using namespace std::chrono_literals;
using test::Netns;
using test::run;

namespace {

struct Endpoint {
  std::string address;
  std::uint16_t port = 0;
};

sockaddr_storage sockaddr_of(const Endpoint& e, socklen_t& size) {
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
std::string text_of(const sockaddr_storage& s) {
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
  Udp(const Netns& ns, const Endpoint& local) {
    const Netns::Inside inside(ns);
    socklen_t size = 0;
    const auto address = sockaddr_of(local, size);
    fd_ = Fd(check_errno(socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
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
    std::array<char, 2048> buffer{};
    from_size_ = sizeof from_;
    const auto n = recvfrom(fd_.get(), buffer.data(), buffer.size(), 0,
                            reinterpret_cast<sockaddr*>(&from_), &from_size_);
    said.assign(buffer.data(), static_cast<std::size_t>(check_errno(n, "recvfrom")));
    return text_of(from_);
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

// A node of the cluster with the real kernel code in it.
struct Node {
  Netns ns;
  std::unique_ptr<net::Kernel> kernel;
  std::unique_ptr<net::Lease> lease;
  Marks marks;
  NodePlan plan;

  void start() {
    const Netns::Inside inside(ns);
    kernel = std::make_unique<net::Kernel>(NodeOptions{}.ownership);
    lease = std::make_unique<net::Lease>(NodeOptions{}.ownership);
  }
  // Brings the kernel to what the world asks for, and looks whether it is so.
  void reconcile(const AgentWorld& world) {
    const Netns::Inside inside(ns);
    const auto seen = kernel->observe();
    plan = plan_node(world, seen.host, marks, {});
    marks = plan.marks;
    for (const auto& problem : plan.problems) FAIL_CHECK(problem);
    for (const Error& e : kernel->apply(net::diff(seen.state, plan.state))) FAIL_CHECK(e.message);
    const auto rest = net::diff(kernel->observe().state, plan.state);
    CHECK_MESSAGE(rest.empty(), "a second look finds something to do");
    for (const auto& op : rest.before) MESSAGE(net::to_string(op));
    for (const auto& op : rest.nft) MESSAGE(net::to_string(op));
    for (const auto& op : rest.after) MESSAGE(net::to_string(op));
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
constexpr std::array kBoth = {Try{"10.244.1.5", "203.0.113.9", "10.6.1.1", "10.6.0.1"},
                              Try{"fd44:0:0:1::5", "2001:db8::9", "fd06:1::1", "fd06::1"}};

constexpr int kLong = 3000, kShort = 250; // ms: what must come, what must not

// The source that the server saw, once the pod got the server's answer to it.
std::string round_trip(Cluster& c, const Try& t, std::uint16_t port) {
  Udp server(c.server, {t.server, 53}), pod(c.pod, {t.pod, port});
  pod.send({t.server, 53}, "who am I?");
  const std::string seen = server.receive(kLong);
  if (seen.empty()) return "nothing came";
  server.answer(seen);
  return pod.receive(kLong) == t.server && pod.said == seen ? seen : "no answer came";
}

} // namespace

TEST_SUITE_BEGIN("netns");

TEST_CASE(
    "a pod's packets leave by the gateway with the EIP, and answers come back, in both families") {
  Cluster c;
  for (const Try& t : kBoth)
    CHECK(round_trip(c, t, 4000) == std::string(t.node)); // without a policy: as the CNI has it
  c.reconcile();
  for (const Try& t : kBoth) {
    CHECK(round_trip(c, t, 4001) == std::string(t.eip));
    Udp server(c.server, {t.server, 54}), pod(c.pod, {t.pod, 4002});
    for (int i = 0; i < 3; ++i) {
      pod.send({t.server, 54}, "again");
      CHECK(server.receive(kLong) == t.eip);
    }
  }
  const Try other{"10.244.1.6", "203.0.113.9", "", "10.6.0.1"};
  CHECK(round_trip(c, other, 4003) == other.node);
}

TEST_CASE("nft lists what stands there, in both of its forms") {
  Cluster c;
  c.reconcile();
  for (const Node* node : {&c.one, &c.two}) {
    const Netns::Inside inside(node->ns);
    for (const char* command : {"nft list ruleset", "nft -s list ruleset", "nft -j list ruleset"}) {
      CHECK_MESSAGE(test::contains(run(command), "c_"), command);
    }
  }
}

TEST_CASE("an established TCP connection carries data both ways") {
  Cluster c;
  c.reconcile();
  for (const Try& t : kBoth) {
    Fd listener, client;
    socklen_t size = 0;
    const auto at = sockaddr_of({t.server, 80}, size);
    const auto* address = reinterpret_cast<const sockaddr*>(&at);
    {
      const Netns::Inside inside(c.server);
      listener = Fd(check_errno(socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
      check_errno(bind(listener.get(), address, size), "bind");
      check_errno(listen(listener.get(), 1), "listen");
    }
    {
      const Netns::Inside inside(c.pod);
      client = Fd(check_errno(socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
      const timeval limit{3, 0};
      check_errno(setsockopt(client.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit),
                  "timeout");
      check_errno(setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit),
                  "timeout");
      check_errno(connect(client.get(), address, size), "connect");
    }
    sockaddr_storage peer{};
    socklen_t peer_size = sizeof peer;
    const Fd served(check_errno(
        accept(listener.get(), reinterpret_cast<sockaddr*>(&peer), &peer_size), "accept"));
    CHECK(text_of(peer) == t.eip);
    const std::string data(100'000, 'x'); // many full segments: the MSS fits the tunnel
    const timeval limit{3, 0};
    check_errno(setsockopt(served.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), "timeout");
    for (const auto& [from, to] :
         {std::pair{client.get(), served.get()}, {served.get(), client.get()}}) {
      CHECK(send(from, data.data(), data.size(), 0) == static_cast<ssize_t>(data.size()));
      std::string got(data.size(), 0);
      CHECK(recv(to, got.data(), got.size(), MSG_WAITALL) == static_cast<ssize_t>(data.size()));
    }
  }
}

TEST_CASE("a policy that goes under a live flow shows the server no pod address") {
  Cluster c;
  c.reconcile();
  for (const Try& t : kBoth) {
    Udp server(c.server, {t.server, 53}), pod(c.pod, {t.pod, 4000});
    pod.send({t.server, 53}, "1");
    REQUIRE(server.receive(kLong) == t.eip);
    server.answer("1");
    REQUIRE(pod.receive(kLong) == t.server);

    AgentWorld without = c.seen_by_one;
    without.policies.clear();
    c.one.reconcile(without);
    pod.send({t.server, 53}, "2");
    const std::string seen = server.receive(kShort);
    CHECK_MESSAGE(seen.empty(), "the server saw ", seen);

    // Its connection is found, judged stale and forgotten; then the CNI has it.
    const Netns::Inside inside(c.one.ns);
    const auto all = c.one.kernel->connections_from({ip(t.pod)});
    REQUIRE(all);
    const auto old = stale(*all, c.one.plan.classifier);
    CHECK(old.size() == 1);
    CHECK(c.one.kernel->forget(old));
    pod.send({t.server, 53}, "3");
    CHECK(server.receive(kLong) == t.node);
    c.one.reconcile(c.seen_by_one);
    CHECK(c.one.kernel->forget(
        stale(*c.one.kernel->connections_from({ip(t.pod)}), c.one.plan.classifier)));
  }
}

TEST_CASE("without a gateway, without the tunnel, without the lease: nothing leaves") {
  Cluster c;
  c.reconcile();
  std::uint16_t port = 4000;
  const auto nothing_leaves = [&] {
    for (const Try& t : kBoth) {
      Udp server(c.server, {t.server, 53}), pod(c.pod, {t.pod, ++port});
      pod.send({t.server, 53}, "hello");
      const std::string seen = server.receive(kShort);
      CHECK_MESSAGE(seen.empty(), "the server saw ", seen);
    }
  };
  const auto in = [](Node& node, const char* command) {
    const Netns::Inside inside(node.ns);
    run(command);
  };
  SUBCASE("no place") {
    AgentWorld unplaced = c.seen_by_one;
    unplaced.gateways.clear();
    c.one.reconcile(unplaced);
    nothing_leaves();
  }
  SUBCASE("tunnel down") {
    in(c.one, "ip link set egw0 down");
    nothing_leaves();
  }
  SUBCASE("tunnel gone") {
    in(c.one, "ip link del egw0");
    nothing_leaves();
  }
  SUBCASE("rules gone") {
    in(c.one,
       "while ip rule del pref 99 2>/dev/null; do :; done; while ip -6 rule del pref 99 "
       "2>/dev/null; do :; done");
    nothing_leaves();
  }
  SUBCASE("the gateway does not know the pod") {
    AgentWorld without = c.seen_by_two;
    without.slices.clear();
    c.two.reconcile(without);
    nothing_leaves();
  }
  SUBCASE("the lease has run out") {
    CHECK(c.two.lease->withdraw());
    nothing_leaves();
    REQUIRE(c.two.lease->refresh(60s));
    for (const Try& t : kBoth) CHECK(round_trip(c, t, ++port) == std::string(t.eip));
  }
}

TEST_CASE("forged packets: VXLAN of a pod's own, and an inner source that is not that node's") {
  Cluster c;
  c.reconcile();
  // VXLAN header (RFC 7348) with VNI 100; Ethernet; IPv4 and UDP from the selected pod to the
  // server.
  const auto frame = [](const Mac& from) {
    std::string f("\x08\0\0\0\0\0\x64\0", 8);
    const Mac to = mac("66:00:00:00:00:02");
    f.append(to.bytes.begin(), to.bytes.end()).append(from.bytes.begin(), from.bytes.end());
    f.append("\x08\0", 2);
    std::string header("\x45\0\0\x21\0\1\0\0\x40\x11\0\0\x0a\xf4\x01\x05\xcb\0\x71\x09", 20);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < 20; i += 2) {
      sum += static_cast<std::uint32_t>(static_cast<std::uint8_t>(header[i]) << 8) +
             static_cast<std::uint8_t>(header[i + 1]);
    }
    sum = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
    header[10] = static_cast<char>(sum >> 8);
    header[11] = static_cast<char>(sum & 0xff);
    return f + header + std::string("\x10\0\0\x35\0\x0d\0\0false", 13);
  };
  Udp server(c.server, {"203.0.113.9", 53});
  const auto seen = [&] { return server.receive(kShort); };
  const Mac right = mac("66:00:00:00:00:01");

  Udp from_pod(c.pod, {"10.244.1.6", 7789}); // masqueraded, it would look like the peer's
  from_pod.send({"10.6.0.2", 7789}, frame(right));
  CHECK(seen() == "");
  Udp stranger(c.server, {"10.6.0.254", 7789});
  stranger.send({"10.6.0.2", 7789}, frame(right));
  CHECK(seen() == "");
  Udp peer(c.one.ns, {"10.6.0.1", 5000}); // root on a node: forges no pod of another node
  peer.send({"10.6.0.2", 7789}, frame(mac("66:00:00:00:00:77")));
  CHECK(seen() == "");
  peer.send({"10.6.0.2", 7789}, frame(right)); // and the frame is well made
  CHECK(seen() == "10.6.1.1");
}

TEST_CASE(
    "an EIP answers pings and no strangers, is no source, and what is ours goes without a trace") {
  Cluster c;
  c.reconcile();
  {
    const Netns::Inside inside(c.server);
    for (const char* address : {"10.6.1.1", "fd06:1::1"}) {
      run(std::string("ping -c1 -W2 ") + address);
      Udp service(c.two.ns, {ip(address).family == Family::V4 ? "0.0.0.0" : "::", 7000});
      Udp from(c.server, {ip(address).family == Family::V4 ? "10.6.0.254" : "fd06::254", 7001});
      from.send({address, 7000}, "hello");
      CHECK(service.receive(kShort) == "");
      from.send({ip(address).family == Family::V4 ? "10.6.0.2" : "fd06::2", 7000}, "hello");
      CHECK(service.receive(kLong) != "");
    }
  }
  const Netns::Inside inside(c.two.ns);
  CHECK(test::contains(run("ip route get 203.0.113.9"), "src 10.6.0.2"));
  CHECK(test::contains(run("ip -6 route get 2001:db8::9"), "src fd06::2"));
  for (const Error& e : c.two.kernel->apply(net::diff(c.two.kernel->observe().state, {}))) {
    FAIL_CHECK(e.message);
  }
  CHECK_FALSE(test::contains(run("nft list tables; ip rule; ip -6 rule; ip route show table all; "
                                 "ip -6 route show table all; ip link; ip addr"),
                             "egw"));
  CHECK_FALSE(test::contains(run("ip rule; ip -6 rule; ip addr"), "goto"));
  CHECK_FALSE(test::contains(run("ip addr"), "10.6.1.1"));
}

TEST_SUITE_END();
