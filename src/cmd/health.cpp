// SPDX-License-Identifier: Apache-2.0
#include "cmd/health.hpp"

#include <fmt/format.h>
#include <httplib.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>
#include <thread>
#include <utility>

#include "base/log.hpp"

namespace egw::cmd {

struct HealthServer::Impl {
  HealthQuestions questions;
  httplib::Server server;
  int port = 0;
  std::jthread thread;
};

namespace {

void answer(httplib::Response& response, const std::optional<std::string>& trouble) {
  response.status = trouble ? 503 : 200;
  response.set_content(trouble.value_or("ok") + "\n", "text/plain");
}

} // namespace

HealthServer::HealthServer(const ListenAddress& address, HealthQuestions questions)
    : impl_(std::make_unique<Impl>()) {
  impl_->questions = std::move(questions);
  auto& server = impl_->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(2, 16); };
  server.set_keep_alive_max_count(1); // a thread is not kept by a client that says nothing
  server.set_read_timeout(5);
  server.set_write_timeout(5);
  server.set_payload_max_length(1024);
  // httplib sets SO_REUSEPORT: a second process would take half of the requests unnoticed.
  server.set_socket_options([](socket_t socket) {
    const int on = 1, off = 0;
    (void)setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void)setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off); // ENOPROTOOPT for IPv4
  });
  server.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
    auto text = impl_->questions.metrics();
    if (!text) return answer(response, "no answer in time");
    response.set_content(*std::move(text), "text/plain; version=0.0.4");
  });
  server.Get("/healthz", [this](const httplib::Request&, httplib::Response& response) {
    answer(response, impl_->questions.unhealthy());
  });
  server.Get("/readyz", [this](const httplib::Request&, httplib::Response& response) {
    answer(response, impl_->questions.unready());
  });

  errno = 0;
  // "::" needs IPv6 in the kernel; where it is off, all addresses are those of IPv4.
  const auto bind = [&](const std::string& host) {
    if (address.port == 0) return server.bind_to_any_port(host);
    return server.bind_to_port(host, address.port) ? address.port : -1;
  };
  impl_->port = bind(address.host);
  if (impl_->port < 0 && address.host == "::") impl_->port = bind("0.0.0.0");
  if (impl_->port < 0) {
    throw std::system_error(
        errno != 0 ? errno : EADDRNOTAVAIL, std::system_category(),
        fmt::format("listen on {} port {} for metrics and health", address.host, address.port));
  }
  impl_->thread = std::jthread([this] { impl_->server.listen_after_bind(); });
  impl_->server.wait_until_ready(); // stop() before that would be lost
}

HealthServer::~HealthServer() {
  impl_->server.stop();
}

int HealthServer::port() const {
  return impl_->port;
}

std::unique_ptr<HealthServer> serve_health(const std::optional<ListenAddress>& address,
                                           HealthQuestions questions) {
  if (!address) return nullptr;
  auto server = std::make_unique<HealthServer>(*address, std::move(questions));
  log::info("metrics and health on port {}", server->port());
  return server;
}

} // namespace egw::cmd
