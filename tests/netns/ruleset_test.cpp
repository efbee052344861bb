// SPDX-License-Identifier: Apache-2.0
#include "netns/cluster.hpp"

#include "egress/names.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;
using namespace egw::test;
using namespace std::string_literals;

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
    const Tcp tcp(c.server, c.pod, {t.pod, 4000}, {t.server, 80});
    CHECK(tcp.seen == t.eip);
    const std::string data(100'000, 'x'); // many full segments: the MSS fits the tunnel
    for (const auto& [from, to] :
         {std::pair{tcp.client.get(), tcp.served.get()}, {tcp.served.get(), tcp.client.get()}}) {
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
    const auto all = net::Conntrack().find({ip(t.pod)});
    REQUIRE(all);
    const auto old = stale(*all, c.one.plan.classifier);
    CHECK(old.size() == 1);
    CHECK(net::Conntrack().forget(old));
    pod.send({t.server, 53}, "3");
    CHECK(server.receive(kLong) == t.node);
    c.one.reconcile(c.seen_by_one);
    CHECK(
        net::Conntrack().forget(stale(*net::Conntrack().find({ip(t.pod)}), c.one.plan.classifier)));
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

TEST_CASE("a masquerade may choose the tunnel's port for a pod that no policy selects") {
  Cluster c;
  c.reconcile();
  const std::uint16_t port = NodeOptions{}.port;
  Udp server(c.server, {"203.0.113.9", 53}), pod(c.pod, {"10.244.1.6", port});
  for (const std::string& answer : {"short"s, "longer than a VXLAN header is"s}) {
    pod.send({"203.0.113.9", 53}, "?");
    REQUIRE(server.receive(kLong) == "10.6.0.1");
    REQUIRE(server.from_port() == port);
    server.answer(answer);
    CHECK(pod.receive(kLong) == "203.0.113.9");
    CHECK(pod.said == answer);
  }
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
