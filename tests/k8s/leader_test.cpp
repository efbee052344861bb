// SPDX-License-Identifier: Apache-2.0
#include "k8s/leader.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <random>

using namespace egw;
using namespace egw::k8s;
using namespace std::chrono_literals;
using Role = LeaderState::Role;

namespace {

// The API server's part: one Lease with compare-and-swap.
struct Server {
  std::optional<api::Lease> lease;
  int version = 0;
  int refuses = 0; // every write, with this code
  int requests = 0;

  Result<api::Lease> read() {
    ++requests;
    if (!lease) return Error{"not found", 404};
    return *lease;
  }
  Result<api::Lease> write(const api::Lease& wanted, bool create) {
    ++requests;
    if (refuses != 0) return Error{"refused", refuses};
    if (create ? lease.has_value() : !lease) return Error{"no", create ? 409 : 404};
    if (!create && wanted.meta.resource_version != lease->meta.resource_version) {
      return Error{"the object has been modified", 409};
    }
    lease = wanted;
    lease->meta.uid = "u";
    lease->meta.resource_version = std::to_string(++version);
    return *lease;
  }
};

struct Candidate {
  LeaderConfig config;
  LeaderState state;
  std::vector<std::int32_t> terms;
  int deposed = 0;
  bool cut = false; // no answers

  explicit Candidate(const std::string& identity) : config{"ns", "lease", identity} {}
  [[nodiscard]] bool leads(const Now& now) const {
    const auto until = deadline(state, config);
    return until && now.steady < *until;
  }

  // All that follows at this moment.
  void handle(Server& server, LeaderEvent event, const Now& now) {
    std::deque<LeaderEvent> events;
    events.emplace_back(std::move(event));
    while (!events.empty() && server.requests < 10000) {
      const auto next = std::move(events.front());
      events.pop_front();
      for (const auto& action : step(state, config, next, now)) {
        const Error lost{"no answer", 0};
        if (std::holds_alternative<ReadLease>(action)) {
          events.emplace_back(LeaderRead{cut ? lost : server.read()});
        } else if (const auto* create = std::get_if<CreateLease>(&action)) {
          events.emplace_back(LeaderWrote{cut ? lost : server.write(create->lease, true)});
        } else if (const auto* update = std::get_if<UpdateLease>(&action)) {
          events.emplace_back(LeaderWrote{cut ? lost : server.write(update->lease, false)});
        } else if (const auto* elected = std::get_if<Elected>(&action)) {
          terms.push_back(elected->term);
        } else {
          ++deposed;
        }
      }
    }
  }
};

struct Fixture {
  Server server;
  Candidate a{"a"}, b{"b"};
  Now now{Time{1h}, WallTime{400000h}};

  void pass(Duration d) {
    now.steady += d;
    now.wall += std::chrono::duration_cast<std::chrono::microseconds>(d);
  }
  // Both live on for a while.
  void live(Duration d) {
    for (const auto end = now.steady + d; now.steady < end; pass(100ms)) {
      a.handle(server, LeaderTick{}, now);
      b.handle(server, LeaderTick{}, now);
      CHECK_FALSE((a.leads(now) && b.leads(now)));
    }
  }
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "the first one makes the lease and keeps it") {
  live(60s);
  CHECK(a.state.role == Role::Leading);
  CHECK(a.terms == std::vector<std::int32_t>{1});
  CHECK(b.terms.empty());
  REQUIRE(server.lease);
  CHECK(server.lease->holder == "a");
  CHECK(server.lease->duration_seconds == 15);
  CHECK(server.version > 25); // a renewal each two seconds
  CHECK(server.version < 35);
  CHECK(deadline(a.state, a.config) > now.steady + 7s);
}

TEST_CASE_FIXTURE(Fixture, "a leader that cannot renew steps down before another takes over") {
  live(5s);
  a.cut = true;
  live(10s);
  CHECK(a.state.role == Role::Standby);
  CHECK(a.deposed == 1);
  CHECK(b.terms.empty());
  live(10s);
  CHECK(b.terms == std::vector<std::int32_t>{2});
  a.cut = false;
  live(30s);
  CHECK(a.state.role == Role::Standby);
  CHECK(b.state.role == Role::Leading);
}

TEST_CASE_FIXTURE(Fixture, "a short outage costs nothing") {
  live(5s);
  a.cut = true;
  live(6s);
  a.cut = false;
  live(30s);
  CHECK(a.terms == std::vector<std::int32_t>{1});
  CHECK(a.deposed == 0);
  CHECK(b.terms.empty());
}

TEST_CASE_FIXTURE(Fixture, "stopping gives the lease back: the other takes it at its next look") {
  live(5s);
  a.handle(server, LeaderStop{}, now);
  CHECK(a.state.role == Role::Stopped);
  CHECK(a.deposed == 1);
  CHECK_FALSE(wake(a.state, a.config));
  CHECK(server.lease->holder.empty());
  live(2500ms);
  CHECK(b.terms == std::vector<std::int32_t>{2});
  CHECK(a.terms.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "a standby stops without a word") {
  live(5s);
  const auto version = server.version;
  b.handle(server, LeaderStop{}, now);
  CHECK(b.state.role == Role::Stopped);
  CHECK(server.version == version);
}

TEST_CASE_FIXTURE(Fixture, "a holder that is known to be dead is not waited for") {
  live(5s);
  a.cut = true;
  b.handle(server, LeaderHolderDead{"someone else"}, now);
  CHECK(b.terms.empty());
  b.handle(server, LeaderHolderDead{"a"}, now);
  CHECK(b.terms == std::vector<std::int32_t>{2});
  // The one thought dead is alive: it learns of it, and its compare-and-swap fails.
  a.cut = false;
  a.handle(server, LeaderTick{}, now);
  pass(2s);
  a.handle(server, LeaderTick{}, now);
  CHECK(a.state.role == Role::Standby);
  CHECK(a.deposed == 1);
}

TEST_CASE_FIXTURE(Fixture, "a renewal that was done though its answer was lost is no loss") {
  live(5s);
  server.lease->meta.resource_version = std::to_string(++server.version); // ours, done, unanswered
  live(10s);
  CHECK(a.state.role == Role::Leading);
  CHECK(a.terms.size() == 1);
  CHECK(a.deposed == 0);
}

TEST_CASE_FIXTURE(
    Fixture,
    "an answer that comes after the deadline makes nobody leader again under the old term") {
  live(4s);
  // Sent in time, answered too late.
  auto actions = step(a.state, a.config, LeaderTick{}, now);
  while (actions.empty()) {
    pass(100ms);
    actions = step(a.state, a.config, LeaderTick{}, now);
  }
  const auto* update = std::get_if<UpdateLease>(&actions.at(0));
  REQUIRE(update != nullptr);
  const auto answer = server.write(update->lease, false);
  pass(11s);
  a.handle(server, LeaderTick{}, now);
  CHECK(a.deposed == 1);
  a.handle(server, LeaderWrote{answer}, now);
  live(10s);
  CHECK(a.terms == std::vector<std::int32_t>{1, 2});
}

TEST_CASE_FIXTURE(Fixture, "a lease that was deleted brings no old term back") {
  live(5s);
  server.lease->transitions = 7;
  server.lease->meta.resource_version = std::to_string(++server.version);
  live(5s); // a's term is another one now: it gives way, and takes it anew
  CHECK(a.terms.back() == 8);
  server.lease.reset();
  live(5s);
  CHECK(a.terms.back() == 9);
  CHECK(server.lease->transitions == 9);
  server.lease.reset();
  a.handle(server, LeaderTermSeen{40}, now);
  live(5s);
  CHECK(a.terms.back() == 41);
}

TEST_CASE_FIXTURE(Fixture, "a restart under the same identity is a new term") {
  live(5s);
  a = Candidate("a");
  live(3s);
  CHECK(a.terms == std::vector<std::int32_t>{2});
}

TEST_CASE_FIXTURE(Fixture, "a lease that cannot be written is no reason to ask without a pause") {
  SUBCASE("its namespace does not exist") {
    server.refuses = 404;
  }
  SUBCASE("someone else is always faster") {
    server.refuses = 409;
  }
  SUBCASE("the leader's own, by an admission webhook") {
    live(5s);
    REQUIRE(a.state.role == Role::Leading);
    server.refuses = 409;
    server.requests = 0;
  }
  live(20s);
  CHECK(server.requests > 10);
  CHECK(server.requests < 100); // two candidates, each at most two reads and writes in two seconds
  server.refuses = 0;
  live(20s);
  CHECK((a.state.role == Role::Leading) != (b.state.role == Role::Leading));
}

TEST_CASE_FIXTURE(Fixture, "a term that is at its end stays there") {
  server.lease = api::Lease{};
  server.lease->transitions = std::numeric_limits<std::int32_t>::max();
  live(1s);
  CHECK(a.terms == std::vector<std::int32_t>{std::numeric_limits<std::int32_t>::max()});
}

TEST_CASE("clocks that differ by hours, cuts and restarts: never two leaders, terms only grow") {
  for (unsigned seed = 0; seed < 50; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    Server server;
    std::map<int, Candidate> all;
    for (int i = 0; i < 3; ++i) all.emplace(i, Candidate(std::to_string(i)));
    Time time{1h};
    std::int32_t top = 0;
    int restarts = 0, most = 0;
    for (const Time end = time + 4000 * 50ms; time < end; time += 50ms) {
      int leading = 0;
      for (auto& [i, candidate] : all) {
        const Now now{time, WallTime{std::chrono::hours(1000 * (3 - i)) +
                                     std::chrono::duration_cast<std::chrono::microseconds>(
                                         time.time_since_epoch())}};
        if (random() % 400 == 0) candidate.cut = !candidate.cut;
        if (random() % 2000 == 0) candidate = Candidate(fmt::format("{}-{}", i, ++restarts));
        const auto before = candidate.terms.size();
        candidate.handle(server, LeaderTick{}, now);
        if (candidate.terms.size() > before) {
          CHECK(candidate.terms.back() > top);
          top = candidate.terms.back();
        }
        leading += candidate.leads(now) ? 1 : 0;
      }
      most = std::max(most, leading);
    }
    CHECK(most == 1);
    CHECK(top > 1);
  }
}

TEST_CASE_FIXTURE(Fixture,
                  "a stand-by looks again when the lease has run out, not at its next turn") {
  live(5s);
  a.cut = true;
  Time seen{}; // by the stand-by: the last renewal
  const auto end = now.steady + 30s;
  while (b.terms.empty() && now.steady < end) {
    seen = b.state.observed_at;
    pass(10ms);
    b.handle(server, LeaderTick{}, now);
  }
  REQUIRE(b.terms.size() == 1);
  CHECK(now.steady - seen >= 15s);
  CHECK(now.steady - seen <= 15s + 20ms);
}

TEST_CASE_FIXTURE(Fixture,
                  "wall clocks that are set, or stand still, neither give nor take the lease") {
  live(5s);
  const WallTime before = now.wall;
  for (const auto jump : {1h, -1h, -2h, 48h}) {
    CAPTURE(jump.count());
    now.wall = before + jump;
    live(20s);
    CHECK(a.state.role == Role::Leading);
  }
  // The same microsecond at each renewal: others must see a change all the same.
  for (int i = 0; i < 600; ++i) {
    a.handle(server, LeaderTick{}, now);
    b.handle(server, LeaderTick{}, now);
    now.steady += 100ms;
  }
  CHECK(a.terms == std::vector<std::int32_t>{1});
  CHECK(a.deposed == 0);
  CHECK(b.terms.empty());
  // Nor does a clock that runs make a dead leader's lease look renewed.
  a.cut = true;
  for (int i = 0; i < 200; ++i) {
    now.wall += 1h;
    live(100ms);
  }
  CHECK(b.terms == std::vector<std::int32_t>{2});
}

TEST_CASE("wall clocks that jump at any moment: never two leaders, and the first one leads on") {
  for (unsigned seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    Server server;
    Candidate a("a"), b("b");
    Duration ahead[2] = {};
    Time time{1h};
    for (const Time end = time + 4000 * 50ms; time < end; time += 50ms) {
      for (int i = 0; i < 2; ++i) {
        if (random() % 50 == 0) ahead[i] = std::chrono::seconds(int(random() % 20000) - 10000);
        const WallTime wall{std::chrono::hours(1000) +
                            std::chrono::duration_cast<std::chrono::microseconds>(
                                time.time_since_epoch() + ahead[i])};
        (i == 0 ? a : b).handle(server, LeaderTick{}, {time, wall});
      }
      CHECK_FALSE((a.leads({time, {}}) && b.leads({time, {}})));
    }
    CHECK(a.terms == std::vector<std::int32_t>{1});
    CHECK(a.deposed == 0);
    CHECK(b.terms.empty());
  }
}

TEST_CASE("what makes no sense is refused") {
  LeaderConfig config{"ns", "name", "me"};
  CHECK(validate(config));
  config.renew_deadline = 15s;
  CHECK_FALSE(validate(config));
  config = {"ns", "name", ""};
  CHECK_FALSE(validate(config));
  config = {"ns", "name", "me"};
  config.lease_duration = 15500ms;
  CHECK_FALSE(validate(config));
}
