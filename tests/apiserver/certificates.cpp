// SPDX-License-Identifier: Apache-2.0
#include "certificates.hpp"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <utility>

namespace egw::test {
namespace {

template <auto free>
struct Freed {
  template <class T>
  void operator()(T* value) const {
    free(value);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;

template <class T>
T check(T result, const char* what) {
  if (!result) throw std::runtime_error(std::string("openssl: ") + what);
  return result;
}

template <class Write>
std::string to_pem(Write write) {
  const Bio bio(check(BIO_new(BIO_s_mem()), "BIO_new"));
  check(write(bio.get()) == 1, "PEM_write");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string pem(X509* certificate) {
  return to_pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

std::string pem(EVP_PKEY* key) {
  return to_pem([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

struct Subject {
  const char* organization;
  const char* name;
};
using Extensions = std::initializer_list<std::pair<int, const char*>>;

// issuer null: signed by itself.
Certificate issue(EVP_PKEY* key, Subject subject, Extensions extensions, X509* issuer,
                  EVP_PKEY* issuer_key) {
  Certificate made(check(X509_new(), "X509_new"));
  X509_set_version(made.get(), X509_VERSION_3);
  std::uint64_t serial = 0;
  check(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1, "RAND_bytes");
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(made.get()), serial >> 1);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), -86400);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 86400);
  X509_set_pubkey(made.get(), key);
  X509_NAME* name = X509_get_subject_name(made.get());
  const auto add = [&](const char* field, const char* value) {
    X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(value), -1, -1, 0);
  };
  if (subject.organization != nullptr) add("O", subject.organization);
  add("CN", subject.name);
  X509* const by = issuer != nullptr ? issuer : made.get();
  X509_set_issuer_name(made.get(), X509_get_subject_name(by));
  X509V3_CTX context;
  X509V3_set_ctx(&context, by, made.get(), nullptr, nullptr, 0);
  for (const auto& [id, value] : extensions) {
    X509_EXTENSION* extension = check(X509V3_EXT_conf_nid(nullptr, &context, id, value), value);
    X509_add_ext(made.get(), extension, -1);
    X509_EXTENSION_free(extension);
  }
  check(X509_sign(made.get(), issuer_key, EVP_sha256()), "X509_sign");
  return made;
}

Key make_key() {
  return Key(check(EVP_EC_gen("P-256"), "EVP_EC_gen"));
}

} // namespace

Certificates make_certificates() {
  const Key ca_key = make_key(), server_key = make_key(), client_key = make_key();
  const Certificate ca = issue(ca_key.get(), {nullptr, "scripted-server-ca"},
                               {{NID_basic_constraints, "critical,CA:TRUE"},
                                {NID_key_usage, "critical,keyCertSign,digitalSignature"},
                                {NID_subject_key_identifier, "hash"}},
                               nullptr, ca_key.get());
  const Certificate server = issue(server_key.get(), {nullptr, "scripted-server"},
                                   {{NID_ext_key_usage, "serverAuth"},
                                    {NID_authority_key_identifier, "keyid"},
                                    {NID_subject_alt_name, "IP:127.0.0.1,IP:::1,DNS:localhost"}},
                                   ca.get(), ca_key.get());
  const Certificate client =
      issue(client_key.get(), {"testers", "tester"},
            {{NID_ext_key_usage, "clientAuth"}, {NID_authority_key_identifier, "keyid"}}, ca.get(),
            ca_key.get());
  return {pem(ca.get()), pem(server.get()), pem(server_key.get()), pem(client.get()),
          pem(client_key.get())};
}

} // namespace egw::test
