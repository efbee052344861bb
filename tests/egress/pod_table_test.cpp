// SPDX-License-Identifier: Apache-2.0
#include "egress/pod_table.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

using namespace egw;
using namespace egw::egress;

namespace {

api::Pod pod(const std::string& ns, const std::string& name, int version,
             const std::string& ip = "10.1.0.1") {
  api::Pod p;
  p.meta.namespace_ = ns;
  p.meta.name = name;
  p.meta.uid = "uid-" + name;
  p.meta.resource_version = std::to_string(version);
  p.meta.labels = {{"app", "web"}};
  p.node_name = "node1";
  p.ips = {Address::parse(ip).value()};
  p.phase = api::PodPhase::Running;
  return p;
}

} // namespace

TEST_CASE("pod table: newer versions replace, older and equal ones change nothing") {
  Names names;
  PodTable table(names);
  const auto id = table.put(pod("ns", "a", 5));
  REQUIRE(id);
  CHECK_FALSE(table.put(pod("ns", "a", 7))); // another version alone is no change
  CHECK_FALSE(table.put(pod("ns", "a", 6, "10.1.0.2")));
  CHECK(table.put(pod("ns", "a", 8, "10.1.0.2")) == id);
  CHECK(table.get(*id)->view().ips[0] == Address::parse("10.1.0.2").value());
  auto ended = pod("ns", "a", 9, "10.1.0.2");
  ended.phase = api::PodPhase::Succeeded;
  CHECK(table.put(ended) == id);
  CHECK(table.get(*id)->ended);
  CHECK(to_endpoint(table.get(*id)->endpoint) ==
        api::Endpoint{"ns", "a", "node1", {"10.1.0.2"}, {}});
}

TEST_CASE("pod table: deletions of what is older do not count, and an id rests until release()") {
  Names names;
  PodTable table(names);
  const auto id = table.put(pod("ns", "a", 5)).value();
  CHECK_FALSE(table.erase("ns", "a", "4", ""));
  CHECK_FALSE(table.erase("ns", "other", "9", ""));
  CHECK_FALSE(table.erase("ns", "a", "", "uid-of-an-earlier-one"));
  CHECK(table.erase("ns", "a", "6", "uid-of-an-earlier-one") == id); // later than what is known
  CHECK(table.get(id) == nullptr);
  CHECK_FALSE(table.find("ns", "a"));
  CHECK(table.in("ns").empty());
  const auto again = table.put(pod("ns", "a", 7)).value();
  CHECK(again != id);
  table.release();
  CHECK(table.put(pod("ns", "b", 8)) == id);
}

TEST_CASE("pod table: texts that pods share are kept once, and go with the last of them") {
  Names names;
  {
    PodTable table(names);
    for (int i = 0; i < 100; ++i) table.put(pod("ns", fmt::format("pod{}", i), i + 1));
    CHECK(names.texts.size() == 2); // namespace, node
    CHECK(names.pods.size() == 100);
    CHECK(names.labels.size() == 1);
    for (int i = 0; i < 50; ++i) table.erase("ns", fmt::format("pod{}", i), "", "");
    table.release();
    CHECK(names.texts.size() == 2);
    CHECK(names.pods.size() == 50);
  }
  CHECK(names.texts.size() == 0);
  CHECK(names.pods.size() == 0);
  CHECK(names.labels.size() == 0);
}

TEST_CASE("pod table: random changes, beside a map") {
  std::mt19937 random(11);
  Names names;
  PodTable table(names);
  std::map<std::pair<std::string, std::string>, std::string> wanted; // -> ip
  for (int i = 1; i < 4000; ++i) {
    const std::string ns = fmt::format("ns{}", random() % 5);
    const std::string name = fmt::format("p{}", random() % 200);
    if (random() % 3 == 0) {
      CHECK(table.erase(ns, name, "", "").has_value() == (wanted.erase({ns, name}) == 1));
    } else {
      const std::string ip = fmt::format("10.1.{}.{}", random() % 250, random() % 250);
      table.put(pod(ns, name, i, ip));
      wanted[{ns, name}] = ip;
    }
    if (random() % 7 == 0) table.release();
  }
  CHECK(table.size() == wanted.size());
  std::set<PodId> seen;
  for (const auto& [key, ip] : wanted) {
    const auto id = table.find(key.first, key.second);
    REQUIRE(id);
    CHECK(seen.insert(*id).second);
    CHECK(table.get(*id)->view().ips[0].to_string() == ip);
    const auto list = table.in(key.first);
    CHECK(std::ranges::count(list, *id) == 1);
  }
  std::size_t all = 0;
  table.for_each([&](PodId id) { all += seen.count(id); });
  CHECK(all == wanted.size());
  CHECK(table.capacity() <= 1001);
}
