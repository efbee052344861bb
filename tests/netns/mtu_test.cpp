// SPDX-License-Identifier: Apache-2.0
#include <netinet/tcp.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "netns/cluster.hpp"

using namespace egw;
using namespace egw::test;

TEST_SUITE_BEGIN("netns");

namespace {

// Nodes, switch and server; and the pod, as by a CNI that routes without a tunnel of its own.
void set_mtu(const Cluster& c, int mtu) {
  const std::string to = " mtu " + std::to_string(mtu);
  const auto in = [&](const Netns& ns, const std::string& commands) {
    const Netns::Inside inside(ns);
    run(commands);
  };
  in(c.wire, "for l in n1 n2 srv br0; do ip link set $l" + to + "; done");
  for (const Netns* ns : {&c.one.ns, &c.two.ns, &c.server, &c.pod})
    in(*ns, "ip link set eth0" + to);
  in(c.one.ns, "ip link set cali1" + to);
}

// Whether all of it arrives as it was sent.
bool carries(const Fd& from, const Fd& to, std::size_t size) {
  std::vector<char> sent(size), got(size);
  for (std::size_t i = 0; i < size; ++i) sent[i] = static_cast<char>(i * 7 + i / 251);
  const std::jthread sender([&] {
    for (std::size_t done = 0; done < size;) {
      const auto n = send(from.get(), sent.data() + done, size - done, MSG_NOSIGNAL);
      if (n <= 0) return; // the time is over
      done += static_cast<std::size_t>(n);
    }
  });
  std::size_t done = 0;
  while (done < size) {
    const auto n = recv(to.get(), got.data() + done, size - done, 0);
    if (n <= 0) return false;
    done += static_cast<std::size_t>(n);
  }
  return got == sent;
}

// Sends datagrams of that size until one has gone to the server, and its answer of the same size
// has come back; how many were lost on the way. The server must see the EIP.
int lost_of(Cluster& c, const Try& t, std::uint16_t port, std::size_t size) {
  Udp server(c.server, {t.server, 53}), pod(c.pod, {t.pod, port});
  constexpr int most = 5, wait = 500; // ms
  for (int lost = 0; lost < most; ++lost) {
    pod.send({t.server, 53}, std::string(size, 'x'));
    const std::string seen = server.receive(wait);
    if (seen.empty()) continue;
    CHECK(seen == t.eip);
    CHECK(server.said.size() == size);
    server.answer(std::string(size, 'y'));
    if (pod.receive(wait).empty()) continue;
    CHECK(pod.said.size() == size);
    return lost;
  }
  return most;
}

// What a side puts into a segment at most, without the option of time stamps (RFC 7323).
int segment(const Fd& socket) {
  int bytes = 0;
  socklen_t size = sizeof bytes;
  check_errno(getsockopt(socket.get(), IPPROTO_TCP, TCP_MAXSEG, &bytes, &size), "TCP_MAXSEG");
  return bytes;
}

void check_all_sizes(Cluster& c, int mtu) {
  static std::uint16_t port = 20000;
  for (const Try& t : kBoth) {
    CAPTURE(mtu);
    CAPTURE(t.pod);
    {
      const Tcp tcp(c.server, c.pod, {t.pod, ++port}, {t.server, 7000});
      CHECK(tcp.seen == t.eip);
      // From the first segment on, before anything could tell the path's MTU. The tunnel was made
      // over a parent of 1500. A smaller MTU of before may be remembered (RFC 8201 section 4).
      const int most = std::min(mtu - 50, 1450) - (t.pod[0] == '1' ? 40 : 60) - 12;
      for (const Fd* side : {&tcp.client, &tcp.served}) {
        CHECK(segment(*side) <= most);
        CHECK(segment(*side) >= most - 50);
      }
      CHECK(carries(tcp.client, tcp.served, 1'000'000));
      CHECK(carries(tcp.served, tcp.client, 1'000'000));
    }
    // What fits into the tunnel is never lost; of what does not, one each way may be: it tells the
    // sender the path's MTU (RFC 1191, RFC 8201).
    CHECK(lost_of(c, t, ++port, 1200) == 0);
    const auto full = static_cast<std::size_t>(mtu) - (t.pod[0] == '1' ? 28 : 48);
    for (const std::size_t size : {full - 60, full, 3000UL, 8900UL, 20000UL}) {
      CAPTURE(size);
      CHECK(lost_of(c, t, ++port, size) <= 2);
    }
  }
}

} // namespace

TEST_CASE("TCP both ways and datagrams of any size, whatever the underlay's MTU") {
  Cluster c;
  for (const int mtu : {1500, 1450, 9000, 1500}) { // it may change while all stands
    set_mtu(c, mtu);
    c.reconcile();
    check_all_sizes(c, mtu);
  }
}

TEST_CASE("TCP and large datagrams without the devices' offloads") {
  Cluster c;
  for (const Netns* ns : {&c.one.ns, &c.two.ns, &c.server, &c.pod}) {
    const Netns::Inside inside(*ns);
    run("ethtool -K eth0 tx off tso off gso off gro off >/dev/null");
  }
  c.reconcile();
  check_all_sizes(c, 1500);
}

TEST_CASE("a narrower link outside tells the pod its MTU, behind the EIP") {
  Cluster c;
  c.reconcile();
  const Netns far;
  {
    const Netns::Inside inside(c.server);
    run("ip link add narrow type veth peer name eth0 netns " + far.path() +
        " && ip link set narrow mtu 1300 up && ip addr add 198.51.100.1/24 dev narrow && "
        "ip addr add 2001:db8:2::1/64 dev narrow nodad && "
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
  }
  {
    const Netns::Inside inside(far);
    run("ip link set eth0 mtu 1300 up && ip addr add 198.51.100.9/24 dev eth0 && "
        "ip addr add 2001:db8:2::9/64 dev eth0 nodad && ip route add default via 198.51.100.1 && "
        "ip -6 route add default via 2001:db8:2::1");
  }
  for (const Try& t : {Try{"10.244.1.5", "198.51.100.9", "10.6.1.1", ""},
                       Try{"fd44:0:0:1::5", "2001:db8:2::9", "fd06:1::1", ""}}) {
    CAPTURE(t.pod);
    Udp server(far, {t.server, 53}), pod(c.pod, {t.pod, 4000});
    pod.send({t.server, 53}, "small");
    CHECK(server.receive(kLong) == t.eip);
    // Too large for the link behind the server: it says so to the EIP, and that is the pod's to
    // hear.
    for (int lost = 0;; ++lost) {
      REQUIRE(lost < 3);
      pod.send({t.server, 53}, std::string(1340, 'x'));
      if (server.receive(500) == t.eip) break;
    }
    CHECK(server.said.size() == 1340);
  }
}

TEST_SUITE_END();
