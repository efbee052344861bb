// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <deque>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "base/base64.hpp"
#include "base/chrono.hpp"
#include "k8s/certificate_keeper.hpp"

// Replicas of a keeper, and the API server's part as a model, in virtual time.
namespace egw::test {

using namespace egw::k8s;
using namespace std::chrono_literals;

inline constexpr auto kDay = std::chrono::hours(24);

inline api::Secret new_secret(const CertificatePolicy& policy, WallTime now) {
  return make_secret(nullptr, plan_certificates(nullptr, policy, now), policy, now).value();
}

// The API server's part: the Secret and both configurations, with compare-and-swap.
struct SecretServer {
  std::optional<api::Secret> secret;
  std::array<std::optional<api::WebhookConfiguration>, 2> configurations;
  int version = 0, secret_writes = 0, bundle_writes = 0, tries = 0;
  std::optional<Error> refuses; // every write

  std::string next() { return std::to_string(++version); }

  void make_configurations() {
    for (auto& configuration : configurations) {
      configuration.emplace();
      configuration->meta.name = "egw";
      configuration->meta.resource_version = next();
      configuration->ca_bundles = {"", "Cg=="};
    }
  }

  Result<api::Secret> write(const WriteSecret& wish, const CertificatePolicy& policy,
                            const Now& now) {
    ++tries;
    if (refuses) return *refuses;
    const auto* before = wish.before ? &*wish.before : nullptr;
    auto made = make_secret(before, wish.plan, policy, now.wall);
    if (!made) return made;
    if (before == nullptr) {
      if (secret) return Error{"already exists", 409};
      made->meta.uid = next();
      made->meta.created = std::chrono::floor<std::chrono::seconds>(now.wall);
    } else {
      if (!secret) return Error{"not found", 404};
      if (secret->meta.resource_version != made->meta.resource_version) {
        return Error{"the object has been modified", 409};
      }
      if (secret->type != made->type) return Error{"type: field is immutable", 422};
    }
    made->meta.resource_version = next();
    ++secret_writes;
    secret = *made;
    return made;
  }

  Result<api::WebhookConfiguration> write(const WriteBundle& wish) {
    ++tries;
    if (refuses) return *refuses;
    auto& stands = configurations[wish.kind == api::WebhookKind::Validating ? 0 : 1];
    if (!stands) return Error{"not found", 404};
    if (stands->meta.resource_version != wish.resource_version) {
      return Error{"the object has been modified", 409};
    }
    for (const auto i : wish.webhooks) {
      if (i >= stands->ca_bundles.size()) return Error{"no such path", 422};
      stands->ca_bundles[i] = wish.bundle;
    }
    stands->meta.resource_version = next();
    ++bundle_writes;
    return *stands;
  }
};

struct Replica {
  KeeperState state;
  KeeperConfig config{{{"egw-system", "egw-webhook"}, {"egw-webhook.egw-system.svc"}}, "egw"};
  std::deque<KeeperEvent> events;
  std::optional<KeyPair> served;
  std::vector<std::string> told; // "REASON: MESSAGE", a warning with '!'
  int seen = -1;                 // of the server's version
  bool cut = false;              // its watches bring nothing, its writes get no answer

  // What the watches say: the last state, as after a list.
  void look(const SecretServer& server) {
    if (cut || seen == server.version) return;
    seen = server.version;
    Replaced<api::Secret> secrets;
    if (server.secret) secrets.items.push_back(*server.secret);
    events.emplace_back(KeeperSecret{secrets});
    for (const auto kind : kWebhookKinds) {
      Replaced<api::WebhookConfiguration> all;
      const auto& stands = server.configurations[kind == api::WebhookKind::Validating ? 0 : 1];
      if (stands) all.items.push_back(*stands);
      events.emplace_back(KeeperConfiguration{kind, all});
    }
  }

  void handle(SecretServer& server, const Now& now) {
    while (!events.empty()) {
      auto event = std::move(events.front());
      events.pop_front();
      for (auto& action : step(state, config, std::move(event), now)) {
        perform(server, action, now);
      }
    }
  }

  void perform(SecretServer& server, const KeeperAction& action, const Now& now) {
    const Error lost{"no answer", 0};
    if (const auto* serve = std::get_if<Serve>(&action)) {
      CHECK(check_key(serve->pair).ok());
      served = serve->pair;
    } else if (const auto* secret = std::get_if<WriteSecret>(&action)) {
      CHECK(state.leads);
      events.emplace_back(KeeperWroteSecret{cut ? Result<api::Secret>(lost)
                                                : server.write(*secret, config.policy, now)});
    } else if (const auto* bundle = std::get_if<WriteBundle>(&action)) {
      CHECK(state.leads);
      events.emplace_back(KeeperWroteBundle{
          bundle->kind, cut ? Result<api::WebhookConfiguration>(lost) : server.write(*bundle)});
    } else if (const auto* tell = std::get_if<Tell>(&action)) {
      told.push_back(
          fmt::format("{}{}: {}", tell->warning ? "!" : "", tell->reason, tell->message));
    }
  }
  [[nodiscard]] int told_of(const std::string& part) const {
    return static_cast<int>(std::ranges::count_if(
        told, [&](const auto& text) { return text.find(part) != std::string::npos; }));
  }
};

struct KeeperBench {
  SecretServer server;
  std::list<Replica> replicas = std::list<Replica>(2);
  Replica& leader = replicas.front();
  Replica& follower = replicas.back();
  Now now{Time{1h}, WallTime{std::chrono::seconds(1'790'000'000)}};

  void lead(Replica& one, bool leads = true) { one.events.emplace_back(KeeperLeads{leads}); }
  void pass(Duration d) {
    now.steady += d;
    now.wall += std::chrono::duration_cast<std::chrono::microseconds>(d);
  }
  // What follows at this moment.
  void settle() {
    for (bool busy = true; busy;) {
      busy = false;
      for (auto& replica : replicas) {
        replica.look(server);
        busy = busy || !replica.events.empty();
        replica.handle(server, now);
      }
    }
  }
  // From wake to wake, as far as that makes no more than a hundred: years take too long else.
  void live(Duration d) {
    const auto end = now.steady + d;
    for (settle(); now.steady < end; settle()) {
      auto next = end;
      for (auto& replica : replicas) {
        if (const auto at = wake(replica.state)) next = std::min(next, *at);
        replica.events.emplace_back(KeeperTick{});
      }
      pass(std::max<Duration>({next - now.steady, 1ms, d / 100}));
    }
  }
  void start() {
    server.make_configurations();
    lead(leader);
    settle();
    REQUIRE(server.secret);
  }
  [[nodiscard]] std::string bundle() const {
    return base64_encode(server.secret->data.at("ca.crt"));
  }
  // All serve what stands in the Secret, and the configurations trust it.
  void check_well() {
    REQUIRE(server.secret);
    const auto material = material_of(*server.secret);
    CHECK(check_serving(material.serving.certificate, material.authorities,
                        leader.config.policy.names, now.wall)
              .ok());
    for (const auto& replica : replicas) CHECK(replica.served == material.serving);
    for (const auto& stands : server.configurations) {
      for (const auto& stood : stands->ca_bundles) CHECK(stood == bundle());
    }
    for (const auto kind : kWebhookKinds) {
      CHECK(trusted(follower.state, follower.config, kind, now.wall) == true);
    }
  }
  std::string serving() { return server.secret->data.at("tls.crt"); }
};

} // namespace egw::test
