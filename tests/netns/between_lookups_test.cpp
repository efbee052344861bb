// SPDX-License-Identifier: Apache-2.0
#include <netinet/ip.h>
#include <netinet/udp.h>

#include <atomic>
#include <thread>

#include "netns/cluster.hpp"

// Sets change while packets are on their way through the ruleset: what a packet found in one set
// may not be in the next any more.
using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;
using namespace egw::test;

namespace {

constexpr std::uint16_t kPort = 9999;

// Sends first packets of ever new connections from these addresses of a pod.
class Flood {
 public:
  Flood(const Netns& pod, std::vector<std::string> sources)
      : thread_([this, &pod, sources = std::move(sources)] { run(pod, sources); }) {}
  ~Flood() {
    stop_ = true;
    thread_.join();
  }
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;
  [[nodiscard]] std::size_t sent() const { return sent_; }

 private:
  void run(const Netns& pod, const std::vector<std::string>& sources) {
    const Netns::Inside inside(pod);
    const Fd fd(check_errno(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW), "socket"));
    struct {
      iphdr ip;
      udphdr udp;
    } packet{};
    packet.ip.version = 4;
    packet.ip.ihl = 5;
    packet.ip.ttl = 64;
    packet.ip.protocol = IPPROTO_UDP;
    packet.udp.dest = htons(kPort);
    packet.udp.len = htons(sizeof packet.udp);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    for (std::uint32_t n = 0; !stop_; ++n) {
      inet_pton(AF_INET, sources[n % sources.size()].c_str(), &packet.ip.saddr);
      to.sin_addr.s_addr = htonl(0xcb007100U | ((n >> 16U) & 0xffU)); // 203.0.113.0/24
      packet.ip.daddr = to.sin_addr.s_addr;
      packet.udp.source = htons(static_cast<std::uint16_t>(n));
      const auto done = sendto(fd.get(), &packet, sizeof packet, 0,
                               reinterpret_cast<const sockaddr*>(&to), sizeof to);
      sent_ += done > 0 ? 1 : 0;
    }
  }

  std::atomic<bool> stop_{false};
  std::atomic<std::size_t> sent_{0};
  std::thread thread_;
};

void count_leaks(const Netns& server) {
  const Netns::Inside inside(server);
  run("nft 'table inet watch { counter leaked { }; "
      "chain in { type filter hook prerouting priority -300; "
      "ip saddr { 10.6.0.1, 10.244.0.0/16 } udp dport 9999 counter name leaked; }; }'");
}
std::string leaks(const Netns& server) {
  const Netns::Inside inside(server);
  const std::string said = run("nft list counter inet watch leaked");
  const auto at = said.find("packets ");
  return said.substr(at, said.find(" bytes") - at);
}

} // namespace

TEST_SUITE_BEGIN("netns");

TEST_CASE("what changes between two look-ups of a packet lets none of a selected pod through") {
  Cluster c;
  auto other = policy("default", "other", "eg", 2);
  other.spec.pod_selector = api::LabelSelector{{{"app", "other"}}, {}};
  for (AgentWorld* w : {&c.seen_by_one, &c.seen_by_two}) {
    add(*w, other);
    place(*w, "eg", "node2", entry(2));
  }
  {
    const Netns::Inside inside(c.one.ns);
    run("sysctl -qw net.netfilter.nf_conntrack_udp_timeout=1");
  }
  AgentWorld& w = c.seen_by_one;
  std::vector<std::string> senders{"10.244.1.5"};
  SUBCASE("a pod that becomes known, one that goes, and one that is another's") {
    w.stay_closed = true;
    senders.emplace_back("10.244.1.6");
  }
  SUBCASE("a pod that is another's, where addresses that are not known are let through") {
    c.one.options.unknown_pods = UnknownPods::Allow;
  }
  SUBCASE("a pod whose classes are data") {
    c.one.options.unknown_pods = UnknownPods::Allow;
    auto app = policy("default", "app", "eg", 1);
    app.spec.dest_subnet = {"203.0.113.0/24"};
    other.spec.dest_subnet = {"203.0.112.0/22", "8.8.8.8"};
    for (AgentWorld* each : {&c.seen_by_one, &c.seen_by_two}) {
      add(*each, app);
      add(*each, other);
    }
  }
  c.reconcile();
  count_leaks(c.server);
  const Flood flood(c.pod, senders);
  for (int turn = 0; turn < 300; ++turn) {
    const char* const app = turn % 2 == 0 ? "other" : "app";
    add(w, testing::pod("default", "a", {{"app", app}}, {"10.244.1.5"}));
    add(w, testing::pod("default", "young", {{"app", app}}, {"10.244.1.6"}));
    c.one.reconcile(w);
    w.pods.erase({"default", "young"});
    c.one.reconcile(w);
  }
  CHECK(flood.sent() > 10'000);
  CHECK(leaks(c.server) == "packets 0");
}

TEST_CASE("a map that is made anew, with other room, lets none of a selected pod through") {
  Cluster c;
  std::string map = "pods";
  SUBCASE("of pods, when nobody who is not known gets out") {
    c.seen_by_one.stay_closed = true;
  }
  SUBCASE("of classes") {
    map = "classes";
  }
  SUBCASE("of what is decided, and of destinations") {
    c.app.spec.dest_subnet = {"203.0.113.0/24"};
    add(c.seen_by_one, c.app);
    add(c.seen_by_two, c.app);
    map = "ways";
  }
  c.reconcile();
  count_leaks(c.server);
  const Flood flood(c.pod, {"10.244.1.5"});
  net::State now = c.one.plan.state;
  const Netns::Inside inside(c.one.ns);
  for (int turn = 0; turn < 300; ++turn) {
    net::State next = now;
    net::Table& table = next.tables.at(net::NftFamily::Ip);
    for (const char* const name : {map.c_str(), "to_24", "to_other"}) {
      if (!table.sets.contains(name) || (name != map && map != "ways")) continue;
      table.sets.at(name).size = turn % 2 == 0 ? 256 : 64;
    }
    for (const Error& e : c.one.kernel->apply(net::diff(now, next))) FAIL_CHECK(e.message);
    now = next;
  }
  CHECK(flood.sent() > 2'000);
  CHECK(leaks(c.server) == "packets 0");
}

TEST_SUITE_END();
