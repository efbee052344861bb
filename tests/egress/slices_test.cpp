// SPDX-License-Identifier: Apache-2.0
#include "egress/slices.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <set>

using namespace egw;
using namespace egw::egress;

namespace {

api::EgressPolicy policy(const std::string& name = "app") {
  api::EgressPolicy p;
  p.kind = api::PolicyKind::EgressPolicy;
  p.meta.name = name;
  p.meta.namespace_ = "default";
  p.meta.uid = "uid-1";
  p.spec.gateway = "eg1";
  return p;
}

// Pods that a policy selects, and a server that keeps its slices and takes the changes.
class Kept {
 public:
  void add(int i, const std::string& node = "node1") {
    api::Pod pod;
    pod.meta.namespace_ = "default";
    pod.meta.name = fmt::format("pod{:05}", i);
    pod.meta.uid = pod.meta.name;
    pod.node_name = node;
    pod.ips = {Address::parse(fmt::format("10.1.{}.{}", i / 250, i % 250)).value()};
    if (const auto id = pods.put(pod)) own.select(*id, pods);
  }
  bool remove(int i) {
    const auto id = pods.erase("default", fmt::format("pod{:05}", i), "", "");
    if (!id) return false;
    own.drop(*id);
    pods.release();
    return true;
  }
  SliceChanges apply(const api::EgressPolicy& p, std::size_t most = 1000) {
    SliceChanges changes = own.plan(p, pods, most);
    CHECK(changes.size() <= most);
    for (const auto& s : changes.create) CHECK(records.count(s.meta.name) == 0);
    for (const auto* list : {&changes.create, &changes.update}) {
      for (const auto& s : *list) put(p, s);
    }
    for (const auto& s : changes.remove) {
      own.erase(s.meta.name);
      CHECK(records.erase(s.meta.name) == 1);
    }
    return changes;
  }
  // As the watch brings it.
  void put(const api::EgressPolicy& p, const api::EgressEndpointSlice& slice) {
    own.erase(slice.meta.name);
    SliceRecord& record = records[slice.meta.name] = to_record(slice, names);
    api::ObjectMeta wanted = slice.meta;
    set_slice_meta(p, wanted);
    own.put(record, wanted == slice.meta, pods);
  }
  void check() const {
    std::set<std::string> found;
    for (const auto& [name, slice] : records) {
      CHECK(slice.endpoints.size() <= kMaxEndpoints);
      CHECK_FALSE(slice.endpoints.empty());
      for (const auto& e : slice.endpoints) {
        CHECK(found.emplace(*e.pod).second);
        const auto id = pods.find(*e.namespace_, *e.pod);
        REQUIRE(id);
        CHECK(pods.get(*id)->endpoint == e);
      }
    }
    CHECK(found.size() == pods.size());
  }
  std::size_t small() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        records, [](const auto& r) { return r.second.endpoints.size() <= kMaxEndpoints / 2; }));
  }

  Names names;
  PodTable pods{names};
  PolicySlices own;
  std::map<std::string, SliceRecord> records;
};

} // namespace

TEST_CASE("slices: full ones, labelled and owned, and nothing to do the second time") {
  Kept kept;
  for (int i = 0; i < 250; ++i) kept.add(i);
  CHECK(kept.apply(policy()).size() == 3);
  kept.check();
  CHECK(kept.apply(policy()).empty());
  const auto& meta = kept.records.begin()->second.meta;
  CHECK(*meta.labels.find(api::kLabelPolicyName) == "app");
  CHECK(*meta.labels.find(api::kLabelPolicyKind) == "EgressPolicy");
  CHECK(*meta.labels.find(api::kLabelPolicyUid) == "uid-1");
  CHECK(*meta.labels.find(api::kLabelGateway) == "eg1");
  REQUIRE(meta.owners.size() == 1);
  CHECK(meta.owners[0] ==
        api::OwnerReference{api::kApiVersion, "EgressPolicy", "app", "uid-1", true});
  // Another gateway's name in the policy: labels follow.
  auto other = policy();
  other.spec.gateway = "eg2";
  for (auto& [name, record] : kept.records) kept.own.put(record, false, kept.pods);
  CHECK(kept.apply(other).update.size() == 3);
  CHECK(*kept.records.begin()->second.meta.labels.find(api::kLabelGateway) == "eg2");
}

TEST_CASE("slices: a change rewrites one slice") {
  Kept kept;
  for (int i = 0; i < 350; ++i) kept.add(i);
  kept.apply(policy());
  CHECK(kept.remove(120));
  CHECK(kept.apply(policy()).size() == 1);
  kept.add(900); // goes where there is room
  CHECK(kept.apply(policy()).size() == 1);
  kept.add(7, "node2"); // moved
  CHECK(kept.apply(policy()).size() == 1);
  kept.check();
  CHECK(kept.records.size() == 4);
  // A pod that goes and one that comes: in the same slice.
  CHECK(kept.remove(130));
  kept.add(901);
  CHECK(kept.apply(policy()).size() == 1);
  kept.check();
  // There and back again before it was written.
  kept.add(7, "node3");
  kept.add(7, "node2");
  CHECK(kept.apply(policy()).empty());
}

TEST_CASE("slices: half-empty ones are merged, empty ones go") {
  Kept kept;
  for (int i = 0; i < 300; ++i) kept.add(i);
  kept.apply(policy());
  for (int i = 0; i < 300; ++i) {
    if (i % 3 != 0) CHECK(kept.remove(i));
  }
  kept.apply(policy());
  kept.check();
  CHECK(kept.records.size() <= 2);
  for (int i = 0; i < 300; i += 3) CHECK(kept.remove(i));
  kept.apply(policy());
  CHECK(kept.records.empty());
}

TEST_CASE("slices: names and labels fit, whatever the policy is called") {
  const std::string longest(253, 'p');
  Kept kept;
  for (int i = 0; i < 150; ++i) kept.add(i);
  kept.apply(policy(longest));
  CHECK(kept.records.size() == 2);
  for (const auto& [name, slice] : kept.records) {
    CHECK(name.size() <= 253);
    CHECK(slice.meta.labels.find(api::kLabelPolicyName)->size() <= 63);
  }
}

TEST_CASE("slices: what somebody wrote into them is put right") {
  Kept kept;
  for (int i = 0; i < 120; ++i) kept.add(i);
  const auto made = kept.apply(policy()).create;
  REQUIRE(made.size() == 2);
  // All endpoints twice, and more than a slice may have.
  auto slice = made[0];
  for (const auto& e : made[1].endpoints) slice.endpoints.push_back(e);
  for (const auto& e : made[0].endpoints) slice.endpoints.push_back(e);
  kept.put(policy(), slice);
  kept.apply(policy());
  kept.check();
  // An address that is none, another one, a third one.
  for (const auto& ips :
       {std::vector<std::string>{"nonsense"}, {"10.9.9.9"}, {"10.1.0.0", "10.1.0.1", "10.1.0.2"}}) {
    slice = made[0];
    slice.endpoints[0].ipv4 = ips;
    kept.put(policy(), slice);
    CHECK(kept.apply(policy()).size() == 1);
    kept.check();
  }
  // A pod that is not selected.
  slice = made[0];
  slice.endpoints[0].pod = "stranger";
  kept.put(policy(), slice);
  kept.apply(policy());
  kept.check();
}

TEST_CASE("slices: where writes are scarce, what is missing comes first") {
  Kept kept;
  for (int i = 0; i < 1000; ++i) kept.add(i);
  kept.apply(policy());
  CHECK(kept.records.size() == 10);
  // One pod of each slice goes, and thirty come.
  for (int i = 0; i < 10; ++i) CHECK(kept.remove(100 * i + 5));
  for (int i = 0; i < 30; ++i) kept.add(2000 + i);
  auto changes = kept.apply(policy(), 1);
  CHECK(changes.create.size() == 1); // a slice with room for all of them
  CHECK(changes.create.at(0).endpoints.size() == 30);
  CHECK(changes.more);
  int rounds = 0;
  while (changes.more && rounds < 20) {
    changes = kept.apply(policy(), 1);
    ++rounds;
  }
  CHECK(rounds == 10);
  kept.check();
  // A pod that has moved comes before one that has gone.
  CHECK(kept.remove(17));
  kept.add(950, "node2");
  changes = kept.apply(policy(), 1);
  REQUIRE(changes.update.size() == 1);
  CHECK(std::ranges::any_of(changes.update[0].endpoints,
                            [](const auto& e) { return e.node == "node2"; }));
  CHECK(changes.more);
  CHECK(kept.apply(policy(), 0).empty());
}

TEST_CASE("slices: random churn costs few writes and keeps few slices") {
  std::mt19937 random(7);
  Kept kept;
  for (int i = 0; i < 500; ++i) kept.add(i);
  kept.apply(policy());
  std::size_t writes = 0;
  for (int round = 0; round < 300; ++round) {
    const int i = static_cast<int>(random() % 600);
    if (!kept.remove(i)) kept.add(i);
    writes += kept.apply(policy()).size();
    kept.check();
    CHECK(kept.apply(policy()).empty());
    CHECK(kept.small() <= 1);
  }
  CHECK(writes <= 330);
}

TEST_CASE("slices: under churn that writes can't follow all pods are there in the end") {
  std::mt19937 random(3);
  Kept kept;
  for (int i = 0; i < 2000; ++i) kept.add(i);
  kept.apply(policy());
  for (int round = 0; round < 100; ++round) {
    for (int k = 0; k < 50; ++k) {
      const int i = static_cast<int>(random() % 3000);
      if (!kept.remove(i)) kept.add(i);
    }
    const auto changes = kept.apply(policy(), 1);
    // Whoever waits for an endpoint gets it in the first write.
    CHECK(changes.create.size() + changes.update.size() == 1);
  }
  std::size_t rounds = 0;
  while (!kept.apply(policy(), 1).empty()) REQUIRE(++rounds < 100);
  kept.apply(policy()); // two half-empty ones take two writes
  kept.check();
  CHECK(kept.small() <= 1);
}
