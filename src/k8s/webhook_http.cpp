// SPDX-License-Identifier: Apache-2.0
#include "k8s/webhook_http.hpp"

#include <fcntl.h>
#include <httplib.h>
#include <sys/socket.h>

#include <charconv>
#include <exception>
#include <utility>

#include "base/chrono.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "k8s/listen.hpp"

namespace egw::k8s {
namespace {

constexpr int kBacklog = 128;

// A request that has come, and the answer to it.
class MemoryStream : public httplib::Stream {
 public:
  explicit MemoryStream(std::string_view in) : in_(in) {}
  bool is_readable() const override { return !in_.empty(); }
  bool is_writable() const override { return true; }
  ssize_t read(char* to, std::size_t size) override {
    const auto n = in_.copy(to, size);
    in_.remove_prefix(n);
    return static_cast<ssize_t>(n);
  }
  ssize_t write(const char* from, std::size_t size) override {
    out.append(from, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return INVALID_SOCKET; }

  std::string out;

 private:
  std::string_view in_;
};

class HttpServer : public httplib::Server {
 public:
  Fd take_listener() { return Fd(svr_sock_.exchange(INVALID_SOCKET)); }
  // Returns whether the connection may go on.
  bool process(httplib::Stream& stream, bool last) {
    bool closes = last;
    // A POST is answered whole, whatever range its client names (RFC 9110 section 14.2).
    const auto whole = [](httplib::Request& request) { request.ranges.clear(); };
    const bool done = process_request(stream, "", 0, "", 0, last, closes, whole);
    return done && !closes;
  }
};

} // namespace

struct WebhookHttp::Impl {
  WebhookHandlers handlers;
  HttpServer server;

  void route(const std::string& path, const WebhookHandler& handler);
};

void WebhookHttp::Impl::route(const std::string& path, const WebhookHandler& handler) {
  server.Post(path, [&handler](const httplib::Request& request, httplib::Response& response) {
    auto answer = handler(request.body);
    response.status = answer.status;
    response.set_content(std::move(answer.body),
                         answer.status < 400 ? "application/json" : "text/plain");
  });
}

WebhookHttp::WebhookHttp(WebhookHandlers handlers, const WebhookLimits& limits)
    : impl_(std::make_unique<Impl>()) {
  impl_->handlers = std::move(handlers);
  auto& server = impl_->server;
  for (const auto& [path, handler] : impl_->handlers) impl_->route(path, handler);
  server.set_payload_max_length(limits.max_body);
  server.set_keep_alive_timeout(
      std::chrono::duration_cast<std::chrono::seconds>(limits.idle).count());
  server.set_exception_handler([](const httplib::Request& request, httplib::Response& response,
                                  const std::exception_ptr& thrown) {
    response.status = 500;
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& error) {
      log::error("webhook {}: {}", request.path, error.what());
    } catch (...) {
      log::error("webhook {}: failed", request.path);
    }
  });
}

WebhookHttp::~WebhookHttp() = default;

WebhookHttp::Listener WebhookHttp::listen(const std::string& host, int port) {
  Listener made;
  made.port = bind_server(impl_->server, host, port, "the webhook");
  made.socket = impl_->server.take_listener();
  check_errno(::listen(made.socket.get(), kBacklog), "listen"); // httplib's is 5
  check_errno(fcntl(made.socket.get(), F_SETFL, O_NONBLOCK), "fcntl");
  return made;
}

WebhookHttp::Reply WebhookHttp::answer(std::string_view request, bool last) {
  MemoryStream stream(request);
  Reply reply;
  reply.last = !impl_->server.process(stream, last);
  // "HTTP/1.1 200 OK"
  const std::string_view head(stream.out);
  if (head.size() > 12) std::from_chars(head.data() + 9, head.data() + 12, reply.status);
  reply.bytes = std::move(stream.out);
  const auto line = request.substr(0, request.find("\r\n"));
  const auto target = line.substr(line.find(' ') + 1);
  std::string path(target.substr(0, target.find_first_of("? ")));
  if (impl_->handlers.contains(path)) reply.path = std::move(path);
  return reply;
}

} // namespace egw::k8s
