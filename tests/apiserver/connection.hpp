// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "channel.hpp"
#include "scripted_server.hpp"

namespace egw::test {

// HTTP/1.1 on one accepted connection, on a thread of its own.
class Connection {
 public:
  Connection(ScriptedServer& server, int fd, unsigned number)
      : server_(server), channel_(fd), number_(number) {}

  // Until the client closes it, the script ends it, or the server stops.
  void run(std::optional<Fault> fault);

 private:
  [[nodiscard]] bool handshake(std::optional<Fault> fault);
  // Nothing: the connection has ended, or what came is no request.
  [[nodiscard]] std::optional<Request> read_request();
  [[nodiscard]] bool read_body(Request& request);
  // False when the connection is not to be used again.
  [[nodiscard]] bool send(const Reply& reply, bool keep_alive);
  [[nodiscard]] bool send_steps(const Reply& reply, std::size_t limit);
  [[nodiscard]] bool send_text(std::string_view text, Milliseconds pause);
  void end(Reply::End how);
  void hold();

  ScriptedServer& server_;
  Channel channel_;
  const unsigned number_;
  std::string unread_;
  bool done_ = false; // closed by end()
};

} // namespace egw::test
