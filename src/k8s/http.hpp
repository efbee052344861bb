// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/chrono.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/ip.hpp"
#include "k8s/config.hpp"

// One kept-alive HTTP/1.1 connection to the API server: what this project needs of cpp-httplib, and
// the only file that includes it.
namespace egw::k8s {

// The bearer token of a Config; a file is read again when it was replaced (the kubelet renews
// projected tokens by a rename). Thread-safe.
class TokenSource {
 public:
  explicit TokenSource(const Config& config) : file_(config.token_file), token_(config.token) {}
  [[nodiscard]] Result<std::string> get();

 private:
  struct Stamp {
    std::uint64_t device = 0, inode = 0;
    std::int64_t seconds = 0, nanoseconds = 0, size = 0;
    bool operator==(const Stamp&) const = default;
  };
  std::mutex mutex_;
  std::string file_, token_;
  std::optional<Stamp> stamp_;
};

struct HttpRequest {
  const char* method = "GET";
  std::string target; // path and query, encoded
  std::vector<std::pair<std::string, std::string>> headers;
  std::string content_type, body;
  std::function<void(int status)> head; // the answer has begun; may be empty
  // Asked at the last moment, after whatever connecting took: false, and it is not sent. May be
  // empty.
  std::function<bool()> wanted;
};

struct HttpResponse {
  int status = 0; // 0: no answer, `failure` says why
  std::string content_type;
  std::optional<Duration> retry_after;
  std::string body; // as far as no receiver took it
  // No answer, or (status set) one that was cut off.
  std::optional<std::string> failure;
  bool sent = false;     // the request may have reached the server
  bool timeout = false;  // the failure was silence
  bool canceled = false; // by stop() or by the receiver
};

class HttpConnection {
 public:
  struct Options {
    Duration connect_timeout = std::chrono::seconds(3);
    Duration read_timeout = std::chrono::seconds(10); // silence
    std::string user_agent = "egw";
  };
  HttpConnection(const Config& config, std::shared_ptr<TokenSource> token, Options options);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // Takes the bytes of a 2xx answer as they come; false ends the request. Bodies of other answers
  // and answers without a receiver are collected in HttpResponse::body.
  using Receiver = std::function<bool(const char* data, std::size_t size)>;
  [[nodiscard]] HttpResponse send(const HttpRequest& request, const Receiver& receiver = nullptr);
  // For the requests to come, not during send(): none is sent after this, and an answer that has
  // not ended by then is cut off. Connecting may take as long as is left for each of TCP and TLS.
  void set_deadline(std::optional<Time> deadline);

  // From any thread: ends a send() under way, also in connect and in the TLS handshake, and lets
  // none begin. A look-up of a DNS name is not interrupted.
  void stop();         // waits until send() has ended, unless called from within it
  void request_stop(); // does not wait

  // From any thread: a request that has been sent ends now. One that has not goes out, unless it is
  // not `wanted`.
  void interrupt();

  // Breaks every connection of this process whose own address does not stand on this host any more:
  // nothing comes back on it, and nobody says so before a timeout. Whoever uses it finds a broken
  // connection and makes another. Returns how many there were. From any thread.
  static std::size_t break_lost(const std::function<bool(const Address& own)>& stands);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace egw::k8s
