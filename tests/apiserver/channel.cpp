// SPDX-License-Identifier: Apache-2.0
#include "channel.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

namespace egw::test {
namespace {

[[noreturn]] void fail(const char* what) {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  throw std::runtime_error(std::string(what) + ": " + text);
}

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;

Bio memory(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

struct X509Free {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using Certificate = std::unique_ptr<X509, X509Free>;

Certificate read_certificate(const std::string& pem) {
  Certificate read(PEM_read_bio_X509(memory(pem).get(), nullptr, nullptr, nullptr));
  if (!read) fail("reading a certificate");
  return read;
}

} // namespace

TlsContext make_server_context(const Certificates& certificates, bool ask_client) {
  TlsContext context(SSL_CTX_new(TLS_server_method()));
  if (!context) fail("SSL_CTX_new");
  EVP_PKEY* key =
      PEM_read_bio_PrivateKey(memory(certificates.server_key).get(), nullptr, nullptr, nullptr);
  const bool loaded =
      key != nullptr && SSL_CTX_use_PrivateKey(context.get(), key) == 1 &&
      SSL_CTX_use_certificate(context.get(), read_certificate(certificates.server).get()) == 1;
  EVP_PKEY_free(key);
  if (!loaded) fail("loading the server's certificate");
  if (ask_client) {
    const Certificate ca = read_certificate(certificates.ca);
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), ca.get()) != 1 ||
        SSL_CTX_add_client_CA(context.get(), ca.get()) != 1)
      fail("trusting the CA of clients");
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  return context;
}

std::string Channel::handshake(SSL_CTX* context) {
  tls_.reset(SSL_new(context));
  if (!tls_ || SSL_set_fd(tls_.get(), fd_) != 1) fail("SSL_new");
  ERR_clear_error();
  const int done = SSL_accept(tls_.get());
  if (done == 1) return {};
  const unsigned long code = ERR_get_error();
  const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  return reason != nullptr ? reason : "the client went away";
}

std::string Channel::client_name() const {
  if (!tls_) return {};
  const Certificate certificate(SSL_get1_peer_certificate(tls_.get()));
  if (!certificate) return {};
  char name[256] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, name,
                            sizeof name);
  return name;
}

bool Channel::read(std::string& into) {
  char buffer[16384];
  ERR_clear_error();
  const ssize_t size =
      tls_ ? SSL_read(tls_.get(), buffer, sizeof buffer) : ::recv(fd_, buffer, sizeof buffer, 0);
  if (size <= 0) return false;
  into.append(buffer, static_cast<std::size_t>(size));
  return true;
}

bool Channel::write(std::string_view bytes) {
  ERR_clear_error();
  while (!bytes.empty()) {
    const std::size_t part = std::min<std::size_t>(bytes.size(), 1 << 20);
    const ssize_t size = tls_ ? SSL_write(tls_.get(), bytes.data(), static_cast<int>(part))
                              : ::send(fd_, bytes.data(), part, MSG_NOSIGNAL);
    if (size <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(size));
  }
  return true;
}

void Channel::close() {
  if (fd_ < 0) return;
  ::close(fd_);
  fd_ = -1;
}

void Channel::finish() {
  if (tls_ && fd_ >= 0) SSL_shutdown(tls_.get());
  close();
}

void Channel::reset() {
  const linger none{1, 0}; // close() discards and sends RST, see socket(7)
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  close();
}

} // namespace egw::test
