// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"

// X.509 certificates (RFC 5280) for a server of our own and the authority behind it. Nothing here
// has a state, and time is always a parameter.
namespace egw::k8s {

struct KeyPair {
  std::string certificate, key; // PEM; the key is PKCS #8 without password
  bool operator==(const KeyPair&) const = default;
};

// Certificates begin a little in the past: whoever checks them may have a clock that is behind.
inline constexpr Duration kClockSkew = std::chrono::minutes(10);

// What may stand in a certificate's subjectAltName: a DNS name in lower case, without a wildcard,
// or an address.
[[nodiscard]] bool is_certificate_name(const std::string& name);

struct CertificateRequest {
  std::string common_name;        // at most 64 bytes
  std::vector<std::string> names; // of a serving certificate: DNS names and addresses, at least one
  WallTime now{};
  Duration lifetime{}; // from now on
};

// An authority that signs itself: ECDSA P-256, CA:TRUE without authorities below it.
// Throws std::runtime_error where OpenSSL cannot (no memory, no entropy).
[[nodiscard]] KeyPair make_authority(const CertificateRequest& request);
// A certificate for a TLS server, with a key of its own. It does not outlive its authority. Errors:
// the authority cannot be read, its key is another's, it is none, or has run out; a name is neither
// a DNS name nor an address.
[[nodiscard]] Result<KeyPair> make_serving(const KeyPair& authority,
                                           const CertificateRequest& request);

struct CertificateInfo {
  std::string pem;                // this one alone
  std::string subject, issuer;    // as in RFC 2253, "CN=egw"
  std::vector<std::string> names; // subjectAltName: DNS names and addresses
  WallTime from{}, until{};
  bool authority = false; // may sign others
};
// All of a text, at least one; one that cannot be read is an error.
[[nodiscard]] Result<std::vector<CertificateInfo>> read_certificates(const std::string& pem);

// Is the key that of the first certificate?
[[nodiscard]] Result<void> check_key(const KeyPair& pair);
// Would a TLS client that trusts these authorities take this chain for each of the names, at that
// time? Errors say which name, or what OpenSSL has against the chain.
[[nodiscard]] Result<void> check_serving(const std::string& chain, const std::string& authorities,
                                         const std::vector<std::string>& names, WallTime at);

} // namespace egw::k8s
