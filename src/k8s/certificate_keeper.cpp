// SPDX-License-Identifier: Apache-2.0
#include "k8s/certificate_keeper.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/json.hpp"
#include "base/base64.hpp"
#include "k8s/client.hpp"

namespace egw::k8s {
namespace {

constexpr Duration kFirstPause = std::chrono::milliseconds(250);
constexpr Duration kLongestPause = std::chrono::minutes(5);
constexpr Duration kQuiet = std::chrono::minutes(10);       // then the pauses begin anew
constexpr Duration kSuspicious = std::chrono::seconds(30);  // after seven writes without rest
constexpr const char *kFiles = "files", *kPair = "tls.crt"; // troubles that every replica has
constexpr const char* kUnusable = "WebhookCertificateUnusable";
constexpr Duration kLookAgain = std::chrono::hours(1); // the wall clock may have been set

std::size_t index(api::WebhookKind kind) {
  return kind == api::WebhookKind::Validating ? 0 : 1;
}

bool of_files(const std::string& where) {
  return where == kFiles || where == kPair;
}

class Step {
 public:
  Step(KeeperState& state, const KeeperConfig& config, const Now& now)
      : s_(state), config_(config), now_(now) {}

  std::vector<KeeperAction> run(KeeperEvent& event) {
    std::visit([this](auto& e) { take(e); }, event);
    s_.next = now_.steady + kLookAgain;
    judge();
    serve();
    if (s_.leads) keep_secret();
    if (s_.leads) {
      for (const auto kind : kWebhookKinds) keep_bundle(kind);
    }
    return std::move(actions_);
  }

 private:
  // --- events

  void take(const KeeperTick&) {}
  void take(const KeeperLeads& event) {
    s_.leads = event.leads;
    // What the leader could not do is another's affair now.
    if (!s_.leads) std::erase_if(s_.troubles, [](const auto& t) { return !of_files(t.first); });
  }
  void take(KeeperSecret& event) { s_.secrets.apply(std::move(event.event)); }
  void take(KeeperConfiguration& event) {
    s_.configurations[index(event.kind)].apply(std::move(event.event));
  }
  void take(KeeperFiles& event) {
    if (event.material) s_.files = std::move(event.material).value();
    trouble(kFiles, kUnusable, event.material ? "" : event.material.error().message);
  }
  void take(KeeperWroteSecret& event) {
    const auto plan = std::exchange(s_.writing, {});
    if (!wrote(s_.secret, event.secret, "Secret", "WebhookCertificateFailed")) return;
    s_.secrets.apply(Upsert<api::Secret>{std::move(event.secret).value()});
    tell(plan.repair, plan.repair ? "WebhookCertificateRepaired" : "WebhookCertificateRenewed",
         fmt::format("Secret {}: {}: {}", config_.policy.secret.to_string(), plan.why, done(plan)));
  }
  void take(KeeperWroteBundle& event) {
    auto& target = s_.bundles[index(event.kind)];
    const char* kind = api::webhook_resource(event.kind).kind;
    if (!wrote(target, event.configuration, kind, "WebhookConfigurationFailed")) return;
    tell(false, "WebhookTrusted",
         fmt::format("{} {} has the authority of what is served", kind, config_.configurations));
    s_.configurations[index(event.kind)].apply(
        Upsert<api::WebhookConfiguration>{std::move(event.configuration).value()});
  }

  static const char* done(const CertificatePlan& plan) {
    if (plan.authority && plan.serving) return "made a new authority and a new certificate";
    if (plan.authority) return "made a new authority";
    return plan.serving ? "made a new certificate" : "took it out";
  }

  // Whether it went well. That another was faster is no trouble: the watch tells what stands now.
  template <class T>
  bool wrote(KeeperTarget& target, const Result<T>& result, const char* where, const char* reason) {
    target.busy = false;
    const bool outrun =
        !result && (conflict(result.error()) || (not_found(result.error()) && !target.creates));
    if (!outrun) trouble(where, reason, result ? "" : result.error().message);
    return result.ok();
  }

  // --- what is served, and to be trusted

  [[nodiscard]] const api::Secret* secret() const { return s_.secrets.find(config_.policy.secret); }

  [[nodiscard]] std::optional<Material> material() const {
    if (!config_.from_secret()) return s_.files;
    const auto* found = secret();
    return found == nullptr ? std::nullopt : std::optional(material_of(*found));
  }

  [[nodiscard]] bool belongs(const KeyPair& pair, const std::string& authorities) const {
    return check_serving(pair.certificate, authorities, {}, now_.wall).ok();
  }

  void judge() {
    const auto stands = material();
    if (!stands) return s_.judgement.reset();
    const auto* holder = config_.from_secret() ? secret() : nullptr;
    const auto version = holder == nullptr ? std::string() : holder->meta.resource_version;
    const auto& old = s_.judgement;
    if (old && old->from <= now_.wall && now_.wall < old->until && old->version == version &&
        old->material == *stands) {
      return;
    }
    KeeperJudgement made{*stands,
                         version,
                         now_.wall,
                         now_.wall,
                         check_key(stands->serving),
                         belongs(stands->serving, stands->authorities),
                         {}};
    if (holder != nullptr) {
      made.plan = plan_certificates(holder, config_.policy, now_.wall);
      made.until = made.plan.next.value_or(now_.wall);
    }
    s_.judgement = std::move(made);
  }

  void serve() {
    if (!s_.judgement) return;
    const auto& [stands, version, from, until, usable, trusted, plan] = *s_.judgement;
    if (!usable) {
      // A leader mends its Secret, and says so.
      if (!config_.from_secret()) trouble(kPair, kUnusable, usable.error().message);
      return;
    }
    if (!config_.from_secret()) judge_age(stands.serving);
    // A pair that nobody would trust is no reason to give up one that is trusted.
    if (s_.served == stands.serving ||
        (s_.served && !trusted && belongs(*s_.served, stands.authorities))) {
      return;
    }
    s_.served = stands.serving;
    actions_.emplace_back(Serve{stands.serving});
  }

  // Of files, which others renew.
  void judge_age(const KeyPair& pair) {
    const auto until = read_certificates(pair.certificate)->front().until;
    const bool over = until <= now_.wall;
    trouble(kPair, kUnusable,
            over ? fmt::format("tls.crt ran out at {}: renew it", rfc3339(until)) : "");
    if (!over) by(until);
  }

  // --- the leader's work

  void keep_secret() {
    if (!config_.from_secret() || !s_.secrets.synced() || s_.secret.busy) return;
    const auto* before = secret();
    const auto plan =
        s_.judgement ? s_.judgement->plan : plan_certificates(before, config_.policy, now_.wall);
    trouble("plan", "WebhookCertificateFailed",
            plan.trouble.empty()
                ? ""
                : fmt::format("Secret {}: {}", config_.policy.secret.to_string(), plan.trouble));
    if (plan.next) by(*plan.next);
    if (!plan.any() || !may_write(s_.secret)) return;
    s_.secret.creates = before == nullptr;
    s_.writing = plan;
    actions_.emplace_back(
        WriteSecret{before == nullptr ? std::nullopt : std::optional(*before), plan});
  }

  void keep_bundle(api::WebhookKind kind) {
    auto& target = s_.bundles[index(kind)];
    const auto* stands = s_.configurations[index(kind)].find({"", config_.configurations});
    if (!config_.injects() || stands == nullptr || target.busy || !s_.judgement) return;
    const auto& authorities = s_.judgement->material.authorities;
    trouble("ca.crt", kUnusable,
            authorities.empty() && !config_.from_secret()
                ? "there is no ca.crt among the files, which is to go into the webhook "
                  "configurations: add it, or set --webhook-ca-injection=false"
                : "");
    // Nothing is sent that would shut out what is served.
    if (!s_.judgement->trusted) return;
    WriteBundle write{
        kind, stands->meta.name, stands->meta.resource_version, {}, base64_encode(authorities)};
    for (std::size_t i = 0; i < stands->ca_bundles.size(); ++i) {
      if (stands->ca_bundles[i] != write.bundle) write.webhooks.push_back(i);
    }
    const char* name = api::webhook_resource(kind).kind;
    const auto where = fmt::format("{} again", name);
    if (write.webhooks.empty()) {
      if (now_.steady - target.written_at > kQuiet) s_.troubles.erase(where);
      return;
    }
    trouble(where, "WebhookConfigurationFailed",
            target.pause < kSuspicious
                ? ""
                : fmt::format("{} {}: another program changes caBundle each time: set "
                              "--webhook-ca-injection=false if it is to do so",
                              name, config_.configurations));
    if (may_write(target)) actions_.emplace_back(std::move(write));
  }

  // Now, and then it is under way; else its time is noted.
  bool may_write(KeeperTarget& target) {
    if (now_.steady < target.not_before) {
      by(target.not_before);
      return false;
    }
    if (target.pause == Duration::zero() || now_.steady - target.written_at > kQuiet) {
      target.pause = kFirstPause;
    }
    target.busy = true;
    target.written_at = now_.steady;
    target.not_before = now_.steady + target.pause;
    target.pause = std::min(target.pause * 2, kLongestPause);
    return true;
  }

  void by(Time at) { s_.next = std::min(*s_.next, at); }
  void by(WallTime at) { // dates of certificates may be thousands of years away
    const WallTime::duration left =
        std::min(at - now_.wall, std::chrono::duration_cast<WallTime::duration>(kLookAgain));
    by(now_.steady + left);
  }
  void tell(bool warning, const char* reason, std::string message) {
    const auto* about = config_.from_secret() ? secret() : nullptr;
    actions_.emplace_back(Tell{warning, reason, std::move(message),
                               about == nullptr ? std::string() : about->meta.uid});
  }
  // What stands at that place; one that is still the same was told. Empty: there is none.
  void trouble(const std::string& where, const char* reason, const std::string& message) {
    if (message.empty()) {
      s_.troubles.erase(where);
    } else if (std::exchange(s_.troubles[where], message) != message) {
      tell(true, reason, message);
    }
  }

  KeeperState& s_;
  const KeeperConfig& config_;
  const Now& now_;
  std::vector<KeeperAction> actions_;
};

} // namespace

std::vector<KeeperAction> step(KeeperState& state, const KeeperConfig& config, KeeperEvent event,
                               const Now& now) {
  return Step(state, config, now).run(event);
}

std::optional<bool> trusted(const KeeperState& state, const KeeperConfig& config,
                            api::WebhookKind kind, WallTime at) {
  const auto& store = state.configurations[index(kind)];
  if (!config.injects() || !store.synced() || !state.served) return std::nullopt;
  const auto* stands = store.find({"", config.configurations});
  if (stands == nullptr) return false;
  return std::ranges::all_of(stands->ca_bundles, [&](const std::string& bundle) {
    const auto pem = base64_decode(bundle);
    return pem && check_serving(state.served->certificate, *pem, {}, at).ok();
  });
}

} // namespace egw::k8s
