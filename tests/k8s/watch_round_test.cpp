// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "k8s/watch_fixture.hpp"

// Watches that are opened anew, and watches that find their server together.

using namespace egw;
using namespace egw::test;

namespace {

constexpr k8s::BackoffOptions kLong{30s, 30s}; // longer than any test waits

} // namespace

TEST_CASE_FIXTURE(WatchFixture, "a round opens the stream anew, and it goes on where it was") {
  list(10, {node_json("a", 3)});
  server.expect("GET", from(10), Reply::stream().event("ADDED", node_json("b", 11)).hold());
  server.expect("GET", from(11), Reply::stream().event("ADDED", node_json("c", 12)).hold());
  start();
  CHECK(cache.await({"a@3", "b@11"}));
  watch->begin_round();
  CHECK(cache.await_round(1));
  CHECK(cache.await({"a@3", "b@11", "c@12"}));
  finish();
  CHECK(cache.errors().empty());
  CHECK(watch->metrics().lists == 1);
  CHECK(watch->metrics().failures == 0);
}

TEST_CASE_FIXTURE(WatchFixture, "a round lists anew where the server does not know the way on") {
  list(10, {node_json("a", 3)});
  server.expect("GET", from(10), Reply::stream().hold());
  server.expect("GET", from(10), Reply::gone("too old"));
  list(50, {node_json("c", 45)});
  server.expect("GET", from(50), Reply::stream().hold());
  start();
  CHECK(cache.await({"a@3"}));
  CHECK(server.await_requests(2, std::chrono::milliseconds(kPatience)));
  watch->begin_round();
  CHECK(cache.await({"c@45"}));
  CHECK(cache.await_round(1));
  finish();
}

TEST_CASE_FIXTURE(WatchFixture,
                  "an answer that turns out to be too old is taken back until the list is there") {
  list(10, {node_json("a", 3)});
  server.expect("GET", from(10), Reply::stream().hold());
  server.expect("GET", from(10), Reply::stream().error_event(410, "Expired", "too old"));
  server.expect("GET", kList,
                Reply::stream().stall("list").text(list_json(50, {node_json("c", 45)})));
  server.expect("GET", from(50), Reply::stream().hold());
  start();
  CHECK(cache.await({"a@3"}));
  CHECK(server.await_requests(2, std::chrono::milliseconds(kPatience)));
  watch->begin_round();
  CHECK(server.await_stall("list", std::chrono::milliseconds(kPatience)));
  CHECK(cache.answered_round() == std::nullopt);
  server.release("list");
  CHECK(cache.await_round(1));
  CHECK(cache.names() == Names{"c@45"});
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "a round begins a list that is under way again") {
  server.expect("GET", kList, Reply::stream().hold());
  list(50, {node_json("a", 3)});
  server.expect("GET", from(50), Reply::stream().hold());
  start();
  CHECK(server.await_requests(1, std::chrono::milliseconds(kPatience)));
  watch->begin_round();
  CHECK(cache.await_round(1));
  finish();
  CHECK(cache.errors().empty());
}

TEST_CASE_FIXTURE(WatchFixture, "a round does not wait for the next try") {
  options.backoff = kLong;
  server.expect("GET", kList, Reply::status(500, "InternalError", "no"));
  list(50, {node_json("a", 3)});
  server.expect("GET", from(50), Reply::stream().hold());
  start();
  CHECK(cache.await_error("no"));
  watch->begin_round();
  CHECK(cache.await_round(1));
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "a failure is told again in each round") {
  options.backoff = kLong;
  server.allow("GET", kList, Reply::status(403, "Forbidden", "not yours"));
  start();
  CHECK(cache.await_error_of_round(0));
  for (std::uint64_t round = 1; round <= 3; ++round) {
    watch->begin_round();
    CHECK(cache.await_error_of_round(round));
  }
  watch->stop();
}

TEST_CASE_FIXTURE(WatchFixture,
                  "rounds that follow each other at once end with an answer of the last") {
  server.allow("GET", kList, Reply::body(200, list_json(10, {node_json("a", 3)})));
  server.allow("GET", from(10), Reply::stream().hold());
  start();
  for (int i = 0; i < 100; ++i) watch->begin_round();
  CHECK(cache.await_round(100));
  CHECK(cache.errors().empty());
  watch->stop();
}

TEST_CASE_FIXTURE(WatchFixture,
                  "once a watch has found the server again, its group tries at once") {
  server.allow("GET", kList, Reply::body(200, list_json(10, {node_json("a", 3)})));
  server.allow("GET", from(10), Reply::stream().hold());
  server.refuse();
  options.backoff = kLong;
  options.group = std::make_shared<k8s::WatchGroup>();
  NodeCache other_cache;
  start();
  k8s::Watch<api::Node> other(config_for(server), options, other_cache.sink());
  CHECK(cache.await_error("https://"));
  CHECK(other_cache.await_error("https://"));
  server.accept_again();
  watch->begin_round();
  CHECK(cache.await_round(1));
  CHECK(other_cache.await({"a@3"}));
  CHECK(other.metrics().lists == 1);
  other.stop();
  watch->stop();
}
