// SPDX-License-Identifier: Apache-2.0
#include "k8s/client.hpp"

#include <doctest/doctest.h>

#include <thread>

#include "k8s/support.hpp"

using namespace egw;
using namespace egw::k8s;
using namespace egw::test;

namespace {

const auto kPatienceMs = std::chrono::milliseconds(kPatience);
constexpr const char* kNode = "/api/v1/nodes/a";

struct Fixture {
  ScriptedServer server;
  Client client{config_for(server), quick_client()};

  Result<std::string> get(const CallOptions& options = {}) {
    return client.get(api::resource<api::Node>(), {"", "a"}, options);
  }
  static Write write(Verb verb) {
    Write w;
    w.verb = verb;
    w.resource = &api::resource<api::Node>();
    w.key = {"", "a"};
    w.body = node_json("a", 1);
    return w;
  }
  void finish() {
    CHECK(server.await_script(kPatienceMs));
    for (const auto& error : server.errors()) FAIL_CHECK(error);
  }
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "one connection serves one call after the other") {
  server.allow("GET", kNode, Reply::body(200, node_json("a", 3)));
  for (int i = 0; i < 5; ++i) {
    const auto node = client.get_as<api::Node>({"", "a"});
    REQUIRE(node);
    CHECK(node->meta.resource_version == "3");
  }
  CHECK(server.connections() == 1);
  CHECK(client.metrics().requests == 5);
  CHECK(client.metrics().retries == 0);
}

TEST_CASE_FIXTURE(Fixture, "refusals are values with the server's words, and are not repeated") {
  server.expect("GET", kNode, Reply::status(404, "NotFound", "nodes \"a\" not found"));
  const auto missing = get();
  REQUIRE_FALSE(missing);
  CHECK(not_found(missing.error()));
  CHECK(missing.error().message == "get Node a: nodes \"a\" not found (404 NotFound)");

  server.expect("PUT", kNode, Reply::conflict("the object has been modified"));
  const auto conflicting = client.write(write(Verb::Update));
  REQUIRE_FALSE(conflicting);
  CHECK(conflict(conflicting.error()));
  CHECK(client.metrics().conflicts == 1);

  server.expect("GET", kNode, Reply::status(500, "InternalError", "oops"));
  CHECK(get().error().code == 500);

  server.expect("GET", kNode, Reply::body(200, "<html>"));
  CHECK_FALSE(client.get_as<api::Node>({"", "a"}));
  finish();
}

TEST_CASE_FIXTURE(Fixture,
                  "repeated: 503, 502, 504, cut answers and refused connections, until it works") {
  server.expect("GET", kNode, Reply::unavailable("starting"));
  server.expect("GET", kNode, Reply::body(502, "bad gateway", "text/plain"));
  server.expect("GET", kNode, Reply::status(504, "Timeout", "late"));
  server.expect("GET", kNode, Reply::body(200, node_json("a", 1)).cut());
  server.expect("GET", kNode, Reply::body(200, node_json("a", 1)).reset());
  server.expect("GET", kNode, Reply::body(200, node_json("a", 2)));
  CHECK(get());
  finish();
  CHECK(client.metrics().retries == 5);
  CHECK(client.metrics().errors_5xx == 3);
  CHECK(client.metrics().errors_network == 2);

  Client other(config_for(server), quick_client());
  server.refuse();
  std::thread later([&] {
    while (other.metrics().errors_network < 3) std::this_thread::yield();
    server.expect("GET", kNode, Reply::body(200, node_json("a", 3)));
    server.accept_again();
  });
  CHECK(other.get(api::resource<api::Node>(), {"", "a"}));
  later.join();
}

TEST_CASE_FIXTURE(Fixture, "429 waits as long as it is told") {
  server.expect("PUT", kNode, Reply::too_many(1));
  server.expect("PUT", kNode, Reply::body(200, node_json("a", 1)));
  const auto begun = now().steady;
  CHECK(client.write(write(Verb::Update)));
  CHECK(now().steady - begun >= 1s);
  CHECK(client.metrics().throttled == 1);
  // ... but no longer than there is time: then the refusal is the answer.
  server.expect("GET", kNode, Reply::too_many(100));
  CallOptions options;
  options.timeout = 5s;
  const auto refused = get(options);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == 429);
  CHECK(now().steady - begun < 4s);
  finish();
}

TEST_CASE_FIXTURE(Fixture, "a create is repeated only where the server certainly did nothing") {
  constexpr const char* kNodes = "/api/v1/nodes";
  server.expect("POST", kNodes, Reply::body(201, node_json("a", 1)).cut());
  const auto cut = client.write(write(Verb::Create));
  REQUIRE_FALSE(cut);
  CHECK(cut.error().code == 0);
  CHECK(transient(cut.error()));

  server.expect("POST", kNodes, Reply::unavailable("perhaps done"));
  CHECK(client.write(write(Verb::Create)).error().code == 503);

  server.expect("POST", kNodes, Reply::too_many(0));
  server.expect("POST", kNodes, Reply::unavailable("not done").header("Retry-After", "0"));
  server.expect("POST", kNodes, Reply::body(201, node_json("a", 1)));
  CHECK(client.write(write(Verb::Create)));
  finish();

  Client other(config_for(server), quick_client());
  server.next_connection(Fault::close); // within the TLS handshake: nothing was sent
  server.expect("POST", kNodes, Reply::body(201, node_json("a", 1)));
  CHECK(other.write(write(Verb::Create)));
  finish();
}

TEST_CASE_FIXTURE(
    Fixture, "time is limited: for silence, for trickling bytes, and for all attempts together") {
  CallOptions options;
  options.timeout = 200ms;
  server.allow("GET", kNode, Reply::body(200, node_json("a", 1)).hold());
  auto begun = now().steady;
  CHECK(get(options).error().code == 0);
  CHECK(now().steady - begun < 3s);

  server.expect("GET", "/api/v1/nodes", Reply::stream().slow(5ms).text(std::string(100000, ' ')));
  begun = now().steady;
  const auto slow = client.list_as<api::Node>(api::resource<api::Node>(), {}, options);
  REQUIRE_FALSE(slow);
  CHECK(slow.error().message.find("did not end in time") != std::string::npos);
  CHECK(now().steady - begun < 3s);

  // The same for an answer that is collected.
  server.expect("GET", "/version", Reply::stream().slow(10ms).text(std::string(400, ' ')));
  begun = now().steady;
  const auto trickle = client.get_raw("/version", options);
  REQUIRE_FALSE(trickle);
  CHECK(trickle.error().message.find("did not end in time") != std::string::npos);
  CHECK(now().steady - begun < 2s);

  // A handshake that hangs takes no longer than the call has left.
  Client stalled(config_for(server), quick_client());
  server.next_connection(Fault::silence);
  begun = now().steady;
  CHECK_FALSE(stalled.get(api::resource<api::Node>(), {"", "a"}, options));
  CHECK(now().steady - begun < 2s);

  server.refuse();
  Client other(config_for(server), quick_client());
  begun = now().steady;
  CHECK_FALSE(other.get(api::resource<api::Node>(), {"", "a"}, options));
  CHECK(now().steady - begun < 3s);
}

TEST_CASE_FIXTURE(Fixture, "a leader's write is not sent after its time") {
  auto late = write(Verb::Update);
  late.tenure = std::make_shared<Tenure>(now().steady - 1ms);
  const auto refused = client.write(late);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("the time for it has passed") != std::string::npos);
  CHECK(server.requests().empty());
}

TEST_CASE_FIXTURE(Fixture, "lists: pages, restarts, and objects that cannot be decoded") {
  const auto first = "/api/v1/nodes?limit=500&!continue", second = "/api/v1/nodes?continue=t1";
  const auto page = list_json(10, {node_json("a", 3)}, "t1");
  server.expect("GET", first, Reply::body(200, page));
  server.expect("GET", second, Reply::gone("expired"));
  server.expect("GET", first, Reply::body(200, page));
  server.expect("GET", second,
                Reply::stream().text(R"({"kind":"NodeList","items":[)" + node_json("c", 4)).cut());
  server.expect("GET", first, Reply::unavailable("try again"));
  server.expect("GET", first, Reply::body(200, page));
  server.expect(
      "GET", second,
      Reply::body(200, list_json(10, {node_json("b", 4), node_json("x", 5, "u", "nonsense")})));
  const auto listed = client.list_as<api::Node>(api::resource<api::Node>());
  REQUIRE_MESSAGE(listed, (listed ? "" : listed.error().message));
  CHECK(listed->items.size() == 2);
  CHECK(listed->broken.size() == 1);
  CHECK(listed->resource_version == "10");
  finish();

  server.expect("GET", first, Reply::body(200, "<html>"));
  CHECK(client.list_as<api::Node>(api::resource<api::Node>()).error().message.find("list nodes:") ==
        0);
  server.expect("GET", first, Reply::body(200, R"({"items":[)"));
  CHECK_FALSE(client.list_as<api::Node>(api::resource<api::Node>()));
  finish();
}

TEST_CASE("the rate limit holds back ordinary calls, and failover not") {
  ScriptedServer server;
  server.allow("GET", kNode, Reply::body(200, node_json("a", 1)));
  auto options = quick_client();
  options.qps = 0.001;
  options.burst = 2;
  Client client(config_for(server), options);
  const auto get = [&](Lane lane) {
    CallOptions call;
    call.lane = lane;
    return client.get(api::resource<api::Node>(), {"", "a"}, call);
  };
  CHECK(get(Lane::Normal));
  CHECK(get(Lane::Normal));
  const auto refused = get(Lane::Normal);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("rate limit") != std::string::npos);
  for (int i = 0; i < 10; ++i) CHECK(get(Lane::Failover));
  CHECK(client.metrics().rate_limited == 1);
}

TEST_CASE("stop() ends calls that wait for an answer, for a retry and for the rate limit") {
  const auto ends = [](const ClientOptions& options, int calls,
                       const std::function<void(ScriptedServer&)>& prepare,
                       const std::function<bool(ScriptedServer&, Client&)>& under_way) {
    ScriptedServer server;
    prepare(server);
    Client client(config_for(server), options);
    Result<std::string> result = std::string();
    std::thread thread([&] {
      for (int i = 0; i < calls; ++i) result = client.get(api::resource<api::Node>(), {"", "a"});
    });
    CHECK(under_way(server, client));
    const auto begun = now().steady;
    client.stop();
    thread.join();
    CHECK(now().steady - begun < 2s);
    REQUIRE_FALSE(result);
    CHECK(result.error().message.find("stopped") != std::string::npos);
    CHECK_FALSE(client.get(api::resource<api::Node>(), {"", "a"}));
    CHECK(client.stopped());
  };
  const auto counted = [](const std::atomic<std::uint64_t>& counter) {
    for (const auto begun = now().steady; now().steady - begun < kPatience;) {
      if (counter > 0) return true;
      std::this_thread::yield();
    }
    return false;
  };
  ends(
      quick_client(), 1,
      [](ScriptedServer& s) { s.allow("GET", kNode, Reply::stream().stall("x")); },
      [](ScriptedServer& s, Client&) { return s.await_stall("x", kPatienceMs); });
  auto patient = quick_client();
  patient.retry = {20s, 20s};
  ends(
      patient, 1, [](ScriptedServer& s) { s.allow("GET", kNode, Reply::unavailable("no")); },
      [&](ScriptedServer&, Client& c) { return counted(c.metrics().errors_5xx); });
  auto limited = quick_client();
  limited.qps = 0.1;
  limited.burst = 1;
  ends(
      limited, 2,
      [](ScriptedServer& s) { s.allow("GET", kNode, Reply::body(200, node_json("a", 1))); },
      [&](ScriptedServer&, Client& c) { return counted(c.metrics().rate_limited); });
}

TEST_CASE_FIXTURE(Fixture, "what is JSON but no list is an error, and never an empty list") {
  for (const char* body : {R"({"kind":"Status","apiVersion":"v1","status":"Success"})", "{}",
                           R"({"kind":"NodeList","metadata":{},"items":[]})",
                           R"({"kind":"Table","metadata":{"resourceVersion":"7"},"rows":[]})"}) {
    CAPTURE(body);
    server.expect("GET", "/api/v1/nodes", Reply::body(200, body));
    const auto nodes = client.list_as<api::Node>(api::resource<api::Node>());
    REQUIRE_FALSE(nodes);
    CHECK(nodes.error().message.starts_with("list nodes: not a list: "));
  }
  server.expect("GET", "/api/v1/nodes",
                Reply::body(200, R"({"metadata":{"resourceVersion":"7"},"items":null})"));
  const auto none = client.list_as<api::Node>(api::resource<api::Node>());
  REQUIRE(none);
  CHECK(none->items.empty());
  CHECK(none->resource_version == "7");
  finish();
}
