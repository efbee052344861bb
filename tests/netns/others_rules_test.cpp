// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "netns/cluster.hpp"

// Beside what kube-proxy, Flannel and Calico in its modes put into the kernel, as recorded. What
// they know of a node and its pods is put in their place.
using namespace egw;
using namespace egw::test;

TEST_SUITE_BEGIN("netns");

namespace {

void replace_all(std::string& text, const std::string& what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
}

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
  const char* const tool = name.ends_with(".nft") ? "nft -f " : "iptables-restore ";
  const std::string said = run(tool + path + " && rm " + path);
  CHECK(said == "");
}

// All rules but ours, without their counters.
std::string others(const Node& node) {
  const Netns::Inside inside(node.ns);
  return run(
      "for t in $(nft list tables | grep -v ' egw$' | sed 's/ /,/g'); do "
      "nft -s list $(echo $t | tr , ' ') 2>/dev/null; done");
}

} // namespace

TEST_CASE("beside recorded rules of kube-proxy, Flannel and Calico") {
  for (const char* name :
       {"kube-proxy-flannel.iptables", "kube-proxy-nftables-flannel.nft", "calico-insert.iptables",
        "calico-append.iptables", "calico-natoutgoing-insert.iptables",
        "calico-natoutgoing-append.iptables", "calico-nftables.nft"}) {
    CAPTURE(name);
    Cluster c;
    for (const Node* node : {&c.one, &c.two}) load(*node, name);
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
