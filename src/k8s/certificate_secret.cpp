// SPDX-License-Identifier: Apache-2.0
#include "k8s/certificate_secret.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/chrono.hpp"

namespace egw::k8s {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

std::string value(const api::Secret& secret, const char* key) {
  const auto at = secret.data.find(key);
  return at == secret.data.end() ? std::string() : at->second;
}

WallTime renewal_time(const CertificateInfo& info) {
  const auto begin = info.from + duration_cast<microseconds>(kClockSkew);
  return begin + (info.until - begin) * 2 / 3;
}

bool valid_at(const CertificateInfo& info, WallTime at) {
  return info.from <= at && at < info.until;
}

// Adds what must be done, with its first cause.
class Planner {
 public:
  Planner(const api::Secret& secret, const CertificatePolicy& policy, WallTime now)
      : secret_(secret), policy_(policy), now_(now) {}

  CertificatePlan plan() {
    look_at_authorities();
    look_at_serving();
    return std::move(plan_);
  }

 private:
  void want(bool CertificatePlan::* what, bool damage, std::string why) {
    plan_.*what = true;
    if (!plan_.why.empty()) return;
    plan_.why = std::move(why);
    plan_.repair = damage;
  }
  void by(WallTime at) { plan_.next = plan_.next ? std::min(*plan_.next, at) : at; }

  // true: the certificate is right for now, and its time was noted.
  bool judge_age(const CertificateInfo& info, bool CertificatePlan::* renew, const char* key) {
    const auto renewal = renewal_time(info);
    if (info.until <= now_) {
      want(renew, false, fmt::format("{} ran out at {}", key, rfc3339(info.until)));
    } else if (info.from > now_) {
      want(renew, true, fmt::format("{} is not valid before {}", key, rfc3339(info.from)));
    } else if (renewal <= now_) {
      want(renew, false, fmt::format("two thirds of {}'s time are over", key));
    } else {
      by(renewal);
      return true;
    }
    return false;
  }

  void look_at_authorities() {
    const auto pem = value(secret_, kAuthorityCertificate);
    const auto all = read_certificates(pem);
    if (!all) {
      return want(&CertificatePlan::authority, true,
                  fmt::format("{} is {}", kAuthorityCertificate, all.error().message));
    }
    const auto& first = all->front();
    if (!first.authority) {
      want(&CertificatePlan::authority, true,
           fmt::format("the first certificate of {} is no authority", kAuthorityCertificate));
    } else if (auto right = check_key({first.pem, value(secret_, kAuthorityKey)}); !right) {
      want(&CertificatePlan::authority, true,
           fmt::format("{}, {}: {}", kAuthorityCertificate, kAuthorityKey, right.error().message));
    } else {
      judge_age(first, &CertificatePlan::authority, kAuthorityCertificate);
    }
    for (auto old = all->begin() + 1; old != all->end(); ++old) {
      if (valid_at(*old, now_)) {
        by(old->until);
      } else {
        want(&CertificatePlan::prune, false,
             fmt::format("an old authority ran out at {}", rfc3339(old->until)));
      }
    }
  }

  void look_at_serving() {
    const auto pem = value(secret_, kServingCertificate);
    const auto all = read_certificates(pem);
    if (!all) {
      return want(&CertificatePlan::serving, true,
                  fmt::format("{} is {}", kServingCertificate, all.error().message));
    }
    if (auto right = check_key({pem, value(secret_, kServingKey)}); !right) {
      return want(
          &CertificatePlan::serving, true,
          fmt::format("{}, {}: {}", kServingCertificate, kServingKey, right.error().message));
    }
    const auto& info = all->front();
    if (!judge_age(info, &CertificatePlan::serving, kServingCertificate)) return;
    auto names = policy_.names, present = info.names;
    std::ranges::sort(names);
    std::ranges::sort(present);
    if (names != present) {
      return want(&CertificatePlan::serving, false,
                  fmt::format("{} is for {}, and not for {}", kServingCertificate,
                              fmt::join(info.names, ", "), fmt::join(policy_.names, ", ")));
    }
    if (auto right = check_serving(pem, value(secret_, kAuthorityCertificate), {}, now_); !right) {
      want(&CertificatePlan::serving, true,
           fmt::format("{} and {} do not belong together: {}", kServingCertificate,
                       kAuthorityCertificate, right.error().message));
    }
  }

  const api::Secret& secret_;
  const CertificatePolicy& policy_;
  WallTime now_;
  CertificatePlan plan_;
};

// What of ca.crt is valid, the signing one first.
std::vector<std::string> valid_authorities(const api::Secret& secret, WallTime now) {
  std::vector<std::string> pems;
  const auto all = read_certificates(value(secret, kAuthorityCertificate));
  if (!all) return pems;
  for (const auto& info : *all) {
    if (info.authority && valid_at(info, now)) pems.push_back(info.pem);
  }
  return pems;
}

} // namespace

Material material_of(const api::Secret& secret) {
  return {{value(secret, kServingCertificate), value(secret, kServingKey)},
          value(secret, kAuthorityCertificate)};
}

CertificatePlan plan_certificates(const api::Secret* secret, const CertificatePolicy& policy,
                                  WallTime now) {
  CertificatePlan plan;
  if (secret == nullptr) {
    plan.authority = plan.serving = true;
    plan.why = "there is none";
    return plan;
  }
  if (secret->meta.deleting) {
    plan.trouble = "it is being deleted, and its finalizers are waited for";
    return plan;
  }
  // The API server's clock is the one that judges certificates. Where ours is behind what it wrote,
  // all that we made would be of the past.
  if (now + duration_cast<microseconds>(kClockSkew) < secret->meta.created) {
    plan.trouble = fmt::format(
        "it was made at {}, which the clock of this machine has yet to see: set the clock",
        rfc3339(secret->meta.created));
    return plan;
  }
  return Planner(*secret, policy, now).plan();
}

Result<api::Secret> make_secret(const api::Secret* before, const CertificatePlan& plan,
                                const CertificatePolicy& policy, WallTime now) {
  api::Secret secret;
  if (before != nullptr) {
    secret = *before;
  } else {
    secret.meta.namespace_ = policy.secret.namespace_;
    secret.meta.name = policy.secret.name;
    secret.meta.labels = {{"app.kubernetes.io/part-of", "egw"}};
    secret.type = "kubernetes.io/tls";
  }
  auto pems = valid_authorities(secret, now);
  if (plan.authority) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
    auto made = make_authority(
        {fmt::format("egw-webhook-ca@{}", seconds), {}, now, policy.authority_lifetime});
    pems.insert(pems.begin(), std::move(made.certificate));
    secret.data[kAuthorityKey] = std::move(made.key);
  }
  std::string all;
  for (const auto& pem : pems) all += pem;
  secret.data[kAuthorityCertificate] = all;
  if (plan.serving) {
    auto made = make_serving({all, secret.data[kAuthorityKey]},
                             {"egw-webhook", policy.names, now, policy.serving_lifetime});
    if (!made) return made.error();
    secret.data[kServingCertificate] = std::move(made->certificate);
    secret.data[kServingKey] = std::move(made->key);
  }
  return secret;
}

} // namespace egw::k8s
