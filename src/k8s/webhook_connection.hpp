// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "base/free_with.hpp"
#include "k8s/webhook_limits.hpp"

namespace egw::k8s {

using SessionPtr = std::unique_ptr<SSL, FreeWith<SSL_free>>;

// What a connection needs of its server. From any of the server's threads.
class WebhookHost {
 public:
  virtual ~WebhookHost() = default;
  // For a handshake that begins; null while there is no certificate.
  [[nodiscard]] virtual SessionPtr session() = 0;
  struct Reply {
    std::string bytes;
    bool last = false; // the connection ends with it
  };
  [[nodiscard]] virtual Reply reply(std::string_view request) = 0; // a whole one
  virtual void tls_failed(const std::string& why) = 0;
  // Bytes of requests that are not whole yet; false: there are too many already.
  [[nodiscard]] virtual bool reserve(std::size_t bytes) = 0;
  virtual void release(std::size_t bytes) = 0;
};

// One accepted connection: TLS, then requests and answers. It never waits: advance() goes on as far
// as it can, and says for what the poller has to wait.
class WebhookConnection {
 public:
  enum class Wait {
    Readable,
    Writable,
    Turn, // others come first, there is more to do
    Closed
  };

  // The socket does not block.
  WebhookConnection(Fd socket, const WebhookLimits& limits, WebhookHost& host);
  ~WebhookConnection();
  WebhookConnection(const WebhookConnection&) = delete;
  WebhookConnection& operator=(const WebhookConnection&) = delete;

  [[nodiscard]] Wait advance();
  [[nodiscard]] Time deadline() const { return deadline_; } // when it is to be cut off
  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  enum class State { Fresh, Handshake, Reading, Writing, Lingering };
  // What to wait for; nothing: it can go on.
  using Pause = std::optional<Wait>;

  Pause step();
  Pause begin();
  Pause shake_hands();
  Pause read();
  Pause write();
  Pause linger();
  Pause paused(int result); // of an SSL function that did not succeed
  [[nodiscard]] bool answer();
  void refuse(int status);
  void enter(State state, Duration limit);

  Fd socket_;
  const WebhookLimits& limits_;
  WebhookHost& host_;
  SessionPtr tls_;
  State state_ = State::Fresh;
  Time deadline_;
  std::string in_, out_;
  std::size_t wanted_ = 0; // bytes of the request that comes in, once its head is there
  std::size_t sent_ = 0;   // of out_
  bool last_ = false;      // out_ ends the connection
};

} // namespace egw::k8s
