// SPDX-License-Identifier: Apache-2.0
#include "k8s/events.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace egw;
using namespace egw::k8s;
using namespace std::chrono_literals;

namespace {

struct Fixture {
  EventRecorder recorder{{"egw-test", 5min, 3}};
  Now now{Time{1h}, WallTime{400000h}};
  api::ObjectReference gateway{"egressgateway.spidernet.io/v1beta1", "EgressGateway", "g", "",
                               "uid"};

  void pass(Duration d) {
    now.steady += d;
    now.wall += std::chrono::duration_cast<std::chrono::microseconds>(d);
  }
  std::optional<Write> warn(const std::string& message) {
    return recorder.record(gateway, "Warning", "NoNode", message, now);
  }
};

bool has(const Write& write, const std::string& part) {
  return write.body.find(part) != std::string::npos;
}

} // namespace

TEST_CASE_FIXTURE(Fixture, "the first is written at once, the others are counted") {
  const auto first = warn("no node is ready");
  REQUIRE(first);
  CHECK(first->verb == Verb::Create);
  CHECK(first->key.namespace_ == "default"); // of a cluster-scoped object
  CHECK(first->key.name.find("g.") == 0);
  CHECK(has(*first, "no node is ready"));
  CHECK_FALSE(recorder.next_flush());

  for (int i = 0; i < 9; ++i) CHECK_FALSE(warn("no node is ready"));
  CHECK(recorder.flush(now).empty());
  CHECK(recorder.next_flush() == now.steady + 5min);
  pass(5min);
  const auto due = recorder.flush(now);
  REQUIRE(due.size() == 1);
  CHECK(due[0].verb == Verb::MergePatch);
  CHECK(due[0].key == first->key);
  CHECK(has(due[0], R"("count":10)"));
  CHECK(recorder.flush(now).empty());
  CHECK_FALSE(recorder.next_flush());
}

TEST_CASE_FIXTURE(
    Fixture, "another object, reason or message is another event; a restart gives the same name") {
  const auto a = warn("one"), b = warn("two");
  REQUIRE((a && b));
  CHECK(a->key.name != b->key.name);
  auto other = gateway;
  other.uid = "made anew";
  const auto c = recorder.record(other, "Warning", "NoNode", "one", now);
  REQUIRE(c);
  CHECK(c->key.name != a->key.name);
  EventRecorder restarted({"egw-test", 5min, 3});
  CHECK(restarted.record(gateway, "Warning", "NoNode", "one", now)->key == a->key);
}

TEST_CASE_FIXTURE(
    Fixture, "one that stands from before a restart is counted up, one that expired is made anew") {
  const auto first = warn("one");
  const auto patch = recorder.done(*first, Error{"exists", 409}, now);
  REQUIRE(patch);
  CHECK(patch->verb == Verb::MergePatch);
  const auto again = recorder.done(*patch, Error{"not found", 404}, now);
  REQUIRE(again);
  CHECK(again->verb == Verb::Create);
  CHECK_FALSE(recorder.done(*again, std::string("{}"), now));
}

TEST_CASE_FIXTURE(Fixture, "one that was refused is forgotten") {
  const auto first = warn("one");
  CHECK_FALSE(recorder.done(*first, Error{"forbidden", 403}, now));
  CHECK(warn("one"));
}

TEST_CASE_FIXTURE(Fixture, "memory is bounded: the one longest unseen is forgotten") {
  for (const auto* message : {"1", "2", "3"}) CHECK(warn(message));
  CHECK_FALSE(warn("1"));
  CHECK(warn("4")); // "2" goes
  CHECK_FALSE(warn("1"));
  CHECK(warn("2"));
}

TEST_CASE_FIXTURE(Fixture, "long names and messages stay within the API server's bounds") {
  gateway.name = std::string(253, 'n');
  const auto write = warn(std::string(5000, 'm'));
  REQUIRE(write);
  CHECK(write->key.name.size() <= 253);
  CHECK(std::count(write->body.begin(), write->body.end(), 'm') < 1100);
}
