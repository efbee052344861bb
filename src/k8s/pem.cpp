// SPDX-License-Identifier: Apache-2.0
#include "k8s/pem.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <array>
#include <cstddef>
#include <stdexcept>
#include <utility>

namespace egw::k8s {
namespace {

BioPtr reader(const std::string& pem) {
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

template <class F>
std::string written(F write) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || write(bio.get()) != 1) throw std::runtime_error("write PEM" + openssl_reason());
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

} // namespace

std::string openssl_reason() {
  const auto code = ERR_peek_last_error();
  ERR_clear_error();
  if (code == 0) return {};
  std::array<char, 256> reason{};
  ERR_error_string_n(code, reason.data(), reason.size());
  return std::string(": ") + reason.data();
}

Result<std::vector<X509Ptr>> parse_certificates(const std::string& pem) {
  std::vector<X509Ptr> found;
  const auto bio = reader(pem);
  ERR_clear_error();
  for (;;) {
    X509Ptr certificate(PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr));
    if (!certificate) break;
    found.push_back(std::move(certificate));
  }
  const auto code = ERR_peek_last_error();
  const bool at_end =
      ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  if (found.empty() || !at_end) return Error{"not PEM" + openssl_reason()};
  ERR_clear_error();
  return found;
}

Result<KeyPtr> parse_key(const std::string& pem) {
  const auto bio = reader(pem);
  ERR_clear_error();
  const auto no_password = [](char*, int, int, void*) { return 0; }; // never ask on the terminal
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (!key) return Error{"not a PEM key without password" + openssl_reason()};
  return key;
}

std::string to_pem(const X509& certificate) {
  return written([&](BIO* bio) { return PEM_write_bio_X509(bio, &certificate); });
}

std::string to_pem(const EVP_PKEY& key) {
  return written([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, &key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

} // namespace egw::k8s
