// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/free_with.hpp"
#include "k8s/pem.hpp"

namespace egw::test {

// A TCP connection to 127.0.0.1, and TLS on it, byte by byte as a test wants it.
class TlsClient {
 public:
  explicit TlsClient(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("connect");
    }
  }

  // ca: whom to trust; empty: nobody is asked. The error of a failed handshake, else empty.
  std::string handshake(const std::string& ca, int max_version = TLS1_3_VERSION) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_security_level(context_.get(), 0); // for what a server must refuse by itself
    SSL_CTX_set_min_proto_version(context_.get(), 0);
    SSL_CTX_set_max_proto_version(context_.get(), max_version);
    if (!ca.empty()) {
      SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
      X509_STORE_add_cert(SSL_CTX_get_cert_store(context_.get()),
                          k8s::parse_certificates(ca)->front().get());
    }
    tls_.reset(SSL_new(context_.get()));
    SSL_set_fd(tls_.get(), socket_.get());
    ERR_clear_error();
    if (SSL_connect(tls_.get()) == 1) return {};
    const char* why = ERR_reason_error_string(ERR_get_error());
    return why != nullptr ? why : "cut";
  }
  [[nodiscard]] std::string server_serial() const {
    const k8s::X509Ptr peer(SSL_get1_peer_certificate(tls_.get()));
    const ASN1_INTEGER* serial = X509_get0_serialNumber(peer.get());
    return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(serial)),
            static_cast<std::size_t>(ASN1_STRING_length(serial))};
  }

  [[nodiscard]] int chain_size() const { return sk_X509_num(SSL_get_peer_cert_chain(tls_.get())); }

  [[nodiscard]] bool send(std::string_view bytes) {
    return tls_ ? SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size())) ==
                      static_cast<int>(bytes.size())
                : ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                      static_cast<ssize_t>(bytes.size());
  }
  // Until `end` has come, or the connection ended.
  std::string read(std::string_view end) {
    std::string all;
    char buffer[4096];
    while (all.find(end) == std::string::npos) {
      const auto size = tls_ ? SSL_read(tls_.get(), buffer, sizeof buffer)
                             : static_cast<int>(::recv(socket_.get(), buffer, sizeof buffer, 0));
      if (size <= 0) break;
      all.append(buffer, static_cast<std::size_t>(size));
    }
    return all;
  }
  // Whether the server has ended the connection within that time.
  [[nodiscard]] bool ends_within(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          end - std::chrono::steady_clock::now());
      pollfd wait{socket_.get(), POLLIN, 0};
      if (left.count() < 0 || ::poll(&wait, 1, static_cast<int>(left.count())) == 0) return false;
      char buffer[4096];
      if (::recv(socket_.get(), buffer, sizeof buffer, 0) <= 0) return true;
    }
  }

 private:
  Fd socket_;
  std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>> context_;
  std::unique_ptr<SSL, FreeWith<SSL_free>> tls_;
};

} // namespace egw::test
