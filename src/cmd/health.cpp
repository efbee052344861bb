// SPDX-License-Identifier: Apache-2.0
#include "cmd/health.hpp"

#include <httplib.h>

#include <thread>
#include <utility>

#include "base/log.hpp"
#include "k8s/listen.hpp"

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

  impl_->port = k8s::bind_server(server, address.host, address.port, "metrics and health");
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
