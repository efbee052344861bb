// SPDX-License-Identifier: Apache-2.0
#include "k8s/certificate_keeper.hpp"

#include <doctest/doctest.h>

#include <random>

#include "k8s/keeper_bench.hpp"

using namespace egw;
using namespace egw::test;

TEST_CASE_FIXTURE(KeeperBench, "keeper: the leader makes what is missing, all serve it") {
  server.make_configurations();
  live(1h);
  CHECK_FALSE(server.secret); // nobody leads
  CHECK_FALSE(trusted(leader.state, leader.config, api::WebhookKind::Validating, now.wall));
  lead(leader);
  settle();
  check_well();
  CHECK(server.secret_writes == 1);
  CHECK(server.bundle_writes == 2);
  CHECK(leader.told_of("WebhookCertificateRenewed: Secret egw-system/egw-webhook: there is none: "
                       "made a new authority and a new certificate") == 1);
  CHECK(leader.told_of("WebhookTrusted: ValidatingWebhookConfiguration egw ") == 1);
  CHECK(follower.told.empty());
  const int version = server.version;
  live(30 * kDay);
  CHECK(server.version == version); // nothing is written without a cause
}

TEST_CASE_FIXTURE(KeeperBench, "keeper: a new leader finds what the last one made") {
  start();
  const int version = server.version;
  lead(leader, false);
  lead(follower);
  live(1h);
  CHECK(server.version == version);
  check_well();
}

TEST_CASE_FIXTURE(KeeperBench,
                  "keeper: renewals come in time for ten years, and nobody is shut out") {
  start();
  const int bundles = server.bundle_writes;
  for (int day = 0; day < 3640; day += 10) {
    live(10 * kDay);
    check_well();
  }
  // The last day of the first authority.
  CHECK(server.secret_writes == 1 + 14 + 1);  // certificates each 243 days, one authority
  CHECK(server.bundle_writes == bundles + 2); // that of the new authority
  live(20 * kDay);
  check_well();
  CHECK(read_certificates(server.secret->data.at("ca.crt"))->size() == 1);
  CHECK(server.secret_writes == 1 + 15 + 1 + 1);
  CHECK(server.bundle_writes == bundles + 4);
  CHECK(leader.told_of("!") == 0);
}

TEST_CASE_FIXTURE(KeeperBench,
                  "keeper: a Secret that is deleted is made anew, and served meanwhile") {
  start();
  const auto before = serving();
  server.secret.reset();
  ++server.version;
  for (auto& replica : replicas) {
    replica.look(server);
    CHECK(replica.served->certificate == before);
  }
  live(1s);
  CHECK(serving() != before);
  check_well();
}

TEST_CASE_FIXTURE(KeeperBench, "keeper: damage is repaired with a word") {
  start();
  const auto before = serving();
  server.secret->data["tls.key"] = "x";
  server.secret->meta.resource_version = server.next();
  live(1s);
  CHECK(serving() != before);
  check_well();
  CHECK(leader.told_of("!WebhookCertificateRepaired: Secret egw-system/egw-webhook: tls.crt, "
                       "tls.key: the key is not a PEM key without password") == 1);
}

TEST_CASE_FIXTURE(KeeperBench, "keeper: a follower does not serve what nobody would trust") {
  start();
  lead(leader, false);
  const auto before = follower.served;
  const auto other = new_secret(leader.config.policy, now.wall);
  server.secret->data["tls.crt"] = other.data.at("tls.crt");
  server.secret->data["tls.key"] = other.data.at("tls.key");
  server.secret->meta.resource_version = server.next();
  live(1h);
  CHECK(follower.served == before);
  // A replica that starts has nothing better.
  replicas.emplace_back();
  live(1s);
  CHECK(replicas.back().served->certificate == other.data.at("tls.crt"));
}

TEST_CASE_FIXTURE(KeeperBench, "keeper: names that changed are another certificate") {
  start();
  const auto authority = bundle();
  lead(leader, false);
  settle();
  Replica renamed;
  renamed.config.policy.names = {"other.egw-system.svc"};
  replicas.push_back(renamed);
  lead(replicas.back());
  live(1s);
  CHECK(read_certificates(serving())->front().names == renamed.config.policy.names);
  CHECK(bundle() == authority);
}

TEST_CASE_FIXTURE(KeeperBench, "keeper: what it is refused is told once, and tried less and less") {
  start();
  const auto served = leader.served;
  server.refuses = Error{"secrets \"egw-webhook\" is forbidden", 403};
  server.secret->data["tls.crt"] = "x";
  server.secret->meta.resource_version = server.next();
  server.configurations[0]->ca_bundles[0] = "";
  server.tries = 0;
  live(1h);
  CHECK(leader.served == served);
  CHECK(server.tries > 5);
  CHECK(server.tries < 40);
  CHECK(leader.told_of("!WebhookCertificateFailed: secrets \"egw-webhook\" is forbidden") == 1);
  CHECK(leader.state.troubles.size() == 1);
  lead(leader, false);
  lead(follower);
  live(1min);
  CHECK(leader.state.troubles.empty());
  CHECK(follower.told_of("!WebhookCertificateFailed") == 1);
  server.refuses.reset();
  live(6min);
  check_well();
  CHECK(follower.state.troubles.empty());
}

TEST_CASE_FIXTURE(KeeperBench,
                  "keeper: a namespace that is not there is told, though it is a 404") {
  server.make_configurations();
  server.refuses = Error{"namespaces \"egw-system\" not found", 404};
  lead(leader);
  live(1min);
  CHECK(leader.told_of("!WebhookCertificateFailed: namespaces") == 1);
  server.refuses.reset();
  live(6min);
  check_well();
}

TEST_CASE_FIXTURE(KeeperBench, "keeper: two that take themselves for the leader make one Secret") {
  server.make_configurations();
  lead(leader);
  lead(follower);
  live(1min);
  check_well();
  CHECK(server.secret_writes == 1);
  CHECK(leader.told_of("!") + follower.told_of("!") == 0);
}

TEST_CASE_FIXTURE(KeeperBench,
                  "keeper: configurations come and go, and only what differs is written") {
  lead(leader);
  live(1h);
  REQUIRE(server.secret);
  CHECK(server.bundle_writes == 0);
  CHECK(trusted(leader.state, leader.config, api::WebhookKind::Mutating, now.wall) == false);
  server.make_configurations();
  server.configurations[0]->ca_bundles = {bundle(), bundle()};
  live(1min);
  check_well();
  CHECK(server.bundle_writes == 1);
  server.configurations[1]->ca_bundles[0] = "";
  server.configurations[1]->meta.resource_version = server.next();
  live(1min);
  check_well();
  CHECK(server.bundle_writes == 2);
  server.configurations[1]->ca_bundles.clear();
  server.configurations[0].reset();
  ++server.version;
  live(1h);
  CHECK(server.bundle_writes == 2);
}

TEST_CASE_FIXTURE(KeeperBench, "keeper: another program that undoes each write is not raced with") {
  start();
  server.bundle_writes = 0;
  for (int i = 0; i < 3600; ++i) { // each second for an hour
    for (auto& stood : server.configurations[0]->ca_bundles) stood = "Zm9v";
    server.configurations[0]->meta.resource_version = server.next();
    live(1s);
  }
  CHECK(server.bundle_writes > 8);
  CHECK(server.bundle_writes < 30);
  CHECK(leader.told_of("another program changes caBundle each time") == 1);
  CHECK(leader.state.troubles.size() == 1);
  live(21min);
  check_well();
  CHECK(leader.state.troubles.empty());
}

TEST_CASE_FIXTURE(KeeperBench, "keeper: others may write the configurations") {
  for (auto& replica : replicas) replica.config.configurations.clear();
  start();
  live(1h);
  CHECK(server.bundle_writes == 0);
  CHECK(server.secret_writes == 1);
  CHECK_FALSE(trusted(leader.state, leader.config, api::WebhookKind::Validating, now.wall));
}

TEST_CASE_FIXTURE(KeeperBench, "keeper: a wall clock that is set is noticed within the hour") {
  start();
  const auto before = serving();
  now.wall += 300 * kDay;
  live(61min);
  CHECK(serving() != before);
  check_well();
  now.wall -= 300 * kDay;
  live(61min);
  check_well();
  CHECK(leader.told_of("is not valid before") == 1);
  now.wall -= 300 * kDay;
  const int version = server.version;
  live(10 * kDay);
  CHECK(server.version == version);
  CHECK(leader.told_of("!WebhookCertificateFailed: Secret egw-system/egw-webhook: it was made "
                       "at 2026-") == 1);
}

TEST_CASE_FIXTURE(KeeperBench, "keeper: certificates that end in the year 9999 are no trouble") {
  auto far = new_secret(
      {leader.config.policy.secret, leader.config.policy.names, 250 * 365 * kDay, 290 * 365 * kDay},
      now.wall);
  for (auto& replica : replicas) {
    replica.config.policy.secret.name.clear();
    replica.events.emplace_back(KeeperFiles{material_of(far)});
  }
  server.make_configurations();
  lead(leader);
  live(3h);
  CHECK(leader.served->certificate == far.data.at("tls.crt"));
}

TEST_CASE_FIXTURE(KeeperBench,
                  "keeper: files are served as they stand, and their authority written") {
  const auto make = [&](Duration lifetime) {
    return material_of(new_secret({{}, {"a.b.svc"}, lifetime, lifetime}, now.wall));
  };
  for (auto& replica : replicas) replica.config.policy.secret.name.clear();
  server.make_configurations();
  lead(leader);
  leader.events.emplace_back(KeeperFiles{Error{"cannot read /certs/tls.crt: No such file"}});
  live(1h);
  CHECK_FALSE(leader.served);
  CHECK(leader.told_of("!WebhookCertificateUnusable: cannot read /certs/tls.crt") == 1);

  const auto first = make(10 * kDay);
  leader.events.emplace_back(KeeperFiles{first});
  live(1h);
  CHECK(leader.served == first.serving);
  CHECK(server.configurations[0]->ca_bundles[1] == base64_encode(first.authorities));
  CHECK_FALSE(server.secret);

  // A pair in the middle of being replaced.
  auto half = make(10 * kDay);
  half.serving.key = first.serving.key;
  leader.events.emplace_back(KeeperFiles{half});
  live(1min);
  CHECK(leader.served == first.serving);
  CHECK(leader.told_of("the key does not belong to the certificate") == 1);

  auto without = make(10 * kDay);
  without.authorities.clear();
  leader.events.emplace_back(KeeperFiles{without});
  live(11 * kDay);
  CHECK(leader.served == without.serving);
  CHECK(leader.told_of("there is no ca.crt among the files") == 1);
  CHECK(leader.told_of("tls.crt ran out at ") == 1);
  const auto second = make(10 * kDay);
  leader.events.emplace_back(KeeperFiles{second});
  live(1h);
  CHECK(leader.served == second.serving);
  CHECK(server.configurations[1]->ca_bundles[0] == base64_encode(second.authorities));
}

TEST_CASE("keeper: leaders that come and go, cuts, deletions, damage: in the end all is well") {
  for (unsigned seed = 0; seed < 10; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    KeeperBench f;
    f.server.make_configurations();
    for (int turn = 0; turn < 40; ++turn) {
      for (auto& replica : f.replicas) {
        if (random() % 5 == 0) f.lead(replica, random() % 2 == 0);
        if (random() % 5 == 0) replica.cut = !replica.cut;
        if (random() % 20 == 0) replica = Replica();
      }
      if (f.server.secret && random() % 10 == 0) {
        auto& data = f.server.secret->data;
        auto at = std::next(data.begin(), static_cast<long>(random() % data.size()));
        at->second = random() % 2 == 0 ? "" : at->second.substr(0, at->second.size() / 2);
        f.server.secret->meta.resource_version = f.server.next();
      }
      if (random() % 15 == 0) {
        f.server.secret.reset();
        ++f.server.version;
      }
      f.live(std::chrono::hours(random() % 2000));
    }
    for (auto& replica : f.replicas) {
      replica.cut = false;
      f.lead(replica, &replica == &f.leader);
    }
    f.live(10min);
    f.check_well();
  }
}
