// SPDX-License-Identifier: Apache-2.0
#include <netinet/tcp.h>

#include "netns/cluster.hpp"

// What comes to an EIP without having been asked for.
using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;
using namespace egw::test;

namespace {

// Where the server sends from, and the gateway node's own address beside its EIP.
struct Target {
  const char* server;
  const char* eip;
  const char* own;
};
constexpr std::array kTargets = {Target{"10.6.0.254", "10.6.1.1", "10.6.0.2"},
                                 Target{"fd06::254", "fd06:1::1", "fd06::2"}};

// TCP segments from a namespace that has no such connection.
class Segments {
 public:
  Segments(const Netns& ns, const std::string& source) : source_(source) {
    const Netns::Inside inside(ns);
    socklen_t size = 0;
    const auto address = sockaddr_of({source, 0}, size);
    fd_ = Fd(check_errno(socket(address.ss_family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP), "raw"));
    check_errno(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), size), "bind");
  }

  // The answer to a SYN that nobody sent: conntrack calls it invalid.
  void send_syn_ack(const std::string& to) {
    tcphdr segment{};
    segment.source = htons(5555);
    segment.dest = htons(81);
    segment.doff = sizeof segment / 4;
    segment.syn = segment.ack = 1;
    segment.check = checksum(to, segment);
    socklen_t size = 0;
    const auto address = sockaddr_of({to, 0}, size);
    check_errno(sendto(fd_.get(), &segment, sizeof segment, 0,
                       reinterpret_cast<const sockaddr*>(&address), size),
                "sendto");
  }
  // Who sent the next segment to here; "" when none comes in time.
  std::string receive(int milliseconds) {
    pollfd p{fd_.get(), POLLIN, 0};
    if (check_errno(poll(&p, 1, milliseconds), "poll") == 0) return "";
    std::array<char, 256> buffer{};
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    check_errno(recvfrom(fd_.get(), buffer.data(), buffer.size(), 0,
                         reinterpret_cast<sockaddr*>(&from), &size),
                "recvfrom");
    return text_of(from);
  }

 private:
  // RFC 9293 section 3.1: over the addresses, the protocol, the length and the segment.
  std::uint16_t checksum(const std::string& to, const tcphdr& segment) const {
    std::string bytes;
    for (const std::string& text : {source_, to}) {
      const Address a = ip(text);
      bytes.append(a.bytes.begin(), a.bytes.begin() + static_cast<std::ptrdiff_t>(a.size()));
    }
    bytes.append({0, IPPROTO_TCP, 0, sizeof segment});
    bytes.append(reinterpret_cast<const char*>(&segment), sizeof segment);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); i += 2) {
      sum += static_cast<std::uint32_t>(static_cast<std::uint8_t>(bytes[i]) << 8) +
             static_cast<std::uint8_t>(bytes[i + 1]);
    }
    sum = (sum & 0xffff) + (sum >> 16);
    return htons(static_cast<std::uint16_t>(~((sum & 0xffff) + (sum >> 16))));
  }

  std::string source_;
  Fd fd_;
};

} // namespace

TEST_SUITE_BEGIN("netns");

TEST_CASE("a segment of no connection gets no reset from an EIP") {
  Cluster c;
  c.reconcile();
  for (const Target& t : kTargets) {
    Segments from(c.server, t.server);
    from.send_syn_ack(t.eip);
    CHECK(from.receive(kShort) == "");
    from.send_syn_ack(t.own); // from the node itself it does
    CHECK(from.receive(kLong) == t.own);
  }
}

TEST_CASE("a NodePort is not reachable on an EIP") {
  Cluster c;
  c.reconcile();
  {
    const Netns::Inside inside(c.two.ns);
    for (const auto& [family, to] : {std::pair{"ip", "10.6.0.2:7000"}, {"ip6", "[fd06::2]:7000"}}) {
      const std::string f = family;
      run("nft 'table " + f + " services { chain pre { type nat hook prerouting priority -100; " +
          "udp dport 30080 fib daddr type local dnat to " + to + "; }; }'");
    }
  }
  std::uint16_t port = 4000;
  for (const Target& t : kTargets) {
    Udp service(c.two.ns, {t.own, 7000}), from(c.server, {t.server, ++port});
    for (int i = 0; i < 2; ++i) { // the second is no new one, if the first was let in
      from.send({t.eip, 30080}, "hello");
      CHECK(service.receive(kShort) == "");
    }
    from.send({t.own, 30080}, "hello");
    CHECK(service.receive(kLong) == t.server);
  }
}

TEST_CASE("without the lease neither replies nor pings come through, and nobody is told the MAC") {
  Cluster c;
  c.reconcile();
  for (const Try& t : kBoth) {
    REQUIRE(c.two.lease->refresh(60s));
    Udp server(c.server, {t.server, 53}), pod(c.pod, {t.pod, 4000});
    pod.send({t.server, 53}, "1");
    REQUIRE(server.receive(kLong) == t.eip);
    server.answer("1");
    REQUIRE(pod.receive(kLong) == t.server);
    CHECK(c.two.lease->withdraw());
    server.answer("2");
    CHECK(pod.receive(kShort) == "");
    pod.send({t.server, 53}, "2"); // nor what the pod sends on
    CHECK(server.receive(kShort) == "");
    const Netns::Inside inside(c.server);
    const std::string ping = std::string("ping -c1 -W1 ") + t.eip,
                      neighbours = std::string("ip neigh show to ") + t.eip;
    run("ip neigh flush dev eth0");
    CHECK_FALSE(succeeds(ping));
    CHECK_FALSE(test::contains(run(neighbours), "lladdr"));
    REQUIRE(c.two.lease->refresh(60s));
    run("ip neigh flush dev eth0");
    CHECK(succeeds(ping));
    CHECK(test::contains(run(neighbours), "lladdr"));
  }
}

TEST_SUITE_END();
