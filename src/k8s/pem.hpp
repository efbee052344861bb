// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/free_with.hpp"

// OpenSSL's objects from and to PEM (RFC 7468).
namespace egw::k8s {

using BioPtr = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
using X509Ptr = std::unique_ptr<X509, FreeWith<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;

// All certificates of a text, at least one. An unreadable one in it is an error, never skipped.
[[nodiscard]] Result<std::vector<X509Ptr>> parse_certificates(const std::string& pem);
// A private key without password.
[[nodiscard]] Result<KeyPtr> parse_key(const std::string& pem);

[[nodiscard]] std::string to_pem(const X509& certificate);
[[nodiscard]] std::string to_pem(const EVP_PKEY& key); // PKCS #8, without password

// ": REASON" of what failed last in this thread, or nothing; forgets it.
[[nodiscard]] std::string openssl_reason();

} // namespace egw::k8s
