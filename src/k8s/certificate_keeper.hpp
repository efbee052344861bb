// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "api/core.hpp"
#include "base/chrono.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "k8s/certificate_secret.hpp"
#include "k8s/store.hpp"

// Keeps a webhook's certificates, as a pure function of (state, event, now). All replicas serve
// what stands in the Secret (or in files); the leader alone makes and renews it, by
// compare-and-swap, and writes the authorities into the webhook configurations, so that API servers
// trust what is served.
namespace egw::k8s {

struct KeeperConfig {
  CertificatePolicy policy;   // secret.name empty: certificates come from files, and none are made
  std::string configurations; // name of both webhook configurations; empty: others write them
  [[nodiscard]] bool from_secret() const { return !policy.secret.name.empty(); }
  [[nodiscard]] bool injects() const { return !configurations.empty(); }
};

inline constexpr std::array kWebhookKinds = {api::WebhookKind::Validating,
                                             api::WebhookKind::Mutating};

// Something that is written: one request at a time, and never often, also where another program
// undoes each time what was written.
struct KeeperTarget {
  bool busy = false;
  Time not_before{};    // of the next write
  Duration pause{};     // after the next write; doubles, up to five minutes
  Time written_at{};    // the last write
  bool creates = false; // the write under way
};

// What was found out about what stands in the Secret or the files. It holds for the same material
// until a certificate's date is passed.
struct KeeperJudgement {
  Material material;
  std::string version; // of the Secret
  WallTime from{}, until{};
  Result<void> usable;  // key and certificate belong together
  bool trusted = false; // by who trusts the authorities that stand beside it
  CertificatePlan plan; // of the Secret
};

struct KeeperState {
  bool leads = false;
  Store<api::Secret> secrets; // holds at most the one
  std::array<Store<api::WebhookConfiguration>, kWebhookKinds.size()> configurations;
  std::optional<Material> files;
  std::optional<KeyPair> served;
  std::optional<KeeperJudgement> judgement;
  KeeperTarget secret;
  std::array<KeeperTarget, kWebhookKinds.size()> bundles;
  CertificatePlan writing;                     // the plan whose write is under way
  std::map<std::string, std::string> troubles; // that stand, by where they are; each was told once
  std::optional<Time> next;
};

// What happens to it.
struct KeeperTick {}; // `next` has come
struct KeeperLeads {
  bool leads = false;
};
struct KeeperSecret {
  WatchEvent<api::Secret> event;
};
struct KeeperConfiguration {
  api::WebhookKind kind{};
  WatchEvent<api::WebhookConfiguration> event;
};
struct KeeperFiles { // read anew
  Result<Material> material;
};
struct KeeperWroteSecret { // answer to WriteSecret
  Result<api::Secret> secret;
};
struct KeeperWroteBundle { // answer to WriteBundle
  api::WebhookKind kind{};
  Result<api::WebhookConfiguration> configuration;
};
using KeeperEvent = std::variant<KeeperTick, KeeperLeads, KeeperSecret, KeeperConfiguration,
                                 KeeperFiles, KeeperWroteSecret, KeeperWroteBundle>;

// What it wants done.
struct Serve {
  KeyPair pair;
};
struct WriteSecret { // make_secret(), then an update with `before`'s resourceVersion, or a create
  std::optional<api::Secret> before;
  CertificatePlan plan;
};
struct WriteBundle { // with resourceVersion, and of nothing but these caBundles
  api::WebhookKind kind{};
  std::string name, resource_version;
  std::vector<std::size_t> webhooks; // indexes
  std::string bundle;                // base64
};
struct Tell { // as a log line and an Event
  bool warning = false;
  std::string reason, message;
  std::string uid; // of the Secret that it is about; empty: not known, or none
};
using KeeperAction = std::variant<Serve, WriteSecret, WriteBundle, Tell>;

[[nodiscard]] std::vector<KeeperAction> step(KeeperState& state, const KeeperConfig& config,
                                             KeeperEvent event, const Now& now);
// When step() wants its next KeeperTick.
[[nodiscard]] inline std::optional<Time> wake(const KeeperState& state) {
  return state.next;
}

// Whether the configuration is there, and a client with its caBundles takes what is served; nothing
// where that is not known.
[[nodiscard]] std::optional<bool> trusted(const KeeperState& state, const KeeperConfig& config,
                                          api::WebhookKind kind, WallTime at);

} // namespace egw::k8s
