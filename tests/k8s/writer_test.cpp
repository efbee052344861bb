// SPDX-License-Identifier: Apache-2.0
#include "k8s/writer.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <thread>

#include "base/queue.hpp"
#include "k8s/support.hpp"

using namespace egw;
using namespace egw::k8s;
using namespace egw::test;
using namespace std::chrono_literals;

namespace {

const auto kPatienceMs = std::chrono::milliseconds(kPatience);

struct Result_ {
  Write write;
  Result<std::string> result;
};

struct Fixture {
  ScriptedServer server;
  Client client{config_for(server), quick_client()};
  Queue<Result_> results;
  Writer writer{
      client,
      [this](Write w, Result<std::string> r) { results.push({std::move(w), std::move(r)}); },
      {1, 1, {}}};

  static Write write(const std::string& name, std::uint64_t tag, Lane lane = Lane::Normal) {
    Write w;
    w.verb = Verb::Update;
    w.resource = &api::resource<api::Node>();
    w.key = {"", name};
    w.body = fmt::format("{{\"tag\":{}}}", tag);
    w.lane = lane;
    w.tag = tag;
    return w;
  }
  void allow(const std::string& name) {
    server.allow("PUT", "/api/v1/nodes/" + name, Reply::body(200, "{}"));
  }
  std::vector<std::uint64_t> tags(std::size_t count) {
    std::vector<std::uint64_t> got;
    while (got.size() < count) {
      const auto some = results.take(now().steady + kPatience);
      if (some.empty()) break;
      for (const auto& one : some) got.push_back(one.write.tag);
    }
    return got;
  }
};
using Tags = std::vector<std::uint64_t>;

} // namespace

TEST_CASE_FIXTURE(Fixture, "results come back with what was pushed, refusals too") {
  allow("a");
  server.expect("PUT", "/api/v1/nodes/b", Reply::conflict("modified"));
  writer.push(write("a", 1));
  writer.push(write("b", 2));
  auto got = results.take(now().steady + kPatience);
  while (got.size() < 2) {
    for (auto& more : results.take(now().steady + kPatience)) got.push_back(std::move(more));
  }
  CHECK(got[0].write == write("a", 1));
  CHECK(got[0].result);
  CHECK(got[1].write.tag == 2);
  CHECK(conflict(got[1].result.error()));
}

TEST_CASE_FIXTURE(Fixture, "changes of one object keep their order, one at a time") {
  server.expect("PUT", "/api/v1/nodes/a", Reply::stream().stall("first").text("{}"));
  allow("a");
  for (std::uint64_t i = 1; i <= 20; ++i) writer.push(write("a", i));
  CHECK(server.await_stall("first", kPatienceMs));
  CHECK(server.requests().size() == 1);
  CHECK(writer.pending() == 20);
  server.release("first");
  Tags wanted;
  for (std::uint64_t i = 1; i <= 20; ++i) wanted.push_back(i);
  CHECK(tags(20) == wanted);
  std::uint64_t next = 1;
  for (const auto& request : server.requests())
    CHECK(request.body == fmt::format("{{\"tag\":{}}}", next++));
}

TEST_CASE_FIXTURE(Fixture,
                  "failover overtakes what waits, but not its own object's earlier changes") {
  server.expect("PUT", "/api/v1/nodes/a", Reply::stream().stall("slow").text("{}"));
  for (const auto* name : {"a", "b", "c"}) allow(name);
  writer.push(write("a", 1)); // occupies the only ordinary thread
  CHECK(server.await_stall("slow", kPatienceMs));
  writer.push(write("b", 2));
  writer.push(write("c", 3));
  writer.push(write("c", 4, Lane::Failover));
  CHECK(tags(2) == Tags{3, 4});
  writer.push(write("a", 5, Lane::Failover)); // of the object under way
  CHECK(server.requests().size() == 3);
  server.release("slow");
  auto rest = tags(3);
  CHECK(rest[0] == 1);
  CHECK(Tags{std::min(rest[1], rest[2]), std::max(rest[1], rest[2])} == Tags{2, 5});
}

TEST_CASE_FIXTURE(Fixture, "after stop() everything that was pushed still gets its one result") {
  server.expect("PUT", "/api/v1/nodes/a", Reply::stream().stall("slow").text("{}"));
  for (std::uint64_t i = 1; i <= 5; ++i) writer.push(write("a", i));
  for (std::uint64_t i = 6; i <= 9; ++i) writer.push(write("b", i, Lane::Failover));
  CHECK(server.await_stall("slow", kPatienceMs));
  writer.push(
      write("a", 10, Lane::Failover)); // moves the object to the lane whose thread may end first
  client.stop();
  writer.stop();
  writer.push(write("c", 11));
  auto got = tags(11);
  std::sort(got.begin(), got.end());
  CHECK(got == Tags{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  CHECK(writer.pending() == 0);
}

TEST_CASE_FIXTURE(Fixture, "what waits for its turn is sent as long as the leader leads") {
  server.expect("PUT", "/api/v1/nodes/a", Reply::stream().stall("slow").text("{}"));
  for (const auto* name : {"a", "b", "c"}) allow(name);
  const auto soon = now().steady + 20ms;
  const auto tenure = std::make_shared<Tenure>(soon), ended = std::make_shared<Tenure>(soon);
  writer.push(write("a", 1)); // occupies the only ordinary thread
  CHECK(server.await_stall("slow", kPatienceMs));
  auto kept = write("b", 2), lost = write("c", 3);
  kept.tenure = tenure;
  lost.tenure = ended;
  writer.push(kept);
  writer.push(lost);
  while (now().steady <= soon) std::this_thread::yield();
  tenure->extend(now().steady + kPatience);
  server.release("slow");
  std::map<std::uint64_t, bool> done;
  while (done.size() < 3) {
    const auto some = results.take(now().steady + kPatience);
    REQUIRE_FALSE(some.empty());
    for (const auto& one : some) done[one.write.tag] = one.result.ok();
  }
  CHECK(done == std::map<std::uint64_t, bool>{{1, true}, {2, true}, {3, false}});
  CHECK(server.requests().size() == 2);
}

TEST_CASE_FIXTURE(Fixture, "what makes no request is refused, and the next one goes on") {
  allow("a");
  auto bad = write("a", 1);
  bad.resource = nullptr;
  writer.push(bad);
  writer.push(write("a", 2));
  auto got = tags(2);
  std::sort(got.begin(), got.end());
  CHECK(got == Tags{1, 2});
  CHECK(server.requests().size() == 1);
}
