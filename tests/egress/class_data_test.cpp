// SPDX-License-Identifier: Apache-2.0
#include "egress/class_data.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "egress/affected.hpp"
#include "egress/node_plans.hpp"
#include "net/diff.hpp"
#include "net/kernel.hpp"
#include "netns/netns.hpp"

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::testing;

namespace {

using Texts = std::vector<std::string>;

PolicyRule to(const Texts& destinations, std::int32_t eip, Fate fate = Fate::Eip) {
  PolicyRule rule;
  rule.everything_outside = false;
  rule.eip_id = eip;
  rule.v4 = rule.v6 = fate;
  for (const std::string& text : destinations) rule.destinations.add(cidr(text));
  return rule;
}

std::optional<ClassData> data_of_class(const std::vector<PolicyRule>& policies,
                                       Family family = Family::V4) {
  IntervalSet cluster;
  cluster.add(cidr("10.0.0.0/8"));
  return class_data({"c_test", policies}, family, cluster);
}

// Each pod has a policy of its own, with these destinations and the EIP of that number.
AgentWorld pods_to(const std::vector<Texts>& destinations) {
  AgentWorld w = world(3);
  for (std::size_t i = 1; i <= destinations.size(); ++i) {
    const std::string name = "app" + std::to_string(i);
    add(w, pod("default", name, {{"app", name}}, {"10.244.1." + std::to_string(i)}));
    auto p = policy("default", name, "eg", static_cast<int>(i));
    p.spec.dest_subnet = destinations[i - 1];
    add(w, p);
    place(w, "eg", "node2", entry(static_cast<int>(i)));
  }
  return w;
}

std::size_t chains(const net::Table& table, const std::string& prefix) {
  return static_cast<std::size_t>(std::ranges::count_if(
      table.chains, [&](const auto& item) { return item.first.starts_with(prefix); }));
}

} // namespace

TEST_CASE("of overlapping destinations the earlier policy's count, as the longest prefix does") {
  const auto narrow_first = data_of_class({to({"20.0.1.0/24"}, 1), to({"20.0.0.0/16"}, 2)});
  REQUIRE(narrow_first);
  CHECK(narrow_first->ways == std::vector<std::pair<Prefix, std::uint32_t>>{
                                  {cidr("20.0.1.0/24"), 1}, {cidr("20.0.0.0/16"), 2}});
  CHECK(narrow_first->lengths == std::set<std::uint8_t>{16, 24});
  const auto wide_first = data_of_class({to({"20.0.0.0/16"}, 2), to({"20.0.1.0/24"}, 1)});
  REQUIRE(wide_first);
  CHECK(wide_first->ways ==
        std::vector<std::pair<Prefix, std::uint32_t>>{{cidr("20.0.0.0/16"), 2}});
}

TEST_CASE("what becomes of a destination is an EIP, a drop, or nothing") {
  const auto data = data_of_class({to({"20.0.0.0/24"}, 7), to({"20.0.1.0/24"}, 8, Fate::Drop),
                                   to({"20.0.2.0/24"}, 9, Fate::Untouched)});
  REQUIRE(data);
  std::vector<std::uint32_t> ways;
  for (const auto& [prefix, way] : data->ways) ways.push_back(way);
  CHECK(ways == std::vector<std::uint32_t>{7, kWayDrop, kWayUntaken});
}

TEST_CASE("a class needs a chain for all outside, for the cluster's addresses, for long lists") {
  CHECK(data_of_class({to({"20.0.0.0/24", "30.0.0.0/16", "40.0.0.0/32"}, 1)}));
  CHECK_FALSE(data_of_class({to({"20.0.0.0/24", "30.0.0.0/16", "40.0.0.0/32", "50.0.0.0/8"}, 1)}));
  CHECK_FALSE(data_of_class({to({"20.0.0.0/24"}, 1), PolicyRule()}));
  CHECK_FALSE(data_of_class({to({"10.1.0.0/16"}, 1)}));
  CHECK_FALSE(data_of_class({to({"0.0.0.0/0"}, 1)}));
  Texts many;
  for (int i = 0; i < 16; ++i) many.push_back("20.0." + std::to_string(2 * i) + ".0/24");
  CHECK(data_of_class({to(many, 1)}));
  many.emplace_back("30.0.0.0/24");
  CHECK_FALSE(data_of_class({to(many, 1)}));
  // Without destinations of its family it lets everything go.
  const auto six = data_of_class({to({"20.0.0.0/24"}, 1)}, Family::V6);
  REQUIRE(six);
  CHECK(six->ways.empty());
}

TEST_CASE("classes of the same lengths share a chain, which goes with the last of them") {
  const NodePlan p =
      plan(pods_to({{"20.0.0.0/24"}, {"20.0.0.0/24"}, {"30.0.0.0/24"}, {"8.8.8.8"}}));
  CHECK(chains(ip4(p), "c_") == 0);
  CHECK(chains(ip4(p), "lengths") == 2);
  CHECK(ip4(p).sets.at("to_24").elements.size() == 3);
  CHECK(ip4(p).sets.at("to_32").elements.size() == 1);
  CHECK(ip4(p).sets.at("to_other").elements.size() == 4);
  CHECK(ip4(p).sets.at("classes").elements.size() == 4);
  for (int pod = 1; pod <= 4; ++pod) {
    for (const auto& [destination, eip] :
         {std::pair{"20.0.0.9", pod < 3 ? pod : 0}, std::pair{"30.0.0.9", pod == 3 ? 3 : 0},
          std::pair{"8.8.8.8", pod == 4 ? 4 : 0}, std::pair{"8.8.4.4", 0}}) {
      Packet x = packet("10.244.1." + std::to_string(pod), destination);
      CHECK(run(ip4(p), "prerouting", x) == Verdict::Accept);
      CHECK(x.ct_mark == (eip == 0 ? 0 : ct_mark_tunnelled(eip, kOptions)));
      if (eip == 0) CHECK(x.priority == 0);
    }
  }
}

TEST_CASE("wherever the ruleset changes on a packet's way, it gets an EIP or gets nowhere") {
  const Texts before{"20.0.0.0/24", "30.0.0.0/16"};
  const std::vector<Texts> others{{"20.0.0.0/24", "30.0.0.0/16", "40.0.0.1"},
                                  {"20.0.0.0/20"},
                                  {"20.0.0.0/24", "20.0.0.0/8"},
                                  {}};
  std::size_t taken = 0, stopped = 0;
  for (const bool forth : {true, false}) {
    for (const Texts& after : others) {
      AgentWorld was = pods_to({before, {"9.9.9.9"}}), is = pods_to({after, {"9.9.9.9"}});
      if (!forth) std::swap(was, is);
      const NodePlan old = plan(was), now = plan(is);
      REQUIRE(affected(old.state, now.state).released.contains(ip("10.244.1.1")));
      Packet undisturbed = packet("10.244.1.1", "20.0.0.9");
      REQUIRE(run(ip4(old), "prerouting", undisturbed) == Verdict::Accept);
      REQUIRE(undisturbed.mark != 0);
      for (std::size_t at = 0; at <= undisturbed.lookups; ++at) {
        for (const bool chains_too : {true, false}) {
          Packet x = packet("10.244.1.1", "20.0.0.9");
          x.released = true; // comes with the same transaction
          x.reload = Reload{&ip4(now), at, chains_too};
          const Verdict verdict = run(ip4(old), "prerouting", x);
          CHECK((verdict == Verdict::Drop || x.mark != 0));
          ++(verdict == Verdict::Drop ? stopped : taken);
        }
      }
    }
  }
  CHECK(taken > 20);
  CHECK(stopped > 5);
}

TEST_CASE("a map of destinations that is made anew, as it grows, lets nothing through") {
  std::vector<Texts> policies;
  for (int i = 0; i < 32; ++i) {
    policies.push_back({"20.0." + std::to_string(2 * i) + ".0/24", "30.0.0.0/24"});
  }
  policies.push_back({"8.8.8.8"});
  const NodePlan old = plan(pods_to(policies));
  policies.push_back({"20.0.0.0/24"});
  const NodePlan now = plan(pods_to(policies));
  REQUIRE(ip4(old).sets.at("to_24").size == 64);
  REQUIRE(ip4(now).sets.at("to_24").size == 256);
  CHECK(ip4(now).sets.at("to_other").size == 256); // all of them together
  CHECK(ip4(now).sets.at("to_32").size == 256);
  for (const auto& [from, to] : {std::pair{&old, &now}, std::pair{&now, &old}}) {
    Packet undisturbed = packet("10.244.1.1", "30.0.0.9");
    REQUIRE(run(ip4(*from), "prerouting", undisturbed) == Verdict::Accept);
    for (std::size_t at = 0; at <= undisturbed.lookups; ++at) {
      Packet x = packet("10.244.1.1", "30.0.0.9");
      x.reload = Reload{&ip4(*to), at, false};
      const Verdict verdict = run(ip4(*from), "prerouting", x);
      CHECK((verdict == Verdict::Drop || x.mark != 0));
    }
  }
}

TEST_CASE("whose class has other data under the same number is told of, and of what EIPs") {
  const NodePlan p = plan(pods_to({{"20.0.0.0/24"}, {"20.0.0.0/24"}}));
  net::State after = p.state;
  net::Elements& elements = after.tables.at(net::NftFamily::Ip).sets.at("to_24").elements;
  const net::ElementKey key = elements.begin()->first;
  elements.insert_or_assign(key, net::Bytes{9, 0, 0, 0});
  const Affected told = affected(p.state, after);
  CHECK(told.pods.size() == 1);
  CHECK(told.released == told.pods);
  CHECK(affected(p.state, p.state).pods.empty());
}

TEST_CASE("numbers of classes are never those of what is decided") {
  const NodePlan p = plan(pods_to({{"20.0.0.0/24"}, {}}));
  for (const auto& [id, data] : ip4(p).sets.at("classes").elements) {
    std::uint32_t number = 0;
    for (int byte = 3; byte >= 0; --byte) number = number << 8U | id.first.begin()[byte];
    CHECK((number & kClassBit) != 0);
  }
}

TEST_SUITE_BEGIN("netns");

TEST_CASE("the kernel gives classes that are data back, and nft lists them") {
  const test::Netns ns;
  const test::Netns::Inside inside(ns);
  net::Kernel kernel{net::Ownership{}};
  AgentWorld w = pods_to({{"20.0.0.0/24", "30.0.0.0/15"}, {"8.8.8.8"}});
  add(w, pod("default", "six", {{"app", "six"}}, {"fd44:0:0:1::6"}));
  auto p = policy("default", "six", "eg", 3);
  p.spec.dest_subnet = {"2600::/48", "2600:1::1"};
  add(w, p);
  place(w, "eg", "node2", entry(3));
  net::State wanted;
  wanted.tables = plan(w).state.tables;
  CHECK(kernel.apply(net::diff(kernel.observe().state, wanted)).empty());
  CHECK(kernel.observe().state.tables == wanted.tables);
  const std::string listed = test::run("nft list ruleset");
  for (const char* part :
       {"map to_24", "map to_15", "ip daddr & 255.255.255.0", "map @to_24 return", "map @to_other",
        "vmap @ways", "20.0.0.0 : 0x00000001",
        "ip6 daddr & ffff:ffff:ffff::", "2600:1::1 : 0x00000003"}) {
    CHECK_MESSAGE(test::contains(listed, part), part);
  }
}

TEST_SUITE_END();
