// SPDX-License-Identifier: Apache-2.0
#include "k8s/elector.hpp"

#include <doctest/doctest.h>

#include <optional>

#include "base/queue.hpp"
#include "k8s/support.hpp"

using namespace egw;
using namespace egw::k8s;
using namespace egw::test;

namespace {

constexpr const char* kLeases = "/apis/coordination.k8s.io/v1/namespaces/ns/leases";
constexpr const char* kLease = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/egw";

std::string lease_json(const std::string& holder, int transitions, int version) {
  return fmt::format(
      R"({{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{{"namespace":"ns",)"
      R"("name":"egw","uid":"u","resourceVersion":"{}"}},)"
      R"("spec":{{"holderIdentity":"{}","leaseTransitions":{},)"
      R"("leaseDurationSeconds":1,"renewTime":"2024-01-01T00:00:00.000000Z"}}}})",
      version, holder, transitions);
}

struct Fixture {
  ScriptedServer server;
  Client client{config_for(server), quick_client()};
  Queue<Leadership> changes;
  std::optional<Elector> elector;

  void start(LeaderConfig config = {"ns", "egw", "me", 2s, 500ms, 50ms}) {
    elector.emplace(client, std::move(config), [this](const Leadership& l) { changes.push(l); });
  }
  Leadership next() {
    const auto got = changes.take(now().steady + kPatience);
    REQUIRE(got.size() == 1);
    return got[0];
  }
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "makes the lease, renews it by compare-and-swap, gives it back") {
  server.expect("GET", kLease, Reply::status(404, "NotFound", "no lease"));
  server.expect("POST", kLeases, Reply::body(201, lease_json("me", 1, 5)));
  server.expect("PUT", kLease, Reply::body(200, lease_json("me", 1, 6)), 3);
  start();
  const auto elected = next();
  CHECK(elected.leading);
  CHECK(elected.term == 1);
  const auto tenure = elector->tenure();
  REQUIRE(tenure);
  const auto first = tenure->until();
  CHECK(first > now().steady);
  CHECK(server.await_script(std::chrono::milliseconds(kPatience)));
  server.allow("PUT", kLease, Reply::body(200, lease_json("", 1, 7)));
  elector->stop();
  CHECK_FALSE(next().leading);
  CHECK_FALSE(elector->tenure());
  CHECK(tenure->until() < first); // over, for whoever has kept it
  const auto requests = server.requests();
  CHECK(requests.at(2).body.find(R"("resourceVersion":"5")") != std::string::npos);
  CHECK(requests.back().body.find(R"("holderIdentity":"me")") == std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "a leader whose renewals get no answer steps down in time") {
  server.expect("GET", kLease, Reply::body(200, lease_json("", 3, 5)));
  server.expect("PUT", kLease, Reply::body(200, lease_json("me", 4, 6)));
  server.allow("PUT", kLease, Reply::stream().hold());
  server.allow("GET", kLease, Reply::stream().hold());
  start();
  CHECK(next().term == 4);
  const auto tenure = elector->tenure();
  REQUIRE(tenure);
  const auto until = tenure->until();
  const auto lost = next();
  CHECK_FALSE(lost.leading);
  CHECK(now().steady < until + 1500ms); // half a renewal's time, and the machine's own slowness
  CHECK_FALSE(elector->tenure());
  CHECK(tenure->until() < now().steady);
  client.stop();
  elector->stop();
}

TEST_CASE_FIXTURE(
    Fixture, "another's lease is taken when it has run out, or its holder is known to be dead") {
  server.allow("GET", kLease, Reply::body(200, lease_json("other", 3, 5)));
  server.allow("PUT", kLease, Reply::body(200, lease_json("me", 4, 6)));
  SUBCASE("run out") {
    const auto begun = now().steady;
    start();
    CHECK(next().term == 4);
    CHECK(now().steady - begun >= 1s);
  }
  SUBCASE("dead") {
    start({"ns", "egw", "me", 20s, 10s, 2s});
    CHECK(server.await_requests(1, std::chrono::milliseconds(kPatience)));
    const auto begun = now().steady;
    elector->holder_dead("other");
    CHECK(next().term == 4);
    CHECK(now().steady - begun < 900ms);
  }
  elector->stop();
}

TEST_CASE_FIXTURE(Fixture, "settings that make no sense do not start") {
  CHECK_THROWS_AS(start({"ns", "egw", "", 2s, 500ms, 50ms}), std::invalid_argument);
}
