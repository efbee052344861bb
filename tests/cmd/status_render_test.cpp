// SPDX-License-Identifier: Apache-2.0
#include "cmd/status_render.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>

#include "cmd/table.hpp"
#include "example_cluster.hpp"

using namespace egw;
using namespace egw::cmd;

namespace {

std::string table(const ClusterLists& lists, bool colour = false) {
  return render_table(make_report(lists, example_now()), colour);
}

std::size_t longest_line(const std::string& text) {
  std::istringstream lines(text);
  std::size_t longest = 0;
  for (std::string line; std::getline(lines, line);) longest = std::max(longest, columns(line));
  return longest;
}

} // namespace

TEST_CASE("the table of a small cluster") {
  CHECK(table(example_cluster()) ==
        R"(all is well: gateways 1/1 ready, nodes 3/3 ready, 1 EIP, policies 2/2 ready, 3 pods
leader: controller-1

GATEWAY  READY  NODE  PHASE  IPV4       IPV6      USED BY
eg1      True   n1    Ready  10.6.1.55  fd00::55  default/app +1
                n2    Ready

POLICY       KIND    GATEWAY  IPV4       IPV6      NODE  PODS  READY
default/app  policy  eg1      10.6.1.55  fd00::55  n1    2     True
default/web  policy  eg1      10.6.1.55  fd00::55  n1    1     True

NODE  PHASE  TUNNEL      TUNNEL6  PARENT  AGENT  GATEWAYS
n1    Ready  172.31.0.7           eth0    0.1.0  eg1
n2    Ready  172.31.0.7           eth0    0.1.0  eg1
n3    Ready  172.31.0.7           eth0    0.1.0
)");
}

TEST_CASE("what is inside the cluster, and where it was found") {
  auto c = example_cluster();
  auto& s = c.infos[0].status;
  s.node_ip["n1"] = {{"10.6.0.11", "10.6.0.20", "10.6.0.30"}, {}};
  s.pod_cidr["calico/pool"] = {{"10.244.0.0/16"}, {"fd00:10:244::/64"}};
  s.pod_cidr_mode = "calico";
  s.extra_cidr.ipv4 = {"192.0.2.0/24"};
  CHECK(table(c).ends_with(R"(
INSIDE  FROM            IPV4                             IPV6
nodes   Nodes           10.6.0.11, 10.6.0.20 and 1 more  -
pods    calico          10.244.0.0/16                    fd00:10:244::/64
added   spec.extraCidr  192.0.2.0/24                     -
)"));
}

TEST_CASE("what is wrong comes first, with what to do") {
  auto c = example_cluster();
  c.policies[0].status = {};
  c.policies[0].status.conditions = {
      condition("Accepted", "False", "GatewayMissing", "gateway eg9 does not exist: make it")};
  c.gateways[0].status.unplaced = {{9, "10.6.1.60", "", {}}};
  const std::string text = table(c);
  CHECK(
      text.starts_with("2 problems: gateways 1/1 ready, nodes 3/3 ready, 1 EIP (+1 nowhere), "
                       "policies 1/2 ready"));
  CHECK(text.find("NOT RIGHT\n  EgressGateway eg1: 1 of its EIPs stand nowhere") !=
        std::string::npos);
  CHECK(text.find(
            "  EgressPolicy default/web: GatewayMissing: gateway eg9 does not exist: make it") !=
        std::string::npos);
  CHECK(text.find("nowhere") != std::string::npos);
}

TEST_CASE("long names and many problems stay on the screen") {
  auto c = example_cluster();
  const std::string longest(63, 'x');
  c.gateways[0].meta.name = longest;
  c.gateways[0].status.node_list[0].name = "ip-10-0-1-23.eu-west-1.compute.internal";
  c.gateways[0].status.node_list[0].eips[0].ipv6 = "2001:db8:1111:2222:3333:4444:5555:6666";
  c.nodes[0].status.phase = api::NodePhase::NodeDown;
  c.nodes[0].status.conditions = {
      condition("Ready", "False", "NodeDown", std::string(300, 'y').c_str())};
  c.leases[0].holder = std::string(200, 'z');
  for (int i = 0; i < 50; ++i) {
    auto p = example_policy(longest + std::to_string(i));
    const std::string why = "cause " + std::to_string(i);
    p.status.conditions = {condition("Accepted", "False", "Bad", why.c_str())};
    c.policies.push_back(p);
  }
  const std::string text = table(c);
  CHECK(longest_line(text) <= kScreenWidth);
  CHECK(longest_line(text) > 80);
  CHECK(text.find("  and 31 more: -o json tells all") != std::string::npos);
  CHECK(text.find("2001:db8:1111:2222:3333:4444:5555:6666") == std::string::npos); // gave way
}

TEST_CASE("colour is added and nothing else") {
  auto c = example_cluster();
  c.nodes[0].status.phase = api::NodePhase::NodeDown;
  const std::string plain = table(c), coloured = table(c, true);
  CHECK(plain.find('\x1b') == std::string::npos);
  CHECK(coloured.find("\x1b[1;31mNodeDown\x1b[0m") != std::string::npos);
  std::string stripped;
  for (std::size_t i = 0; i < coloured.size(); ++i) {
    if (coloured[i] == '\x1b') {
      i = coloured.find('m', i);
    } else {
      stripped += coloured[i];
    }
  }
  CHECK(stripped == plain);
}

TEST_CASE("an empty cluster") {
  const std::string text = table({});
  CHECK(text.starts_with("2 problems: gateways 0/0 ready, nodes 0/0 ready, 0 EIPs"));
  CHECK(text.find("no controller leads") != std::string::npos);
}

TEST_CASE("JSON holds everything") {
  auto c = example_cluster();
  c.infos[0].status.cluster_ip.ipv4 = {"10.96.0.0/16"};
  const std::string json = to_tree(make_report(c, example_now())).json();
  CHECK(json.starts_with("{\n  \"ok\": true,\n  \"problemCount\": 0,\n  \"problems\": [],\n"));
  for (const char* part : {"\"leader\": \"controller-1\"", "\"id\": 7", "\"users\": [\n",
                           "\"ipv4Free\": 14", "\"EgressPolicy default/app\"", "\"pods\": 2",
                           "\"tunnelIPv4\": \"172.31.0.7\"", "\"what\": \"services\""}) {
    CHECK(json.find(part) != std::string::npos);
  }
}

TEST_CASE("policies that leave with the node's own address say so") {
  auto c = example_cluster();
  c.policies[0].spec.use_node_ip = true;
  c.policies[0].status.eip_ipv4 = c.policies[0].status.eip_ipv6 = "";
  const std::string text = table(c);
  CHECK(text.find("node's own") != std::string::npos);
  CHECK(longest_line(text) <= 100);
}
