// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "netns/cluster.hpp"

// Beside what kube-proxy, Flannel, Calico in its modes, Docker and firewalld put into the kernel,
// as recorded. What they know of a node and its pods is put in their place.
using namespace egw;
using namespace egw::test;

TEST_SUITE_BEGIN("netns");

namespace {

void replace_all(std::string& text, const std::string& what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
}

// Rules of one file, beside those that stand there.
void load(const Node& node, const std::string& name) {
  const std::ifstream file(EGW_TEST_DATA "/rulesets/" + name);
  std::stringstream content;
  content << file.rdbuf();
  std::string rules = content.str();
  REQUIRE_FALSE(rules.empty());
  replace_all(rules, "calicdb836f5c6c", "cali1"); // a pod that no network policy selects
  replace_all(rules, "10.244.0.0/24", "10.244.1.0/24");
  replace_all(rules, "10.77.0.11", "10.6.0.1");
  const std::string path = fmt::format("/tmp/egw-{}.rules", getpid());
  {
    std::ofstream out(path);
    out << rules;
  }
  const Netns::Inside inside(node.ns);
  const char* const tool = name.ends_with(".nft") ? "nft -f " : "iptables-restore --noflush ";
  const std::string said = run(tool + path + " && rm " + path);
  CHECK(said == "");
}

// All rules but ours, without their counters. Where the policy of FORWARD is to drop, two of ours
// stand in that chain.
std::string others(const Node& node) {
  const Netns::Inside inside(node.ns);
  return run(
      "for t in $(nft list tables | grep -v ' egw$' | sed 's/ /,/g'); do "
      "nft -s list $(echo $t | tr , ' ') 2>/dev/null; done | grep -v 'ifname \"egw0\"'");
}

} // namespace

TEST_CASE("beside recorded rules of kube-proxy, Flannel, Calico, Docker and firewalld") {
  const std::string flannel = "kube-proxy-flannel.iptables";
  for (const std::vector<std::string>& names : std::vector<std::vector<std::string>>{
           {flannel},
           {"kube-proxy-nftables-flannel.nft"},
           {"calico-insert.iptables"},
           {"calico-append.iptables"},
           {"calico-natoutgoing-insert.iptables"},
           {"calico-natoutgoing-append.iptables"},
           {"calico-nftables.nft"},
           {flannel, "docker.iptables"}, // which drops what nobody else lets through
           {"firewalld.nft"}}) {
    CAPTURE(names.back());
    Cluster c;
    for (const Node* node : {&c.one, &c.two}) {
      for (const std::string& name : names) load(*node, name);
    }
    const Try other{"10.244.1.6", "203.0.113.9", "", "10.6.0.1"}; // in no policy
    std::uint16_t port = 4000;
    for (const Try& t : kBoth) CHECK(round_trip(c, t, ++port) == t.node);
    CHECK(round_trip(c, other, ++port) == other.node);
    const std::string before = others(c.one) + others(c.two);

    c.reconcile();
    c.watch_pods();
    for (const Try& t : kBoth) {
      CHECK(round_trip(c, t, ++port) == t.eip);
      const Tcp tcp(c.server, c.pod, {t.pod, ++port}, {t.server, 7000});
      CHECK(tcp.seen == t.eip);
    }
    CHECK(round_trip(c, other, ++port) == other.node);
    CHECK_FALSE(c.pod_seen());
    CHECK(others(c.one) + others(c.two) == before);
  }
}

TEST_SUITE_END();
