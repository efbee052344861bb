// SPDX-License-Identifier: Apache-2.0
#include "k8s/certificate.hpp"

#include <doctest/doctest.h>
#include <openssl/x509v3.h>

#include <set>

#include "k8s/pem.hpp"

using namespace egw;
using namespace egw::k8s;
using namespace std::chrono_literals;

namespace {

constexpr auto kDay = std::chrono::hours(24);
const WallTime kNow{std::chrono::seconds(1'790'000'000)}; // in 2026

KeyPair authority(WallTime now = kNow, Duration lifetime = 3650 * kDay) {
  return make_authority({"egw-ca", {}, now, lifetime});
}
KeyPair serving(const KeyPair& by, std::vector<std::string> names, WallTime now = kNow,
                Duration lifetime = 365 * kDay) {
  return make_serving(by, {"egw-webhook", std::move(names), now, lifetime}).value();
}
CertificateInfo info(const std::string& pem) {
  return read_certificates(pem).value().at(0);
}
WallTime at(WallTime t, std::chrono::seconds d) {
  return t + d;
}
std::string refusal(const Result<void>& result) {
  return result ? "" : result.error().message;
}

// What the certificate itself says, read by OpenSSL's own functions.
std::uint32_t usage(const std::string& pem) {
  return X509_get_key_usage(parse_certificates(pem)->front().get());
}

} // namespace

TEST_CASE("an authority may sign, and nothing else") {
  const auto ca = authority();
  const auto got = info(ca.certificate);
  CHECK(got.subject == "CN=egw-ca");
  CHECK(got.issuer == "CN=egw-ca");
  CHECK(got.authority);
  CHECK(got.names.empty());
  CHECK(got.from == at(kNow, -10min));
  CHECK(got.until == at(kNow, 3650 * kDay));
  CHECK(got.pem == ca.certificate);
  CHECK(usage(ca.certificate) == (KU_KEY_CERT_SIGN | KU_CRL_SIGN));
  const auto parsed = parse_certificates(ca.certificate);
  X509* x509 = parsed->front().get();
  CHECK(X509_get_version(x509) == X509_VERSION_3);
  CHECK(X509_get_pathlen(x509) == 0);
  CHECK(X509_get0_subject_key_id(x509) != nullptr);
  CHECK(EVP_PKEY_get_bits(X509_get0_pubkey(x509)) == 256);
  CHECK(check_key(ca).ok());
}

TEST_CASE("a serving certificate bears its names, and names its authority") {
  const auto ca = authority();
  const std::vector<std::string> names{"egw-webhook.egw-system.svc", "127.0.0.1", "fd00::1"};
  const auto pair = serving(ca, names);
  const auto got = info(pair.certificate);
  CHECK(got.subject == "CN=egw-webhook");
  CHECK(got.issuer == "CN=egw-ca");
  CHECK_FALSE(got.authority);
  CHECK(got.names == names);
  CHECK(got.from == at(kNow, -10min));
  CHECK(got.until == at(kNow, 365 * kDay));
  CHECK(usage(pair.certificate) == KU_DIGITAL_SIGNATURE);
  const auto own = parse_certificates(pair.certificate),
             theirs = parse_certificates(ca.certificate);
  CHECK(X509_get_extended_key_usage(own->front().get()) == XKU_SSL_SERVER);
  CHECK(ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(own->front().get()),
                              X509_get0_subject_key_id(theirs->front().get())) == 0);
  CHECK(check_key(pair).ok());
  CHECK(refusal(check_serving(pair.certificate, ca.certificate, names, kNow)).empty());
}

TEST_CASE("serial numbers are positive, and no two are the same") {
  const auto ca = authority();
  std::set<std::string> seen;
  for (int i = 0; i < 20; ++i) {
    const auto pair = serving(ca, {"a"});
    const auto parsed = parse_certificates(pair.certificate);
    const ASN1_INTEGER* serial = X509_get0_serialNumber(parsed->front().get());
    CHECK(ASN1_STRING_type(serial) == V_ASN1_INTEGER); // and not V_ASN1_NEG_INTEGER
    CHECK(ASN1_STRING_length(serial) == 16);
    seen.emplace(reinterpret_cast<const char*>(ASN1_STRING_get0_data(serial)), 16);
  }
  CHECK(seen.size() == 20);
}

TEST_CASE("the clock of whoever asks decides") {
  const auto ca = authority();
  const auto pair = serving(ca, {"a"}, kNow, kDay);
  const auto check = [&](WallTime t) {
    return refusal(check_serving(pair.certificate, ca.certificate, {"a"}, t));
  };
  CHECK(check(at(kNow, -9min)).empty());
  CHECK(check(at(kNow, -11min)) == "the certificate is refused: certificate is not yet valid");
  CHECK(check(at(kNow, kDay - 1s)).empty());
  CHECK(check(at(kNow, kDay + 1s)) == "the certificate is refused: certificate has expired");
}

TEST_CASE("it does not outlive its authority, and none signs that has run out") {
  const auto ca = authority(kNow, 10 * kDay);
  CHECK(info(serving(ca, {"a"}).certificate).until == at(kNow, 10 * kDay));
  const auto late = make_serving(ca, {"egw", {"a"}, at(kNow, 11 * kDay), kDay});
  CHECK(late.error().message == "the authority that is to sign has run out");
}

TEST_CASE("validity beyond 2050, where the encoding of dates changes") {
  const auto ca = authority(kNow, 30 * 365 * kDay);
  CHECK(info(ca.certificate).until == at(kNow, 30 * 365 * kDay));
}

TEST_CASE("what does not belong together is told apart") {
  const auto ca = authority(), other = authority();
  const auto pair = serving(ca, {"a.example"}), second = serving(ca, {"a.example"});
  CHECK(refusal(check_key({pair.certificate, second.key})) ==
        "the key does not belong to the certificate");
  // Another authority of the same name.
  CHECK(refusal(check_serving(pair.certificate, other.certificate, {}, kNow))
            .starts_with("the certificate is refused: "));
  CHECK(refusal(check_serving(pair.certificate, other.certificate + ca.certificate, {}, kNow)) ==
        "");
  CHECK(refusal(check_serving(pair.certificate, ca.certificate, {"b.example"}, kNow)) ==
        "the certificate is not for 'b.example'");
  CHECK(refusal(check_serving(pair.certificate, ca.certificate, {"10.0.0.1"}, kNow)) ==
        "the certificate is not for '10.0.0.1'");
  // The common name counts for nothing.
  CHECK(refusal(check_serving(pair.certificate, ca.certificate, {"egw-webhook"}, kNow)) ==
        "the certificate is not for 'egw-webhook'");
  // An authority is no server.
  CHECK_FALSE(check_serving(ca.certificate, ca.certificate, {}, kNow).ok());
  CHECK(make_serving({ca.certificate, other.key}, {"egw", {"a"}, kNow, kDay}).error().message ==
        "the key does not belong to the certificate");
  CHECK(make_serving(pair, {"egw", {"a"}, kNow, kDay}).error().message ==
        "the certificate that is to sign is no authority");
}

TEST_CASE("names that are none are refused") {
  const auto ca = authority();
  const auto error = [&](std::vector<std::string> names) {
    const auto made = make_serving(ca, {"egw", std::move(names), kNow, kDay});
    return made ? "" : made.error().message;
  };
  CHECK(error({}) == "a server's certificate needs a name");
  for (const char* name :
       {"", "a b", "a,DNS:b", "A", "-a", "a-", "a..b", ".a", "a.", "*.a", "a_b", "1.2.3.4/8"}) {
    CHECK(error({"good", name}) ==
          "'" + std::string(name) + "' is neither a DNS name nor an address");
    CHECK_FALSE(is_certificate_name(name));
  }
  CHECK_FALSE(error({std::string(64, 'a')}).empty());
  CHECK(error({std::string(63, 'a') + ".b"}).empty());
}

TEST_CASE("PEM in: several, none, damaged") {
  const auto ca = authority(), other = authority();
  const auto both = read_certificates("a comment\n" + ca.certificate + "\n" + other.certificate);
  REQUIRE(both.ok());
  CHECK(both->size() == 2);
  CHECK(both->at(1).pem == other.certificate);
  CHECK(read_certificates("").error().message.starts_with("not PEM"));
  CHECK(read_certificates(ca.key).error().message.starts_with("not PEM"));
  auto damaged = other.certificate;
  damaged[100] = damaged[100] == 'A' ? 'B' : 'A';
  damaged.erase(200, 10);
  CHECK_FALSE(read_certificates(ca.certificate + damaged).ok());
  CHECK(check_key({ca.certificate, "x"})
            .error()
            .message.starts_with("the key is not a PEM key without password"));
  CHECK(check_key({"x", ca.key}).error().message.starts_with("the certificate is not PEM"));
  CHECK(check_serving("x", ca.certificate, {}, kNow)
            .error()
            .message.starts_with("the certificate is not PEM"));
  CHECK(check_serving(ca.certificate, "x", {}, kNow)
            .error()
            .message.starts_with("the authority is not PEM"));
}
