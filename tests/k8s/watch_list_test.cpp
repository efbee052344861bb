// SPDX-License-Identifier: Apache-2.0
#include "k8s/watch.hpp"

#include <doctest/doctest.h>

#include "k8s/watch_fixture.hpp"

// Lists that are none, lists that do not last, and kinds that are served in another version.

using namespace egw;
using namespace egw::test;

TEST_CASE_FIXTURE(WatchFixture, "an answer that is no list empties no store") {
  list(10, {node_json("a", 3)});
  server.expect("GET", from(10), Reply::gone("too old"));
  server.expect("GET", kList,
                Reply::body(200, R"({"kind":"Status","apiVersion":"v1","status":"Success"})"));
  server.expect("GET", kList, Reply::body(200, R"({"kind":"NodeList","metadata":{},"items":[]})"));
  list(50, {node_json("a", 3), node_json("b", 45)});
  server.expect("GET", from(50), Reply::stream().hold());
  start();
  CHECK(cache.await({"a@3", "b@45"}));
  finish();
  CHECK(cache.await_error("not a list"));
  CHECK(cache.changes() == 2); // a was never away
}

TEST_CASE_FIXTURE(WatchFixture,
                  "lists that expire as soon as they are complete come ever more slowly") {
  options.streaming = true;
  options.backoff = {20ms, 10s};
  server.allow("GET", "/api/v1/nodes?sendInitialEvents=true",
               Reply::stream()
                   .event("ADDED", node_json("a", 3))
                   .event("BOOKMARK", bookmark_json(10, true))
                   .error_event(410, "Expired", "too old"));
  const auto begun = now().steady;
  start();
  CHECK(server.await_requests(6, std::chrono::milliseconds(kPatience)));
  // The second list follows at once; then at least half of 20, 40, 80 and 160 ms.
  CHECK(now().steady - begun >= 150ms);
  watch->stop();
}

TEST_CASE_FIXTURE(WatchFixture, "a list in pieces: the last one tells what is gone") {
  options.piece_size = 2;
  list(10, {node_json("a", 3), node_json("b", 4), node_json("c", 5), node_json("d", 6)});
  server.expect("GET", from(10), Reply::gone("too old"));
  list(50, {node_json("b", 4), node_json("d", 41), node_json("e", 42)});
  server.expect("GET", from(50), Reply::stream().hold());
  start();
  CHECK(cache.await({"b@4", "d@41", "e@42"}));
  CHECK(cache.largest_piece() == 2);
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "a list in pieces that breaks off is begun anew") {
  options.streaming = true;
  options.piece_size = 1;
  const auto initial =
      "/api/v1/nodes?watch=true&sendInitialEvents=true"
      "&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&!resourceVersion";
  server.expect(
      "GET", initial,
      Reply::stream().event("ADDED", node_json("x", 3)).event("ADDED", node_json("a", 4)).cut());
  server.expect("GET", initial,
                Reply::stream()
                    .event("ADDED", node_json("a", 4))
                    .event("ADDED", node_json("b", 5))
                    .event("DELETED", node_json("b", 21)) // of a piece that was told
                    .event("BOOKMARK", bookmark_json(22, true))
                    .hold());
  start();
  CHECK(cache.await({"a@4"})); // and x, which the first one told, is gone
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "a kind that is served in another version is read from there") {
  constexpr api::Resource kOther{"example.org", "v1beta1", "nodes", "Node", false};
  constexpr const char* kOtherList = "/apis/example.org/v1beta1/nodes?!watch";
  const auto other_from = [](int version) {
    return fmt::format(
        "/apis/example.org/v1beta1/nodes?watch=true&allowWatchBookmarks=true&resourceVersion={}",
        version);
  };
  const auto missing = [] { return Reply::status(404, "NotFound", "no such kind"); };
  options.other_version = &kOther;
  SUBCASE("at once") {
    server.expect("GET", kList, missing());
    server.expect("GET", kOtherList, Reply::body(200, list_json(10, {node_json("a", 3)})));
    server.expect("GET", other_from(10), Reply::stream().hold());
    start();
    CHECK(cache.await({"a@3"}));
    finish();
    CHECK(cache.errors().empty());
    CHECK(watch->metrics().failures == 0);
  }
  SUBCASE("when it comes, while there was none before") {
    server.expect("GET", kList, missing());
    server.expect("GET", kOtherList, missing());
    server.expect("GET", kList, missing());
    server.expect("GET", kOtherList, Reply::body(200, list_json(10, {node_json("a", 3)})));
    server.expect("GET", other_from(10), Reply::stream().hold());
    start();
    CHECK(cache.await({"a@3"}));
    CHECK(cache.await_error("no such kind")); // told when both were missing
    CHECK(cache.await_healthy());
    finish();
  }
  SUBCASE("after an upgrade that ends the one in use") {
    server.expect("GET", kList, missing());
    server.expect("GET", kOtherList, Reply::body(200, list_json(10, {node_json("a", 3)})));
    server.expect("GET", other_from(10), missing());
    list(20, {node_json("a", 3), node_json("b", 15)});
    server.expect("GET", from(20), Reply::stream().hold());
    start();
    CHECK(cache.await({"a@3", "b@15"}));
    finish();
    CHECK(cache.errors().empty());
  }
}
