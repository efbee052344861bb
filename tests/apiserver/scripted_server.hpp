// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/chrono.hpp"
#include "certificates.hpp"
#include "channel.hpp"
#include "reply.hpp"

// An HTTP/1.1 server that answers by a script, for what a real API server won't do on request. What
// it can do as well is tested against a real one (tests/kubernetes).
namespace egw::test {

using Milliseconds = std::chrono::milliseconds;

struct Request {
  std::string method;
  std::string target; // as it came, path and query
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string client;      // CN of the client's certificate, empty without one
  unsigned connection = 0; // counted from 1
  // The value of a header, the name in any case; empty without one.
  [[nodiscard]] std::string header(std::string_view name) const;
};

struct ServerOptions {
  bool tls = true;
  bool ask_client_certificate = false;
  bool ipv6 = false; // on ::1 instead of 127.0.0.1
};

// What becomes of the next connection instead of an answer.
enum class Fault {
  close,      // FIN right after it was accepted
  reset,      // RST
  silence,    // accepted, never a byte
  no_tls,     // plain text where the ServerHello should be
  unknown_ca, // a certificate of another CA
};

// All functions may be called from any thread. The destructor ends all connections.
class ScriptedServer {
 public:
  explicit ScriptedServer(ServerOptions options = {});
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  // --- where it is
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string url() const;
  [[nodiscard]] const Certificates& certificates() const { return certificates_; }

  // --- the script
  // `times` requests of that method and target are awaited and answered so; those of the same
  // target are used in the order of their calls, others in any order. A target is a path, which
  // takes any query, or a path with those parameters that must be there with that decoded value
  // ("/p?watch=true&resourceVersion=5") or must not be there ("/p?!continue"); others may.
  void expect(std::string method, std::string target, Reply reply, unsigned times = 1);
  // Any number of them, also none; used when nothing expected fits.
  void allow(std::string method, std::string target, Reply reply);
  // Of the next connections that are accepted, one each.
  void next_connection(Fault fault);
  // Connections are refused, those that stand go on; the port stays its own.
  void refuse();
  void accept_again();
  // Lets all replies go on that stand or will come to stand at stall(name).
  void release(const std::string& name);
  // Ends all open connections: by FIN, in the middle of what they are doing.
  void drop_connections();

  // --- what came
  [[nodiscard]] std::vector<Request> requests() const;
  [[nodiscard]] unsigned connections() const; // accepted so far, those with a fault too
  // Empty when all went by the script: unexpected or unreadable requests, failed handshakes that
  // no fault explains, and expectations that were not met.
  [[nodiscard]] std::vector<std::string> errors() const;

  // --- waiting; false or nothing when it did not come about in time
  [[nodiscard]] bool await_requests(std::size_t count, Milliseconds timeout) const;
  [[nodiscard]] bool await_connections(unsigned count, Milliseconds timeout) const;
  // No connection is open any more.
  [[nodiscard]] bool await_idle(Milliseconds timeout) const;
  [[nodiscard]] bool await_stall(const std::string& name, Milliseconds timeout) const;
  // Every expectation was met.
  [[nodiscard]] bool await_script(Milliseconds timeout) const;
  // The first request with that method whose target starts so.
  [[nodiscard]] std::optional<Request> await_request(const std::string& method,
                                                     const std::string& prefix,
                                                     Milliseconds timeout) const;

 private:
  friend class Connection;
  struct Expectation {
    std::string method, target;
    Reply reply;
    unsigned left;
    bool optional;
  };
  struct Worker {
    std::thread thread;
    bool done = false;
  };

  void bind();
  void accept_loop();
  void serve(int fd, unsigned number, std::optional<Fault> fault);
  // Records a request and finds its answer.
  [[nodiscard]] Reply answer(const Request& request);
  void error(std::string text);
  // False when the server stops, or drops its connections, first.
  [[nodiscard]] bool wait_release(const std::string& name, unsigned connection);
  [[nodiscard]] bool pause(Milliseconds time, unsigned connection);
  [[nodiscard]] bool ended(unsigned connection) const; // with mutex_ held
  void closed(unsigned connection);
  [[nodiscard]] bool await(Milliseconds timeout, const std::function<bool()>& condition) const;
  void reap();

  const ServerOptions options_;
  const Certificates certificates_;
  TlsContext context_, foreign_context_;
  std::uint16_t port_ = 0;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  int listener_ = -1;
  const int wake_; // eventfd: the acceptor looks anew
  bool stopping_ = false, refusing_ = false;
  std::vector<Expectation> script_;
  std::vector<Fault> faults_;
  std::vector<Request> requests_;
  std::vector<std::string> errors_;
  std::set<std::string> released_;
  std::map<std::string, unsigned> stalled_;
  std::map<unsigned, int> open_; // connection -> fd, as long as it may be shut down
  std::set<unsigned> dropped_;
  unsigned connections_ = 0;
  std::list<Worker> workers_;
  std::thread acceptor_;
};

} // namespace egw::test
