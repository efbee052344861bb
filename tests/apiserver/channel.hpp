// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>

#include "certificates.hpp"

namespace egw::test {

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct FreeSession {
  void operator()(SSL* session) const { SSL_free(session); }
};
using TlsContext = std::unique_ptr<SSL_CTX, FreeContext>;

// ask_client: a client certificate is asked for, and checked when one comes.
[[nodiscard]] TlsContext make_server_context(const Certificates& certificates, bool ask_client);

// One accepted TCP connection, with or without TLS. Owns the descriptor.
class Channel {
 public:
  explicit Channel(int fd) : fd_(fd) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel() { close(); }

  [[nodiscard]] int fd() const { return fd_; }
  // The error of a failed handshake, or an empty string.
  [[nodiscard]] std::string handshake(SSL_CTX* context);
  // CN of the client's certificate, empty without one.
  [[nodiscard]] std::string client_name() const;
  // Appends what has come; false at the end of the connection, however it came about.
  [[nodiscard]] bool read(std::string& into);
  [[nodiscard]] bool write(std::string_view bytes);
  void close();
  // With the TLS farewell, without which a client must take what it got for cut off.
  void finish();
  // Closed by RST: the client sees ECONNRESET.
  void reset();

 private:
  int fd_;
  std::unique_ptr<SSL, FreeSession> tls_;
};

} // namespace egw::test
