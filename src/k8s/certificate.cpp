// SPDX-License-Identifier: Apache-2.0
#include "k8s/certificate.hpp"

#include <fmt/format.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "base/chrono.hpp"
#include "base/free_with.hpp"
#include "base/ip.hpp"
#include "k8s/pem.hpp"

namespace egw::k8s {
namespace {

using EntryPtr = std::unique_ptr<GENERAL_NAME, FreeWith<GENERAL_NAME_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, FreeWith<X509_EXTENSION_free>>;
using NumberPtr = std::unique_ptr<BIGNUM, FreeWith<BN_free>>;

// For what fails only where a machine does.
void must(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string(what) + openssl_reason());
}

std::time_t seconds(WallTime t) {
  return std::chrono::floor<std::chrono::seconds>(t).time_since_epoch().count();
}

WallTime read_time(const ASN1_TIME* from) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(from, &parts) != 1) {
    ERR_clear_error();
    return {};
  }
  return WallTime(std::chrono::seconds(timegm(&parts)));
}

// RFC 1123 with the length of RFC 1035; a wildcard is none of ours.
bool is_dns_name(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  while (true) {
    const auto label = name.substr(0, name.find('.'));
    const auto right = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    };
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-' ||
        !std::ranges::all_of(label, right)) {
      return false;
    }
    if (label.size() == name.size()) return true;
    name.remove_prefix(label.size() + 1);
  }
}

void add_extension(X509* to, X509* issuer, int id, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, id, value));
  must(extension && X509_add_ext(to, extension.get(), -1) == 1, "extension of a certificate");
}

Result<void> add_names(X509* to, const std::vector<std::string>& names) {
  const NamesPtr list(GENERAL_NAMES_new());
  must(list != nullptr, "names of a certificate");
  for (const std::string& name : names) {
    const auto address = Address::parse(name);
    if (!is_certificate_name(name)) {
      return Error{fmt::format("'{}' is neither a DNS name nor an address", name)};
    }
    EntryPtr entry(GENERAL_NAME_new());
    ASN1_STRING* value = ASN1_STRING_type_new(address ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    must(entry && value != nullptr, "name of a certificate");
    GENERAL_NAME_set0_value(entry.get(), address ? GEN_IPADD : GEN_DNS, value); // takes it over
    const void* data = address ? static_cast<const void*>(address->bytes.data()) : name.data();
    const auto size = address ? address->size() : name.size();
    must(ASN1_STRING_set(value, data, static_cast<int>(size)) == 1, "name of a certificate");
    GENERAL_NAME* const named = entry.release(); // the list's from now on
    must(sk_GENERAL_NAME_push(list.get(), named) > 0, "name of a certificate");
  }
  must(X509_add1_ext_i2d(to, NID_subject_alt_name, list.get(), 0, 0) == 1,
       "names of a certificate");
  return {};
}

KeyPtr make_key() {
  KeyPtr key(EVP_EC_gen("P-256"));
  must(key != nullptr, "make a key");
  return key;
}

// What is common to all: version, serial number, subject, validity, key.
X509Ptr begin(const CertificateRequest& request, WallTime until, EVP_PKEY* key) {
  X509Ptr made(X509_new());
  must(made != nullptr && X509_set_version(made.get(), X509_VERSION_3) == 1, "make a certificate");
  // 127 random bits: unique without a memory of earlier ones (RFC 5280, 4.1.2.2).
  const NumberPtr serial(BN_new());
  must(serial && BN_rand(serial.get(), 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
           BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(made.get())) != nullptr,
       "serial number of a certificate");
  const auto* name = reinterpret_cast<const unsigned char*>(request.common_name.c_str());
  must(X509_NAME_add_entry_by_NID(X509_get_subject_name(made.get()), NID_commonName, MBSTRING_UTF8,
                                  name, static_cast<int>(request.common_name.size()), -1, 0) == 1,
       "name of a certificate");
  const auto from = request.now - std::chrono::duration_cast<std::chrono::microseconds>(kClockSkew);
  must(ASN1_TIME_set(X509_getm_notBefore(made.get()), seconds(from)) != nullptr &&
           ASN1_TIME_set(X509_getm_notAfter(made.get()), seconds(until)) != nullptr &&
           X509_set_pubkey(made.get(), key) == 1,
       "make a certificate");
  return made;
}

WallTime end_of(const CertificateRequest& request) {
  return request.now + std::chrono::duration_cast<std::chrono::microseconds>(request.lifetime);
}

void sign(X509* certificate, EVP_PKEY* key) {
  must(X509_sign(certificate, key, EVP_sha256()) > 0, "sign a certificate");
}

std::string text_of(const X509_NAME* name) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  must(bio && X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253) >= 0, "name as text");
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string text_of(const GENERAL_NAME* name) {
  int type = 0;
  const auto* value = static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(name, &type));
  if (type != GEN_DNS && type != GEN_IPADD) return {};
  const std::string_view bytes(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                               static_cast<std::size_t>(ASN1_STRING_length(value)));
  if (type == GEN_DNS) return std::string(bytes);
  if (bytes.size() != 4 && bytes.size() != 16) return {};
  Address address = Address::zero(bytes.size() == 4 ? Family::V4 : Family::V6);
  std::ranges::copy(bytes, address.bytes.begin());
  return address.to_string();
}

std::vector<std::string> names_of(const X509* certificate) {
  std::vector<std::string> names;
  const NamesPtr list(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; list && i < sk_GENERAL_NAME_num(list.get()); ++i) {
    if (auto name = text_of(sk_GENERAL_NAME_value(list.get(), i)); !name.empty()) {
      names.push_back(std::move(name));
    }
  }
  ERR_clear_error();
  return names;
}

// A chain as a client sees it that trusts the authorities alone.
Result<void> verify(const std::vector<X509Ptr>& chain, const std::vector<X509Ptr>& authorities,
                    WallTime at) {
  const std::unique_ptr<X509_STORE, FreeWith<X509_STORE_free>> store(X509_STORE_new());
  const std::unique_ptr<X509_STORE_CTX, FreeWith<X509_STORE_CTX_free>> context(
      X509_STORE_CTX_new());
  const auto keep = [](STACK_OF(X509) * stack) { sk_X509_free(stack); }; // not what is in it
  const std::unique_ptr<STACK_OF(X509), decltype(keep)> others(sk_X509_new_null(), keep);
  must(store && context && others, "check a certificate");
  for (const auto& authority : authorities) {
    must(X509_STORE_add_cert(store.get(), authority.get()) == 1, "check a certificate");
  }
  for (std::size_t i = 1; i < chain.size(); ++i) {
    must(sk_X509_push(others.get(), chain[i].get()) > 0, "check a certificate");
  }
  must(X509_STORE_CTX_init(context.get(), store.get(), chain.front().get(), others.get()) == 1 &&
           X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_SERVER) == 1,
       "check a certificate");
  X509_STORE_CTX_set_time(context.get(), 0, seconds(at));
  const bool valid = X509_verify_cert(context.get()) == 1;
  const int why = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  if (valid) return {};
  return Error{fmt::format("the certificate is refused: {}", X509_verify_cert_error_string(why))};
}

bool bears(X509* certificate, const std::string& name) {
  if (const auto address = Address::parse(name)) {
    return X509_check_ip(certificate, address->bytes.data(), address->size(), 0) == 1;
  }
  return X509_check_host(certificate, name.data(), name.size(), X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                         nullptr) == 1;
}

} // namespace

bool is_certificate_name(const std::string& name) {
  return is_dns_name(name) || Address::parse(name).ok();
}

KeyPair make_authority(const CertificateRequest& request) {
  const auto key = make_key();
  const auto made = begin(request, end_of(request), key.get());
  X509* const self = made.get();
  must(X509_set_issuer_name(self, X509_get_subject_name(self)) == 1, "issuer of a certificate");
  add_extension(self, self, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  add_extension(self, self, NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(self, self, NID_subject_key_identifier, "hash");
  sign(self, key.get());
  return {to_pem(*self), to_pem(*key)};
}

Result<KeyPair> make_serving(const KeyPair& authority, const CertificateRequest& request) {
  if (auto right = check_key(authority); !right) return right.error();
  const auto issuers = parse_certificates(authority.certificate);
  const auto issuer_key = parse_key(authority.key);
  if (!issuers || !issuer_key) return (issuers ? issuer_key.error() : issuers.error());
  X509* const issuer = issuers->front().get();
  if (X509_check_ca(issuer) != 1) return Error{"the certificate that is to sign is no authority"};
  const auto last = read_time(X509_get0_notAfter(issuer));
  if (last <= request.now) return Error{"the authority that is to sign has run out"};
  if (request.names.empty()) return Error{"a server's certificate needs a name"};

  const auto key = make_key();
  const auto made = begin(request, std::min(end_of(request), last), key.get());
  X509* const self = made.get();
  must(X509_set_issuer_name(self, X509_get_subject_name(issuer)) == 1, "issuer of a certificate");
  add_extension(self, issuer, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(self, issuer, NID_key_usage, "critical,digitalSignature");
  add_extension(self, issuer, NID_ext_key_usage, "serverAuth");
  add_extension(self, issuer, NID_subject_key_identifier, "hash");
  add_extension(self, issuer, NID_authority_key_identifier, "keyid:always");
  if (auto named = add_names(self, request.names); !named) return named.error();
  sign(self, issuer_key->get());
  return KeyPair{to_pem(*self), to_pem(*key)};
}

Result<std::vector<CertificateInfo>> read_certificates(const std::string& pem) {
  const auto parsed = parse_certificates(pem);
  if (!parsed) return parsed.error();
  std::vector<CertificateInfo> all;
  for (const auto& certificate : *parsed) {
    X509* const from = certificate.get();
    CertificateInfo info;
    info.pem = to_pem(*from);
    info.subject = text_of(X509_get_subject_name(from));
    info.issuer = text_of(X509_get_issuer_name(from));
    info.names = names_of(from);
    info.from = read_time(X509_get0_notBefore(from));
    info.until = read_time(X509_get0_notAfter(from));
    info.authority = X509_check_ca(from) == 1;
    all.push_back(std::move(info));
  }
  return all;
}

Result<void> check_key(const KeyPair& pair) {
  const auto certificates = parse_certificates(pair.certificate);
  if (!certificates) return Error{"the certificate is " + certificates.error().message};
  const auto key = parse_key(pair.key);
  if (!key) return Error{"the key is " + key.error().message};
  const bool same = X509_check_private_key(certificates->front().get(), key->get()) == 1;
  ERR_clear_error();
  if (same) return {};
  return Error{"the key does not belong to the certificate"};
}

Result<void> check_serving(const std::string& chain, const std::string& authorities,
                           const std::vector<std::string>& names, WallTime at) {
  const auto served = parse_certificates(chain);
  if (!served) return Error{"the certificate is " + served.error().message};
  const auto trusted = parse_certificates(authorities);
  if (!trusted) return Error{"the authority is " + trusted.error().message};
  if (auto valid = verify(*served, *trusted, at); !valid) return valid;
  for (const std::string& name : names) {
    if (!bears(served->front().get(), name)) {
      return Error{fmt::format("the certificate is not for '{}'", name)};
    }
  }
  return {};
}

} // namespace egw::k8s
