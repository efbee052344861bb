// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <httplib.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "k8s/certificate.hpp"
#include "k8s/support.hpp"
#include "k8s/tls_client.hpp"
#include "k8s/webhook_server.hpp"

namespace egw::test {

using namespace egw::k8s;

inline KeyPair new_authority() {
  return make_authority({"egw-ca", {}, now().wall, std::chrono::hours(24)});
}
inline KeyPair new_pair(const KeyPair& authority) {
  return make_serving(authority,
                      {"egw", {"localhost", "127.0.0.1", "::1"}, now().wall, std::chrono::hours(1)})
      .value();
}

inline std::string post(std::string_view body, const char* path = "/echo", const char* more = "") {
  return fmt::format("POST {} HTTP/1.1\r\nHost: a\r\n{}Content-Length: {}\r\n\r\n{}", path, more,
                     body.size(), body);
}

struct WebhookFixture {
  KeyPair authority = new_authority(), pair = new_pair(authority);
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> seen; // by the observer: "PATH STATUS"
  int held = 0;                  // requests that are in the handler of /hold
  bool go = false;
  std::unique_ptr<WebhookServer> server;

  ~WebhookFixture() { release(); }

  void start(WebhookLimits limits = {}, bool with_certificate = true, const char* host = "::") {
    WebhookServer::Options options;
    options.host = host;
    options.limits = limits;
    options.handlers["/echo"] = [](const std::string& body) { return WebhookAnswer{200, body}; };
    options.handlers["/bad"] = [](const std::string&) { return WebhookAnswer{400, "no review"}; };
    options.handlers["/throw"] = [](const std::string&) -> WebhookAnswer {
      throw std::runtime_error("a secret");
    };
    options.handlers["/hold"] = [this](const std::string& body) {
      std::unique_lock lock(mutex);
      ++held;
      changed.notify_all();
      changed.wait(lock, [this] { return go; });
      return WebhookAnswer{200, body};
    };
    options.observer = [this](const std::string& path, int status, Duration took) {
      const std::lock_guard lock(mutex);
      seen.push_back(fmt::format("{} {}{}", path, status, took > Duration::zero() ? "" : " ?"));
    };
    server = std::make_unique<WebhookServer>(std::move(options));
    if (with_certificate) REQUIRE(server->use(pair).ok());
  }
  void release() {
    const std::lock_guard lock(mutex);
    go = true;
    changed.notify_all();
  }
  bool await_held(int count) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, kPatience, [&] { return held >= count; });
  }

  [[nodiscard]] std::unique_ptr<TlsClient> connect() const {
    auto client = std::make_unique<TlsClient>(server->port());
    REQUIRE(client->handshake(authority.certificate) == "");
    return client;
  }
  std::unique_ptr<httplib::SSLClient> client(const char* host = "127.0.0.1") const {
    auto made = std::make_unique<httplib::SSLClient>(host, server->port());
    static_cast<void>(
        X509_STORE_add_cert(SSL_CTX_get_cert_store(made->ssl_context()),
                            parse_certificates(authority.certificate)->front().get()));
    made->set_ca_cert_path("", "/nonexistent");
    made->enable_server_certificate_verification(true);
    made->enable_server_hostname_verification(false); // it reads beyond the end of addresses
    made->set_keep_alive(true);
    return made;
  }
  [[nodiscard]] std::string echo() const {
    const auto answer = client()->Post("/echo", "still here", "application/json");
    return answer ? answer->body : httplib::to_string(answer.error());
  }
  template <class F>
  static bool await(F condition) {
    const auto end = now().steady + kPatience;
    while (!condition()) {
      if (now().steady > end) return false;
      std::this_thread::sleep_for(1ms);
    }
    return true;
  }
};

} // namespace egw::test
