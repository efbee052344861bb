// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/core.hpp"
#include "api/meta.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "k8s/certificate.hpp"

// The Secret that holds a webhook's authority and serving certificate: what is wrong with it, and
// what it should be. Functions of values, but for the keys that are made.
namespace egw::k8s {

// Its keys. ca.crt begins with the authority that signs; older ones follow until they run out.
inline constexpr const char* kAuthorityCertificate = "ca.crt";
inline constexpr const char* kAuthorityKey = "ca.key";
inline constexpr const char* kServingCertificate = "tls.crt";
inline constexpr const char* kServingKey = "tls.key";

struct CertificatePolicy {
  api::NamespacedName secret;
  std::vector<std::string> names; // of the serving certificate: DNS names and addresses
  Duration serving_lifetime = std::chrono::hours(24 * 365);
  Duration authority_lifetime = std::chrono::hours(24 * 3650);
};

// What a webhook serves, and whom its clients are to trust.
struct Material {
  KeyPair serving;
  std::string authorities; // PEM; may be empty where others tell the clients
  bool operator==(const Material&) const = default;
};
[[nodiscard]] Material material_of(const api::Secret& secret);

struct CertificatePlan {
  bool authority = false; // make a new one, put before those that are valid
  bool serving = false;   // make a new pair
  bool prune = false;     // authorities that have run out leave ca.crt
  bool repair = false;    // the cause is damage, not age
  std::string why;        // empty: nothing is to be done
  // Something is wrong that a new certificate does not mend: nothing is made.
  std::string trouble;
  std::optional<WallTime> next; // when age will be a cause
  [[nodiscard]] bool any() const { return authority || serving || prune; }
  bool operator==(const CertificatePlan&) const = default;
};

// A serving certificate is renewed after two thirds of its life, an authority after two thirds of
// its own. The serving certificate of an authority that is still valid stays then, so that all
// clients know the new authority long before a certificate is signed by it. `secret` null: there is
// none.
[[nodiscard]] CertificatePlan plan_certificates(const api::Secret* secret,
                                                const CertificatePolicy& policy, WallTime now);

// The Secret as the plan wants it: of type kubernetes.io/tls where there was none, else with its
// other fields as they are.
[[nodiscard]] Result<api::Secret> make_secret(const api::Secret* before,
                                              const CertificatePlan& plan,
                                              const CertificatePolicy& policy, WallTime now);

} // namespace egw::k8s
