// SPDX-License-Identifier: Apache-2.0
#include "scripted_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "connection.hpp"
#include "target.hpp"

namespace egw::test {
namespace {

int check(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

} // namespace

std::string Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key.size() == name.size() && strncasecmp(key.data(), name.data(), name.size()) == 0)
      return value;
  return {};
}

ScriptedServer::ScriptedServer(ServerOptions options)
    : options_(options),
      certificates_(make_certificates()),
      wake_(check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  context_ = make_server_context(certificates_, options.ask_client_certificate);
  foreign_context_ = make_server_context(make_certificates(), false);
  bind();
  check(::listen(listener_, 64), "listen");
  acceptor_ = std::thread([this] { accept_loop(); });
}

ScriptedServer::~ScriptedServer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& [connection, fd] : open_) ::shutdown(fd, SHUT_RDWR);
    eventfd_write(wake_, 1);
    changed_.notify_all();
  }
  acceptor_.join();
  for (Worker& worker : workers_) worker.thread.join();
  ::close(listener_);
  ::close(wake_);
}

std::string ScriptedServer::url() const {
  return std::string(options_.tls ? "https" : "http") +
         (options_.ipv6 ? "://[::1]:" : "://127.0.0.1:") + std::to_string(port_);
}

// A socket bound to the port, from the second time on to the same one. Not listening it refuses.
void ScriptedServer::bind() {
  const int family = options_.ipv6 ? AF_INET6 : AF_INET;
  listener_ = check(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  const int on = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_storage address{};
  socklen_t size = 0;
  if (options_.ipv6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
    v6 = {AF_INET6, htons(port_), 0, IN6ADDR_LOOPBACK_INIT, 0};
    size = sizeof v6;
  } else {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    v4 = {AF_INET, htons(port_), {htonl(INADDR_LOOPBACK)}, {}};
    size = sizeof v4;
  }
  auto* const raw = reinterpret_cast<sockaddr*>(&address);
  check(::bind(listener_, raw, size), "bind");
  check(::getsockname(listener_, raw, &size), "getsockname");
  port_ = ntohs(options_.ipv6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                              : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

void ScriptedServer::expect(std::string method, std::string target, Reply reply, unsigned times) {
  const std::lock_guard lock(mutex_);
  script_.push_back({std::move(method), std::move(target), std::move(reply), times, false});
}

void ScriptedServer::allow(std::string method, std::string target, Reply reply) {
  const std::lock_guard lock(mutex_);
  script_.push_back({std::move(method), std::move(target), std::move(reply), 0, true});
}

void ScriptedServer::next_connection(Fault fault) {
  const std::lock_guard lock(mutex_);
  faults_.push_back(fault);
}

void ScriptedServer::refuse() {
  const std::lock_guard lock(mutex_);
  if (refusing_) return;
  refusing_ = true;
  ::shutdown(listener_, SHUT_RDWR); // close() alone takes effect when the acceptor leaves poll()
  ::close(listener_);
  bind();
  eventfd_write(wake_, 1);
}

void ScriptedServer::accept_again() {
  const std::lock_guard lock(mutex_);
  if (!refusing_) return;
  check(::listen(listener_, 64), "listen");
  refusing_ = false;
  eventfd_write(wake_, 1);
}

void ScriptedServer::release(const std::string& name) {
  const std::lock_guard lock(mutex_);
  released_.insert(name);
  changed_.notify_all();
}

void ScriptedServer::drop_connections() {
  const std::lock_guard lock(mutex_);
  for (const auto& [connection, fd] : open_) {
    dropped_.insert(connection);
    ::shutdown(fd, SHUT_RDWR);
  }
  changed_.notify_all();
}

void ScriptedServer::accept_loop() {
  for (;;) {
    std::array<pollfd, 2> waiting{};
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
      // A socket that does not listen always reports an event.
      waiting = {pollfd{wake_, POLLIN, 0}, pollfd{refusing_ ? -1 : listener_, POLLIN, 0}};
    }
    ::poll(waiting.data(), waiting.size(), -1);
    eventfd_t count = 0;
    eventfd_read(wake_, &count);
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    reap();
    if (refusing_) continue;
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue; // gone again, or it was the eventfd
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    std::optional<Fault> fault;
    if (!faults_.empty()) {
      fault = faults_.front();
      faults_.erase(faults_.begin());
    }
    const unsigned number = ++connections_;
    open_[number] = fd;
    changed_.notify_all();
    Worker& worker = workers_.emplace_back();
    worker.thread = std::thread([this, fd, number, fault, &worker] {
      serve(fd, number, fault);
      const std::lock_guard done(mutex_);
      worker.done = true;
    });
  }
}

void ScriptedServer::serve(int fd, unsigned number, std::optional<Fault> fault) {
  // OpenSSL writes without MSG_NOSIGNAL.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  Connection(*this, fd, number).run(fault);
}

void ScriptedServer::reap() {
  std::erase_if(workers_, [](Worker& worker) {
    if (worker.done) worker.thread.join();
    return worker.done;
  });
}

Reply ScriptedServer::answer(const Request& request) {
  const std::lock_guard lock(mutex_);
  requests_.push_back(request);
  changed_.notify_all();
  for (const bool optional : {false, true}) {
    for (Expectation& expected : script_) {
      if (expected.optional != optional || (!optional && expected.left == 0) ||
          expected.method != request.method || !target_fits(expected.target, request.target))
        continue;
      if (!optional) --expected.left;
      return expected.reply;
    }
  }
  const std::string text = request.method + " " + request.target;
  errors_.push_back("unexpected: " + text);
  return Reply::status(500, "InternalError", "not in the script: " + text);
}

void ScriptedServer::error(std::string text) {
  const std::lock_guard lock(mutex_);
  // What is cut off because this side ends it is nobody's mistake.
  if (!stopping_) errors_.push_back(std::move(text));
}

std::vector<std::string> ScriptedServer::errors() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> all = errors_;
  for (const Expectation& expected : script_)
    if (expected.left > 0)
      all.push_back("did not come (" + std::to_string(expected.left) +
                    " times): " + expected.method + " " + expected.target);
  return all;
}

std::vector<Request> ScriptedServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

unsigned ScriptedServer::connections() const {
  const std::lock_guard lock(mutex_);
  return connections_;
}

bool ScriptedServer::ended(unsigned connection) const {
  return stopping_ || dropped_.contains(connection);
}

bool ScriptedServer::wait_release(const std::string& name, unsigned connection) {
  std::unique_lock lock(mutex_);
  ++stalled_[name];
  changed_.notify_all();
  changed_.wait(lock, [&] { return ended(connection) || released_.contains(name); });
  --stalled_[name];
  return !ended(connection);
}

bool ScriptedServer::pause(Milliseconds time, unsigned connection) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, time, [&] { return ended(connection); });
}

void ScriptedServer::closed(unsigned connection) {
  const std::lock_guard lock(mutex_);
  open_.erase(connection);
  changed_.notify_all();
}

bool ScriptedServer::await(Milliseconds timeout, const std::function<bool()>& condition) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, condition);
}

bool ScriptedServer::await_requests(std::size_t count, Milliseconds timeout) const {
  return await(timeout, [&] { return requests_.size() >= count; });
}

bool ScriptedServer::await_connections(unsigned count, Milliseconds timeout) const {
  return await(timeout, [&] { return connections_ >= count; });
}

bool ScriptedServer::await_idle(Milliseconds timeout) const {
  return await(timeout, [&] { return open_.empty(); });
}

bool ScriptedServer::await_stall(const std::string& name, Milliseconds timeout) const {
  return await(timeout, [&] {
    const auto found = stalled_.find(name);
    return found != stalled_.end() && found->second > 0;
  });
}

bool ScriptedServer::await_script(Milliseconds timeout) const {
  return await(timeout, [&] {
    return std::all_of(script_.begin(), script_.end(),
                       [](const Expectation& expected) { return expected.left == 0; });
  });
}

std::optional<Request> ScriptedServer::await_request(const std::string& method,
                                                     const std::string& prefix,
                                                     Milliseconds timeout) const {
  std::optional<Request> found;
  (void)await(timeout, [&] {
    for (const Request& request : requests_)
      if (!found && request.method == method && request.target.starts_with(prefix)) found = request;
    return found.has_value();
  });
  return found;
}

} // namespace egw::test
