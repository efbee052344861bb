// SPDX-License-Identifier: Apache-2.0
#include "api/meta.hpp"

#include <doctest/doctest.h>

#include "api/egress.hpp"

using namespace egw;
using namespace egw::api;
using std::chrono::microseconds;

namespace {

WallTime at(std::int64_t us) {
  return WallTime{microseconds{us}};
}

Condition ready(const char* status, const char* reason) {
  return {.type = "Ready", .status = status, .reason = reason, .message = "m"};
}

bool holds(SelectorOperator op, std::vector<std::string> values, const Labels& labels) {
  LabelSelector selector;
  selector.match_expressions = {{"app", op, std::move(values)}};
  return selector.matches(labels);
}

} // namespace

TEST_CASE("labels are sorted by key, one value each") {
  Labels labels{{"b", "1"}, {"a", "2"}, {"b", "3"}};
  REQUIRE(labels.items().size() == 2);
  CHECK(labels.items().front().first == "a");
  REQUIRE(labels.find("b").has_value());
  CHECK(*labels.find("b") == "3");
  CHECK_FALSE(labels.find("c").has_value());
  CHECK(labels == Labels{{"a", "2"}, {"b", "3"}});
  labels.erase("a");
  labels.erase("zzz");
  CHECK(labels == Labels{{"b", "3"}});
  labels.set("b", "");
  CHECK(*labels.find("b") == "");
  labels.erase("b");
  CHECK(labels.empty());
  CHECK(labels.items().size() == 0);
}

TEST_CASE("labels are walked through in order, and hold any text") {
  const std::string nul("a\0b", 3), large(70000, 'x');
  Labels labels;
  labels.set(nul, large);
  labels.set("a", nul);
  labels.set("", "empty");
  std::vector<std::pair<std::string, std::string>> found;
  for (const auto& [key, value] : labels.items()) found.emplace_back(key, value);
  CHECK(found == decltype(found){{"", "empty"}, {"a", nul}, {nul, large}});
}

TEST_CASE("selectors match as in Kubernetes") {
  using enum SelectorOperator;
  const Labels web{{"app", "web"}, {"tier", "front"}};
  const Labels none;
  CHECK(LabelSelector{}.matches(none));
  CHECK(holds(In, {"db", "web"}, web));
  CHECK_FALSE(holds(In, {"db"}, web));
  CHECK_FALSE(holds(In, {"web"}, none));
  CHECK_FALSE(holds(In, {}, web));
  CHECK(holds(NotIn, {"db"}, web));
  CHECK_FALSE(holds(NotIn, {"web"}, web));
  CHECK(holds(NotIn, {"web"}, none)); // without the key
  CHECK(holds(Exists, {}, web));
  CHECK_FALSE(holds(Exists, {}, none));
  CHECK(holds(DoesNotExist, {}, none));
  CHECK_FALSE(holds(DoesNotExist, {}, web));

  LabelSelector both;
  both.match_labels.set("tier", "front");
  both.match_expressions = {{"app", In, {"web"}}};
  CHECK(both.matches(web));
  CHECK_FALSE(both.matches(Labels{{"app", "web"}}));
  CHECK_FALSE(both.matches(Labels{{"tier", "front"}}));
}

TEST_CASE("a condition's time changes with its status alone") {
  std::vector<Condition> conditions;
  set_condition(conditions, ready("False", "Starting"), at(5'700'000));
  REQUIRE(conditions.size() == 1);
  CHECK(conditions[0].last_transition == at(5'000'000)); // whole seconds, as in the API

  set_condition(conditions, {.type = "Accepted", .status = "True", .reason = "", .message = ""},
                at(6'000'000));
  set_condition(conditions, ready("False", "Other"), at(7'000'000));
  CHECK(conditions[0].reason == "Other");
  CHECK(conditions[0].last_transition == at(5'000'000));

  set_condition(conditions, ready("True", "Done"), at(8'999'999));
  CHECK(conditions[0].last_transition == at(8'000'000));
  REQUIRE(conditions.size() == 2);
  CHECK(conditions[1].type == "Accepted");
  CHECK(find_condition(conditions, "Ready") == &conditions[0]);
  CHECK(find_condition(conditions, "Nothing") == nullptr);
}

TEST_CASE("names for people") {
  CHECK(NamespacedName{"default", "app"}.to_string() == "default/app");
  CHECK(NamespacedName{"", "app"}.to_string() == "app");
  CHECK(PolicyKey{PolicyKind::EgressPolicy, "default", "app"}.to_string() ==
        "EgressPolicy default/app");
  CHECK(PolicyKey{PolicyKind::EgressClusterPolicy, "", "app"}.to_string() ==
        "EgressClusterPolicy app");
}

TEST_CASE("words of kinds and phases") {
  for (const auto kind : {PolicyKind::EgressGatewayPolicy, PolicyKind::EgressPolicy,
                          PolicyKind::EgressClusterPolicy}) {
    CHECK(parse_policy_kind(to_string(kind)) == kind);
  }
  CHECK_FALSE(parse_policy_kind("Pod").has_value());
  for (int i = 0; i <= static_cast<int>(NodePhase::NodeNotReady); ++i) {
    CHECK(parse_node_phase(to_string(static_cast<NodePhase>(i))) == static_cast<NodePhase>(i));
  }
  CHECK(parse_node_phase("HeartbeatTimeout") == NodePhase::Pending);
}
