// SPDX-License-Identifier: Apache-2.0
#include "k8s/watch.hpp"

#include <doctest/doctest.h>

#include "k8s/watch_fixture.hpp"

using namespace egw;
using namespace egw::test;

namespace {

constexpr const char* kNodes = "/api/v1/nodes";

} // namespace

TEST_CASE_FIXTURE(WatchFixture, "a watch lists, then follows from the list's version") {
  list(10, {node_json("a", 3), node_json("b", 7)});
  server.expect("GET", from(10),
                Reply::stream()
                    .event("ADDED", node_json("c", 11))
                    .event("MODIFIED", node_json("a", 12, "u", "192.0.2.9"))
                    .event("DELETED", node_json("b", 13))
                    .event("BOOKMARK", bookmark_json(20))
                    .hold());
  const auto before = now().wall.time_since_epoch().count();
  start();
  CHECK(cache.await({"a@12", "c@11"}));
  CHECK(watch->metrics().lists == 1);
  CHECK(watch->metrics().listed_us >= before);
  CHECK(watch->metrics().listed_us <= now().wall.time_since_epoch().count());
  CHECK(watch->metrics().events == 3);
  CHECK(watch->metrics().synced == 1);
  CHECK(cache.errors().empty());
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "a stream that ends in order is taken up at its last bookmark") {
  list(10, {node_json("a", 3)});
  server.expect("GET", from(10), Reply::stream().event("BOOKMARK", bookmark_json(40)));
  server.expect("GET", from(40), Reply::stream().event("ADDED", node_json("b", 41)));
  server.expect("GET", from(41), Reply::stream().hold());
  start();
  CHECK(cache.await({"a@3", "b@41"}));
  finish();
  CHECK(watch->metrics().lists == 1);
}

TEST_CASE_FIXTURE(WatchFixture, "410 as status: what vanished during the gap vanishes here") {
  list(10, {node_json("a", 3), node_json("b", 4)});
  server.expect("GET", from(10), Reply::gone("too old resource version"));
  list(50, {node_json("b", 4), node_json("c", 45)});
  server.expect("GET", from(50), Reply::stream().hold());
  start();
  CHECK(cache.await({"b@4", "c@45"}));
  finish();
  CHECK(watch->metrics().gone == 1);
  CHECK(watch->metrics().lists == 2);
  CHECK(cache.errors().empty()); // mended by itself: nothing to tell
}

TEST_CASE_FIXTURE(WatchFixture, "410 as ERROR event in a 200 stream") {
  list(10, {node_json("a", 3)});
  server.expect(
      "GET", from(10),
      Reply::stream().event("ADDED", node_json("b", 11)).error_event(410, "Expired", "too old"));
  list(50, {node_json("a", 3)});
  server.expect("GET", from(50), Reply::stream().hold());
  start();
  CHECK(cache.await_replaced(2));
  CHECK(cache.names() == Names{"a@3"});
  finish();
}

TEST_CASE_FIXTURE(WatchFixture,
                  "another ERROR event: taken up where it broke off, then listed anew") {
  list(10, {node_json("a", 3)});
  server.expect("GET", from(10), Reply::stream().error_event(500, "InternalError", "etcd is gone"),
                2);
  list(60, {node_json("a", 55)});
  server.expect("GET", from(60), Reply::stream().hold());
  start();
  CHECK(cache.await_error("etcd is gone"));
  CHECK(cache.await({"a@55"}));
  CHECK(cache.await_healthy());
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "429: waits as long as it was told, and does not list again") {
  list(10, {node_json("a", 3)});
  server.expect("GET", from(10), Reply::too_many(1));
  server.expect("GET", from(10), Reply::stream().event("ADDED", node_json("b", 11)).hold());
  const auto begun = now().steady;
  start();
  CHECK(cache.await({"a@3", "b@11"}));
  CHECK(now().steady - begun >= 1s);
  finish();
}

TEST_CASE_FIXTURE(WatchFixture,
                  "cut in mid-line: the rest comes again, nothing is lost or doubled") {
  list(10, {node_json("a", 3)});
  const auto half = node_json("c", 12).substr(0, 40);
  server.expect("GET", from(10),
                Reply::stream()
                    .event("ADDED", node_json("b", 11))
                    .text(R"({"type":"ADDED","object":)" + half)
                    .cut());
  server.expect("GET", from(11), Reply::stream().event("ADDED", node_json("c", 12)).hold());
  start();
  CHECK(cache.await({"a@3", "b@11", "c@12"}));
  finish();
  CHECK(cache.changes() == 3);
}

TEST_CASE_FIXTURE(WatchFixture, "reset by the peer") {
  list(10, {});
  server.expect("GET", from(10), Reply::stream().event("ADDED", node_json("b", 11)).reset());
  server.expect("GET", from(11), Reply::stream().event("DELETED", node_json("b", 12)).hold());
  start();
  CHECK(cache.await({}));
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "streams that end at once: each waits longer than the one before") {
  options.backoff = {20ms, 1000ms};
  list(10, {node_json("a", 3)});
  server.allow("GET", from(10), Reply::stream());
  start();
  CHECK(cache.await_error("ended at once"));
  const auto begun = now().steady;
  CHECK(server.await_requests(6, std::chrono::milliseconds(kPatience)));
  // Requests 2 to 6 are streams; before the last three stand delays of at least 20, 40 and 80 ms.
  CHECK(now().steady - begun >= 70ms);
  CHECK(watch->metrics().lists == 1);
  watch->stop();
}

TEST_CASE_FIXTURE(WatchFixture, "a stream that stalls is given up after the idle timeout") {
  options.idle_timeout = 50ms;
  list(10, {node_json("a", 3)});
  server.expect("GET", from(10), Reply::stream().event("ADDED", node_json("b", 11)).hold());
  server.expect("GET", from(11), Reply::stream().event("ADDED", node_json("c", 12)));
  server.allow("GET", from(12), Reply::stream().hold());
  start();
  CHECK(cache.await({"a@3", "b@11", "c@12"}));
  CHECK(cache.await_error("fell silent"));
  watch->stop();
}

TEST_CASE_FIXTURE(WatchFixture,
                  "garbage in the stream: said, and taken up where it was right last") {
  list(10, {node_json("a", 3)});
  server.expect("GET", from(10), Reply::stream().event("ADDED", node_json("b", 11)).line("<html>"));
  server.expect("GET", from(11), Reply::stream().line(R"({"type":"NEWS","object":{}})"));
  server.expect("GET", from(11),
                Reply::stream().line(R"({"type":"ADDED","object":{"metadata":{}}})"));
  server.expect("GET", from(11), Reply::stream().event("ADDED", node_json("c", 12)).hold());
  start();
  CHECK(cache.await({"a@3", "b@11", "c@12"}));
  CHECK(cache.await_error("not an event"));
  CHECK(cache.await_healthy());
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "after garbage a stream that is only quiet is known to be right") {
  options.healthy_after = 0ms;
  list(10, {node_json("a", 3)});
  server.expect("GET", from(10), Reply::stream().line("<html>"));
  server.expect("GET", from(10) + "&timeoutSeconds=1", Reply::stream()); // that time, and no word
  server.expect("GET", from(10), Reply::stream().hold());
  start();
  CHECK(cache.await_error("not an event"));
  CHECK(cache.await_healthy());
  CHECK(watch->metrics().lists == 1);
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "garbage instead of a list") {
  server.expect("GET", kList, Reply::body(200, "<html>welcome</html>"));
  server.expect("GET", kList, Reply::body(200, R"({"kind":"NodeList","items":[{"metadata":)"));
  server.expect("GET", kList, Reply::body(200, list_json(9, {R"({"metadata":nonsense})"})));
  list(10, {node_json("a", 3)});
  server.expect("GET", from(10), Reply::stream().hold());
  start();
  CHECK(cache.await({"a@3"}));
  CHECK(cache.await_error("not a list"));
  CHECK(cache.await_healthy());
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "a list that is cut off is not taken") {
  server.expect("GET", kList,
                Reply::body(200, list_json(9, {node_json("x", 1), node_json("y", 2)})).cut());
  list(10, {node_json("a", 3)});
  server.expect("GET", from(10), Reply::stream().hold());
  start();
  CHECK(cache.await({"a@3"}));
  CHECK(cache.changes() == 1);
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "pages of one snapshot, with all that was selected") {
  options.label_selector = "a in (b,c)";
  options.field_selector = "spec.nodeName=n1";
  options.page_size = 2;
  server.expect(
      "GET", kNodes + std::string("?limit=2&!continue&!resourceVersion&labelSelector=a in (b,c)"),
      Reply::body(200, list_json(10, {node_json("a", 3), node_json("b", 4)}, "t/1")));
  server.expect("GET", "/api/v1/nodes?limit=2&continue=t/1&fieldSelector=spec.nodeName=n1",
                Reply::body(200, list_json(10, {node_json("c", 5)})));
  server.expect("GET", from(10) + "&labelSelector=a in (b,c)&!limit&!continue",
                Reply::stream().hold());
  start();
  CHECK(cache.await({"a@3", "b@4", "c@5"}));
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "pages that expired begin anew") {
  server.expect("GET", "/api/v1/nodes?!continue&!watch",
                Reply::body(200, list_json(10, {node_json("a", 3)}, "t1")));
  server.expect("GET", "/api/v1/nodes?continue=t1", Reply::gone("the continue token is too old"));
  server.expect("GET", "/api/v1/nodes?!continue&!watch",
                Reply::body(200, list_json(20, {node_json("b", 15)})));
  server.expect("GET", from(20), Reply::stream().hold());
  start();
  CHECK(cache.await({"b@15"}));
  CHECK(cache.changes() == 1);
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "streaming list: taken when it is complete") {
  options.streaming = true;
  const auto initial =
      "/api/v1/nodes?watch=true&sendInitialEvents=true"
      "&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&!resourceVersion";
  server.expect("GET", initial, Reply::stream().event("ADDED", node_json("x", 3)).cut());
  server.expect("GET", initial,
                Reply::stream()
                    .event("ADDED", node_json("a", 3))
                    .event("ADDED", node_json("b", 4))
                    .event("ADDED", node_json("c", 5))
                    .event("DELETED", node_json("b", 21))
                    .event("MODIFIED", node_json("c", 22))
                    .event("BOOKMARK", bookmark_json(22, true))
                    .event("ADDED", node_json("d", 23))
                    .hold());
  start();
  CHECK(cache.await({"a@3", "c@22", "d@23"}));
  CHECK(cache.changes() == 3); // never x, never b
  CHECK(watch->metrics().lists == 1);
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "after garbage a streaming list gets as long as before") {
  options.streaming = true;
  options.server_timeout = 300s;
  const std::string initial = "/api/v1/nodes?sendInitialEvents=true";
  server.expect("GET", initial, Reply::stream().line("<html>"));
  server.expect("GET", initial,
                Reply::stream()
                    .event("ADDED", node_json("a", 3))
                    .event("BOOKMARK", bookmark_json(22, true))
                    .hold());
  start();
  CHECK(cache.await({"a@3"}));
  finish();
  for (const auto& request : server.requests()) {
    const auto at = request.target.find("timeoutSeconds=");
    REQUIRE(at != std::string::npos);
    CHECK(std::stoi(request.target.substr(at + 15)) >= 300);
  }
}

TEST_CASE_FIXTURE(WatchFixture, "streaming list refused: pages") {
  options.streaming = true;
  server.expect("GET", "/api/v1/nodes?sendInitialEvents=true",
                Reply::status(422, "Invalid", "sendInitialEvents: Forbidden: feature gate"));
  list(10, {node_json("a", 3)});
  server.expect("GET", from(10) + "&!sendInitialEvents", Reply::gone("too old"));
  list(20, {node_json("a", 13)});
  server.expect("GET", from(20), Reply::stream().hold());
  start();
  CHECK(cache.await({"a@13"}));
  CHECK(cache.errors().empty());
  finish();
}

TEST_CASE_FIXTURE(WatchFixture,
                  "streaming list that never completes, as servers do that do not know it: pages") {
  options.streaming = true;
  options.idle_timeout = 50ms;
  server.expect("GET", "/api/v1/nodes?sendInitialEvents=true",
                Reply::stream().event("ADDED", node_json("a", 3)).hold());
  list(10, {node_json("a", 3)});
  server.allow("GET", from(10), Reply::stream().hold());
  start();
  CHECK(cache.await({"a@3"}));
  watch->stop();
}

TEST_CASE_FIXTURE(WatchFixture,
                  "nothing older than what was seen is taken, neither event nor list") {
  list(10, {node_json("a", 9)});
  server.expect("GET", from(10),
                Reply::stream()
                    .event("MODIFIED", node_json("a", 20))
                    .event("MODIFIED", node_json("a", 12)) // comes late
                    .event("DELETED", node_json("a", 12))
                    .event("MODIFIED", node_json("a", 20)) // comes twice
                    .error_event(410, "Expired", "too old"));
  list(15, {}); // of a server that lags behind
  list(30, {node_json("a", 20), node_json("b", 30)});
  server.expect("GET", from(30), Reply::stream().hold());
  start();
  CHECK(cache.await({"a@20", "b@30"}));
  CHECK(cache.await_error("lists resourceVersion 15, but 20 was seen"));
  CHECK(watch->metrics().stale == 4);
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "deleted and made again under the same name") {
  list(10, {node_json("a", 9, "first")});
  server.expect("GET", from(10),
                Reply::stream()
                    .event("DELETED", node_json("a", 11, "first"))
                    .event("ADDED", node_json("a", 12, "second"))
                    .cut());
  server.expect("GET", from(12), Reply::stream().hold());
  start();
  CHECK(cache.await({"a@12"}));
  finish();
}

TEST_CASE_FIXTURE(
    WatchFixture,
    "an object that cannot be decoded is named; the others, and its last state, stay") {
  list(10, {node_json("a", 3), node_json("b", 4, "u", "nonsense")});
  server.expect("GET", from(10),
                Reply::stream()
                    .event("MODIFIED", node_json("a", 11, "u", "also nonsense"))
                    .event("ADDED", node_json("c", 12))
                    .error_event(410, "Expired", "too old"));
  list(20, {node_json("a", 11, "u", "also nonsense"), node_json("c", 12), node_json("d", 15)});
  server.expect("GET", from(20), Reply::stream().event("MODIFIED", node_json("a", 21)).hold());
  start();
  CHECK(cache.await({"a@21", "c@12", "d@15"}));
  const auto broken = cache.broken();
  REQUIRE(broken.size() == 3);
  CHECK(broken[0].find("Node b: ") == 0);
  CHECK(broken[0].find("nonsense") != std::string::npos);
  CHECK(broken[1].find("Node a: ") == 0);
  CHECK(watch->metrics().decode_errors == 3);
  CHECK(cache.changes() == 3); // a, c, d: a was never gone in between
  finish();
}

TEST_CASE_FIXTURE(WatchFixture,
                  "no rights: the server's words are passed on, and it works once they are given") {
  const auto denied = "nodes is forbidden: User \"x\" cannot list resource \"nodes\"";
  server.expect("GET", kList, Reply::status(403, "Forbidden", denied), 2);
  list(10, {node_json("a", 3)});
  server.expect("GET", from(10), Reply::stream().hold());
  start();
  CHECK(cache.await_error(denied));
  CHECK(cache.await({"a@3"}));
  CHECK(cache.await_healthy());
  CHECK(cache.errors().size() == 1); // the same thing is told once
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "a server that refuses connections, and one of another authority") {
  server.refuse();
  start();
  CHECK(cache.await_error("Could not establish connection"));
  server.next_connection(Fault::unknown_ca);
  list(10, {node_json("a", 3)});
  server.expect("GET", from(10), Reply::stream().hold());
  server.accept_again();
  CHECK(cache.await_error("certificate is refused"));
  CHECK(cache.await({"a@3"}));
  CHECK(cache.await_healthy());
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "the kind went away and came again") {
  list(10, {node_json("a", 3)});
  server.expect("GET", from(10), Reply::body(404, "404 page not found\n", "text/plain"));
  server.expect("GET", kList, Reply::body(404, "404 page not found\n", "text/plain"));
  list(30, {});
  server.expect("GET", from(30), Reply::stream().hold());
  start();
  CHECK(cache.await_error("404 page not found"));
  CHECK(cache.await({}));
  finish();
}

TEST_CASE_FIXTURE(WatchFixture, "only metadata is asked for where that is enough") {
  options.metadata_only = true;
  list(10, {});
  server.expect("GET", from(10), Reply::stream().hold());
  start();
  CHECK(cache.await({}));
  finish();
  const auto requests = server.requests();
  CHECK(requests.at(0).header("Accept") ==
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
  CHECK(requests.at(1).header("Accept") ==
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
}
