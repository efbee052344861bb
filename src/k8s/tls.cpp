// SPDX-License-Identifier: Apache-2.0
#include "k8s/tls.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/free_with.hpp"
#include "k8s/pem.hpp"

namespace egw::k8s {
namespace {

using ContextPtr = std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>>;

Error fail(const Config& config, const std::string& what) {
  return {fmt::format("{}: {}{}", config.origin, what, openssl_reason())};
}

Result<std::vector<X509Ptr>> certificates(const Config& config, const std::string& pem,
                                          const char* what) {
  auto found = parse_certificates(pem);
  if (found) return found;
  return Error{fmt::format("{}: the {} is {}", config.origin, what, found.error().message)};
}

Result<void> add_authorities(SSL_CTX* context, const Config& config) {
  auto authorities = certificates(config, config.ca_pem, "certificate authority");
  if (!authorities) return authorities.error();
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  for (const auto& authority : *authorities) {
    if (X509_STORE_add_cert(store, authority.get()) != 1) {
      return fail(config, "cannot use the certificate authority");
    }
  }
  return {};
}

Result<void> add_client_certificate(SSL_CTX* context, const Config& config) {
  auto chain = certificates(config, config.client_cert_pem, "client certificate");
  if (!chain) return chain.error();
  if (SSL_CTX_use_certificate(context, chain->front().get()) != 1) {
    return fail(config, "cannot use the client certificate");
  }
  for (std::size_t i = 1; i < chain->size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, (*chain)[i].get()) != 1) {
      return fail(config, "cannot use the client certificate's chain");
    }
  }
  const auto key = parse_key(config.client_key_pem);
  if (!key) {
    return Error{fmt::format("{}: the client key is {}", config.origin, key.error().message)};
  }
  if (SSL_CTX_use_PrivateKey(context, key->get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return fail(config, "the client key does not belong to the client certificate");
  }
  return {};
}

Result<void> expect_name(SSL_CTX* context, const Config& config) {
  X509_VERIFY_PARAM* param = SSL_CTX_get0_param(context);
  std::array<unsigned char, sizeof(in6_addr)> address{};
  const bool is_address = inet_pton(AF_INET, config.host.c_str(), address.data()) == 1 ||
                          inet_pton(AF_INET6, config.host.c_str(), address.data()) == 1;
  X509_VERIFY_PARAM_set_hostflags(
      param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  const int done = is_address ? X509_VERIFY_PARAM_set1_ip_asc(param, config.host.c_str())
                              : X509_VERIFY_PARAM_set1_host(param, config.host.c_str(), 0);
  if (done != 1) return fail(config, fmt::format("\"{}\" is no host name", config.host));
  return {};
}

} // namespace

Result<void> configure_tls(SSL_CTX* context, const Config& config) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // A watch is silent most of its time: 17 KB of each connection are held while data comes.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  if (!config.ca_pem.empty()) {
    if (auto added = add_authorities(context, config); !added) return added;
  } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
    return fail(config, "cannot read the system's certificate authorities");
  }
  if (!config.client_cert_pem.empty()) {
    if (auto added = add_client_certificate(context, config); !added) return added;
  }
  return expect_name(context, config);
}

Result<void> check_tls(const Config& config) {
  if (!config.tls) return {};
  const ContextPtr context(SSL_CTX_new(TLS_client_method()));
  if (!context) return fail(config, "cannot make a TLS context");
  return configure_tls(context.get(), config);
}

} // namespace egw::k8s
