// SPDX-License-Identifier: Apache-2.0
#include "egress/slices.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

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

void add(Endpoints& wanted, int i, const std::string& node = "node1") {
  const std::string name = fmt::format("pod{:05}", i);
  wanted[{"default", name}] = {
      "default", name, node, {fmt::format("10.1.{}.{}", i / 250, i % 250)}, {}};
}

// A server that keeps slices, and takes the changes.
class Kept {
 public:
  std::size_t apply(const api::EgressPolicy& p, const Endpoints& wanted) {
    std::vector<const api::EgressEndpointSlice*> current;
    for (const auto& [name, slice] : slices) current.push_back(&slice);
    const SliceChanges changes = plan_slices(p, current, wanted);
    for (const auto& s : changes.create) CHECK(slices.emplace(s.meta.name, s).second);
    for (const auto& s : changes.update) slices.at(s.meta.name) = s;
    for (const auto& s : changes.remove) CHECK(slices.erase(s.meta.name) == 1);
    return changes.size();
  }
  void check(const Endpoints& wanted) const {
    Endpoints found;
    for (const auto& [name, slice] : slices) {
      CHECK(slice.endpoints.size() <= kMaxEndpoints);
      CHECK_FALSE(slice.endpoints.empty());
      for (const auto& e : slice.endpoints)
        CHECK(found.emplace(api::NamespacedName{e.namespace_, e.pod}, e).second);
    }
    CHECK(found == wanted);
  }
  std::map<std::string, api::EgressEndpointSlice> slices;
};

} // namespace

TEST_CASE("slices: full ones, labelled and owned, and nothing to do the second time") {
  Endpoints wanted;
  for (int i = 0; i < 250; ++i) add(wanted, i);
  Kept kept;
  CHECK(kept.apply(policy(), wanted) == 3);
  kept.check(wanted);
  CHECK(kept.apply(policy(), wanted) == 0);
  const auto& meta = kept.slices.begin()->second.meta;
  CHECK(*meta.labels.find(api::kLabelPolicyName) == "app");
  CHECK(*meta.labels.find(api::kLabelPolicyKind) == "EgressPolicy");
  CHECK(*meta.labels.find(api::kLabelPolicyUid) == "uid-1");
  CHECK(*meta.labels.find(api::kLabelGateway) == "eg1");
  REQUIRE(meta.owners.size() == 1);
  CHECK(meta.owners[0] ==
        api::OwnerReference{api::kApiVersion, "EgressPolicy", "app", "uid-1", true});
  Kept again;
  again.apply(policy(), wanted);
  CHECK(again.slices == kept.slices);
}

TEST_CASE("slices: a change rewrites one slice") {
  Endpoints wanted;
  for (int i = 0; i < 350; ++i) add(wanted, i);
  Kept kept;
  kept.apply(policy(), wanted);
  wanted.erase({"default", "pod00120"});
  CHECK(kept.apply(policy(), wanted) == 1);
  add(wanted, 900); // goes where there is room
  CHECK(kept.apply(policy(), wanted) == 1);
  add(wanted, 7, "node2"); // moved
  CHECK(kept.apply(policy(), wanted) == 1);
  kept.check(wanted);
  CHECK(kept.slices.size() == 4);
  // A pod that goes and one that comes: in the same slice.
  wanted.erase({"default", "pod00130"});
  add(wanted, 901);
  CHECK(kept.apply(policy(), wanted) == 1);
  kept.check(wanted);
}

TEST_CASE("slices: half-empty ones are merged, empty ones go") {
  Endpoints wanted;
  for (int i = 0; i < 300; ++i) add(wanted, i);
  Kept kept;
  kept.apply(policy(), wanted);
  for (int i = 0; i < 300; ++i) {
    if (i % 3 != 0) wanted.erase({"default", fmt::format("pod{:05}", i)});
  }
  kept.apply(policy(), wanted);
  kept.check(wanted);
  CHECK(kept.slices.size() <= 2);
  wanted.clear();
  kept.apply(policy(), wanted);
  CHECK(kept.slices.empty());
}

TEST_CASE("slices: names and labels fit, whatever the policy is called") {
  const std::string longest(253, 'p');
  Endpoints wanted;
  for (int i = 0; i < 150; ++i) add(wanted, i);
  Kept kept;
  kept.apply(policy(longest), wanted);
  CHECK(kept.slices.size() == 2);
  for (const auto& [name, slice] : kept.slices) {
    CHECK(name.size() <= 253);
    CHECK(slice.meta.labels.find(api::kLabelPolicyName)->size() <= 63);
  }
}

TEST_CASE("slices: endpoints twice, or in a slice that is too large, are put right") {
  Endpoints wanted;
  for (int i = 0; i < 120; ++i) add(wanted, i);
  Kept kept;
  kept.apply(policy(), wanted);
  auto& slice = kept.slices.begin()->second;
  for (const auto& [name, endpoint] : wanted) slice.endpoints.push_back(endpoint);
  kept.apply(policy(), wanted);
  kept.check(wanted);
}

TEST_CASE("slices: random churn costs few writes and keeps few slices") {
  std::mt19937 random(7);
  Endpoints wanted;
  Kept kept;
  for (int i = 0; i < 500; ++i) add(wanted, i);
  kept.apply(policy(), wanted);
  std::size_t writes = 0;
  for (int round = 0; round < 300; ++round) {
    const int i = static_cast<int>(random() % 600);
    if (wanted.erase({"default", fmt::format("pod{:05}", i)}) == 0) add(wanted, i);
    writes += kept.apply(policy(), wanted);
    kept.check(wanted);
    CHECK(kept.apply(policy(), wanted) == 0);
    std::size_t small = 0;
    for (const auto& [name, slice] : kept.slices) small += slice.endpoints.size() <= 50 ? 1 : 0;
    CHECK(small <= 1);
  }
  CHECK(writes <= 330);
}
