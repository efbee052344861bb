// SPDX-License-Identifier: Apache-2.0
// What many threads do at once, for ThreadSanitizer.
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "base/queue.hpp"
#include "k8s/client.hpp"
#include "k8s/elector.hpp"
#include "k8s/support.hpp"
#include "k8s/watch.hpp"
#include "k8s/writer.hpp"

using namespace egw;
using namespace egw::k8s;
using namespace egw::test;

TEST_SUITE_BEGIN("threads");

TEST_CASE("one client, many threads, a stop in the middle") {
  ScriptedServer server;
  server.allow("GET", "/api/v1/nodes/a", Reply::body(200, node_json("a", 3)));
  Client client(config_for(server), quick_client());
  std::atomic<int> good{0}, refused{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      while (client.get_as<api::Node>({"", "a"})) ++good;
      ++refused;
    });
  }
  while (good < 100) std::this_thread::yield();
  client.stop();
  for (auto& thread : threads) thread.join();
  CHECK(refused == 6);
  CHECK(server.connections() <= 8);
}

TEST_CASE("watches that come and go while the server is dropping connections") {
  ScriptedServer server;
  server.allow("GET", "/api/v1/nodes?!watch", Reply::body(200, list_json(10, {node_json("a", 3)})));
  server.allow("GET", "/api/v1/nodes?watch=true",
               Reply::stream()
                   .event("ADDED", node_json("b", 11))
                   .event("DELETED", node_json("b", 12))
                   .hold());
  for (int round = 0; round < 10; ++round) {
    NodeCache one, two;
    const auto options = quick_watch(api::resource<api::Node>());
    Watch<api::Node> first(config_for(server), options, one.sink());
    Watch<api::Node> second(config_for(server), options, two.sink());
    if (round % 2 == 0) CHECK(one.await({"a@3"}));
    server.drop_connections();
    CHECK(two.await({"a@3"}));
    if (round % 3 == 0) first.stop();
    CHECK(first.metrics().lists <= 2);
  }
}

TEST_CASE("writers, an elector and a watch side by side") {
  ScriptedServer server;
  const std::string lease =
      R"({"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"namespace":"ns",)"
      R"("name":"egw","uid":"u","resourceVersion":"4"},)"
      R"("spec":{"holderIdentity":"me","leaseTransitions":1}})";
  server.allow("GET", "/apis/coordination.k8s.io/v1/namespaces/ns/leases/egw",
               Reply::body(200, lease));
  server.allow("PUT", "/apis/coordination.k8s.io/v1/namespaces/ns/leases/egw",
               Reply::body(200, lease));
  server.allow("GET", "/api/v1/nodes?!watch", Reply::body(200, list_json(10, {node_json("a", 3)})));
  server.allow("GET", "/api/v1/nodes?watch=true", Reply::stream().hold());
  for (const auto* name : {"a", "b", "c"}) {
    server.allow("PUT", std::string("/api/v1/nodes/") + name, Reply::body(200, "{}"));
  }
  Client client(config_for(server), quick_client());
  NodeCache cache;
  Watch<api::Node> watch(config_for(server), quick_watch(api::resource<api::Node>()), cache.sink());
  std::atomic<int> leading{0}, done{0};
  Elector elector(client, {"ns", "egw", "me", 2s, 500ms, 5ms},
                  [&](const Leadership& l) { leading += l.leading ? 1 : 0; });
  {
    Writer writer(client,
                  [&](const Write&, const Result<std::string>& r) { done += r ? 1 : 1000; });
    std::vector<std::thread> pushers;
    for (int t = 0; t < 3; ++t) {
      pushers.emplace_back([&writer, &elector, t] {
        for (int i = 0; i < 40; ++i) {
          Write write;
          write.verb = Verb::Update;
          write.resource = &api::resource<api::Node>();
          write.key = {"", std::string(1, static_cast<char>('a' + (i % 3)))};
          write.body = "{}";
          write.lane = (i + t) % 4 == 0 ? Lane::Failover : Lane::Normal;
          write.tenure = std::make_shared<Tenure>(now().steady + 10s);
          if (elector.tenure()) write.tenure.reset();
          writer.push(write);
        }
      });
    }
    for (auto& pusher : pushers) pusher.join();
    while (writer.pending() > 0) std::this_thread::yield();
  }
  CHECK(done == 120);
  CHECK(cache.await({"a@3"}));
  while (leading == 0) std::this_thread::yield();
  elector.stop();
}

TEST_SUITE_END();
