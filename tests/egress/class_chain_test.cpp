// SPDX-License-Identifier: Apache-2.0
#include "egress/class_chain.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "egress/node_plans.hpp"
#include "net/diff.hpp"
#include "net/kernel.hpp"
#include "netns/netns.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;

namespace {

using Texts = std::vector<std::string>;

const Texts kPrefixes = {"0.0.0.0/1",       "203.0.113.0/24", "198.51.100.128/25", "192.0.2.7/32",
                         "100.64.0.0/10",   "93.184.0.0/15",  "93.0.0.0/8",        "8.8.0.0/16",
                         "198.51.100.0/31", "2001:db8::/32",  "2001:db8:1::/47",   "2a00::/11",
                         "2a00:1450::/64",  "2600::1/128",    "2c00::/8",          "4000::/2"};

AgentWorld with(const std::vector<std::pair<Texts, Texts>>& destinations_and_excluded) {
  AgentWorld w = world(3);
  add(w, pod("default", "a", {{"app", "app"}}, {"10.244.1.5", "fd44:0:0:1::5"}));
  int number = 0;
  for (const auto& [destinations, excluded] : destinations_and_excluded) {
    ++number;
    auto p = policy("default", "p" + std::to_string(number), "eg", number);
    p.spec.pod_selector = api::LabelSelector{{{"app", "app"}}, {}};
    p.spec.priority = number;
    p.spec.dest_subnet = destinations;
    p.spec.excluded_subnet = excluded;
    add(w, p);
    place(w, "eg", "node2", entry(number));
  }
  return w;
}

// Three hundred of each family, of these lengths in turn, with room between.
Texts long_list(const std::vector<int>& lengths4, const std::vector<int>& lengths6) {
  Texts texts;
  for (std::size_t i = 0; i < 300; ++i) {
    const int four = lengths4[i % lengths4.size()], six = lengths6[i % lengths6.size()];
    texts.push_back(fmt::format("{}.{}.64.0/{}", 20 + i / 50, i % 50 * 5, four));
    texts.push_back(fmt::format("2a{:02x}:{:x}:40::/{}", i / 50, i % 50 * 5, six));
  }
  return texts;
}

// Packets to the ends of a range and past them go where the classifier says; counted by the EIP
// that they got, 0 for none.
void check_ends(const NodePlan& p, const std::string& text,
                std::map<std::int32_t, std::size_t>& counts) {
  const Prefix prefix = cidr(text);
  for (const auto& at : {std::optional(prefix.first()), std::optional(prefix.last()),
                         prefix.first().prev(), prefix.last().next()}) {
    if (!at) continue;
    const bool v4 = at->family == Family::V4;
    Packet x = packet(v4 ? "10.244.1.5" : "fd44:0:0:1::5", at->to_string());
    const auto wanted = p.classifier.decide(x.source, *at);
    INFO("to ", at->to_string());
    REQUIRE(run(v4 ? ip4(p) : ip6(p), "prerouting", x) == Verdict::Accept);
    const bool taken = wanted.kind == Classifier::Decision::Kind::Tunnel;
    CHECK((x.mark != 0) == taken);
    // By it the class was found. Forwarding sets it anew in IPv4, where it is routed.
    if (!v4 || !taken) CHECK(x.priority == 0);
    if (taken) CHECK(x.ct_mark == ct_mark_tunnelled(wanted.eip_id, kOptions));
    ++counts[taken ? wanted.eip_id : 0];
  }
}

std::size_t destination_sets_of(const net::Table& table) {
  std::size_t count = 0;
  for (const auto& [name, set] : table.sets) {
    count += name.starts_with("d_") || name.starts_with("x_") ? 1 : 0;
  }
  return count;
}

} // namespace

TEST_CASE("few CIDRs are compared, many stand in a set, and both decide as the classifier does") {
  std::mt19937 random(11);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  std::map<std::int32_t, std::size_t> counts;
  for (int turn = 0; turn < 60; ++turn) {
    std::vector<std::pair<Texts, Texts>> policies(1 + below(3));
    for (auto& [destinations, excluded] : policies) {
      auto& texts = below(4) == 0 ? excluded : destinations;
      for (std::size_t n = 1 + below(9); n > 0; --n) {
        texts.push_back(kPrefixes[below(kPrefixes.size())]);
      }
    }
    const NodePlan p = plan(with(policies));
    INFO("turn ", turn);
    for (const std::string& text : kPrefixes) check_ends(p, text, counts);
  }
  CHECK(counts[0] > 500);
  CHECK(counts[1] + counts[2] + counts[3] > 500);
}

TEST_CASE("a set is made from the fifth CIDR on, and in one family alone where that is enough") {
  const Texts four = {"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "8.8.8.8", "2600::1"};
  Texts five = four;
  five.emplace_back("8.8.4.4");
  // Before a policy of another kind; by themselves they are no chain at all (class_data_test.cpp).
  CHECK(destination_sets_of(ip4(plan(with({{four, {}}, {{}, {}}})))) == 0);
  CHECK(destination_sets_of(ip4(plan(with({{five, {}}, {{}, {}}})))) == 1);
  CHECK(destination_sets_of(ip6(plan(with({{five, {}}, {{}, {}}})))) == 0);
  CHECK(destination_sets_of(ip4(plan(with({{{}, five}})))) == 1);
}

TEST_CASE("a long list of few lengths stands in a hash set for each, and decides the same") {
  const Texts some = long_list({24, 28, 32}, {48, 64}),
              lengths = long_list({20, 24, 26, 28, 32}, {48});
  const NodePlan p = plan(with({{some, {}}, {{}, lengths}}));
  const auto count = [](const net::Table& table, const char* prefix, bool interval) {
    return std::ranges::count_if(table.sets, [&](const auto& item) {
      return item.first.starts_with(prefix) && item.second.interval == interval;
    });
  };
  CHECK(count(ip4(p), "d_", false) == 3);
  CHECK(count(ip4(p), "d_", true) == 0);
  CHECK(count(ip6(p), "d_", false) == 2);
  CHECK(count(ip4(p), "x_", false) == 0); // five lengths
  CHECK(count(ip4(p), "x_", true) == 1);
  CHECK(count(ip6(p), "x_", false) == 1);
  for (const auto& [name, set] : ip4(p).sets) {
    if (name.starts_with("d_")) CHECK(set.size == set.elements.size());
  }
  std::map<std::int32_t, std::size_t> counts;
  for (const Texts& texts : {some, lengths}) {
    for (const std::string& text : texts) check_ends(p, text, counts);
  }
  for (const std::int32_t eip : {0, 1, 2}) CHECK(counts[eip] > 500);
}

TEST_CASE("a class stands in the tables of the families that its pods have") {
  AgentWorld w = with({{{"192.0.2.0/24"}, {}}});
  add(w, pod("default", "a", {{"app", "app"}}, {"10.244.1.5"}));
  const NodePlan p = plan(w);
  CHECK(ip4(p).sets.at("classes").elements.size() == 1);
  CHECK(ip6(p).sets.at("classes").elements.empty());
}

TEST_SUITE_BEGIN("netns");

TEST_CASE("the kernel gives every form of comparison back, and nft writes it as people do") {
  const test::Netns ns;
  const test::Netns::Inside inside(ns);
  net::Kernel kernel{net::Ownership{}};
  net::State wanted;
  std::vector<std::pair<Texts, Texts>> policies;
  for (const std::string& text : kPrefixes) policies.push_back({{text}, {}});
  policies.push_back({long_list({24, 32}, {48, 128}), {}});
  policies.push_back({{}, long_list({28}, {64, 72})});
  policies.push_back({{}, {"198.51.100.0/24", "203.0.113.0/24", "2600::1/128"}});
  wanted.tables = plan(with(policies)).state.tables;
  CHECK(kernel.apply(net::diff(kernel.observe().state, wanted)).empty());
  CHECK(kernel.observe().state.tables == wanted.tables);
  const std::string listed = test::run("nft list ruleset");
  for (const char* part :
       {"ip daddr 203.0.113.0/24", "ip daddr 198.51.100.128/25", "ip daddr 93.0.0.0/8",
        "ip6 daddr 2001:db8::/32", "ip daddr != 198.51.100.0/24 ip daddr != 203.0.113.0/24",
        "ip daddr & 255.255.255.0 == @d_", "ip6 daddr & ffff:ffff:ffff:: == @d_",
        "ip daddr & 255.255.255.240 != @x_"}) {
    CHECK_MESSAGE(test::contains(listed, part), part);
  }
}

TEST_SUITE_END();
