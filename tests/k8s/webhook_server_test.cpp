// SPDX-License-Identifier: Apache-2.0
#include "k8s/webhook_server.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <httplib.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "k8s/support.hpp"
#include "k8s/tls_client.hpp"

using namespace egw;
using namespace egw::k8s;
using namespace egw::test;

namespace {

KeyPair new_authority() {
  return make_authority({"egw-ca", {}, now().wall, std::chrono::hours(24)});
}
KeyPair new_pair(const KeyPair& authority) {
  return make_serving(authority,
                      {"egw", {"localhost", "127.0.0.1", "::1"}, now().wall, std::chrono::hours(1)})
      .value();
}

std::string post(std::string_view body, const char* path = "/echo", const char* more = "") {
  return fmt::format("POST {} HTTP/1.1\r\nHost: a\r\n{}Content-Length: {}\r\n\r\n{}", path, more,
                     body.size(), body);
}

struct Fixture {
  KeyPair authority = new_authority(), pair = new_pair(authority);
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> seen; // by the observer: "PATH STATUS"
  int held = 0;                  // requests that are in the handler of /hold
  bool go = false;
  std::unique_ptr<WebhookServer> server;

  ~Fixture() { release(); }

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

} // namespace

TEST_SUITE("threads") {
  TEST_CASE_FIXTURE(Fixture, "webhook: POSTs are answered by the handlers of their paths") {
    start();
    for (const char* host : {"127.0.0.1", "::1"}) {
      const auto http = client(host);
      const auto answer = http->Post("/echo?timeout=5s", "{\"a\":1}", "application/json");
      REQUIRE(answer);
      CHECK(answer->status == 200);
      CHECK(answer->body == "{\"a\":1}");
      CHECK(answer->get_header_value("Content-Type") == "application/json");
      CHECK(http->Post("/bad", "", "application/json")->body == "no review");
      CHECK(http->Post("/bad", "", "application/json")->status == 400);
      CHECK(http->Post("/other", "x", "application/json")->status == 404);
      CHECK(http->Get("/echo")->status == 404);
    }
    CHECK(server->metrics().accepted == 2); // they were kept alive
    server->stop();
    CHECK(seen == std::vector<std::string>{"/echo 200", "/bad 400", "/bad 400", " 404", "/echo 404",
                                           "/echo 200", "/bad 400", "/bad 400", " 404",
                                           "/echo 404"});
  }

  TEST_CASE_FIXTURE(Fixture, "webhook: what a handler throws is a 500 that tells nothing") {
    start();
    const auto answer = client()->Post("/throw", "x", "application/json");
    REQUIRE(answer);
    CHECK(answer->status == 500);
    CHECK(answer->body.find("secret") == std::string::npos);
    CHECK(answer->get_header_value("EXCEPTION_WHAT").empty());
    CHECK(echo() == "still here");
  }

  TEST_CASE_FIXTURE(Fixture, "webhook: bodies up to 3 MiB") {
    start();
    const std::string most(3U << 20U, 'x');
    const auto http = client();
    CHECK(http->Post("/echo", most, "application/json")->body == most);
    CHECK(http->Post("/echo", most, "application/json")->body.size() == most.size());
    auto raw = connect();
    REQUIRE(raw->send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3145729\r\n\r\n12345"));
    CHECK(raw->read("\r\n\r\n").starts_with("HTTP/1.1 413 Content Too Large\r\n"));
    CHECK(raw->ends_within(5s));
    CHECK(echo() == "still here");
  }

  TEST_CASE_FIXTURE(Fixture, "webhook: what is no request is refused") {
    start();
    auto raw = connect();
    REQUIRE(raw->send("NONSENSE\r\n\r\n"));
    CHECK(raw->read("\r\n\r\n").starts_with("HTTP/1.1 400 Bad Request\r\n"));
    CHECK(raw->ends_within(5s));
    auto chunked = connect();
    REQUIRE(chunked->send("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
    CHECK(chunked->read("\r\n\r\n").starts_with("HTTP/1.1 411 Length Required\r\n"));
    CHECK(echo() == "still here");
  }

  TEST_CASE_FIXTURE(Fixture, "webhook: requests that come at once are answered in order") {
    start();
    auto raw = connect();
    REQUIRE(raw->send(post("one") + post("two") + post("three", "/echo", "Connection: close\r\n")));
    const auto all = raw->read("three");
    CHECK(all.find("one") < all.find("two"));
    CHECK(all.find("two") < all.find("three"));
    CHECK(raw->ends_within(5s));
  }

  TEST_CASE_FIXTURE(Fixture, "webhook: without a certificate there is no handshake") {
    start({}, false);
    CHECK_FALSE(server->expires());
    for (int i = 0; i < 3; ++i) {
      TlsClient client(server->port());
      CHECK(client.handshake(authority.certificate) != "");
    }
    CHECK(server->metrics().tls_failures == 3);
    REQUIRE(server->use(pair).ok());
    CHECK(server->expires() == read_certificates(pair.certificate)->front().until);
    CHECK(echo() == "still here");
  }

  TEST_CASE_FIXTURE(Fixture, "webhook: a new certificate is for new connections, old ones go on") {
    start();
    auto old = connect();
    REQUIRE(old->send(post("1")));
    CHECK(old->read("\r\n\r\n1").ends_with("1"));
    const auto first = old->server_serial();
    const auto second = new_pair(authority);
    // A bad pair changes nothing.
    CHECK(server->use({second.certificate, pair.key}).error().message ==
          "the key does not belong to the certificate");
    CHECK_FALSE(server->use({"", ""}).ok());
    CHECK(connect()->server_serial() == first);
    REQUIRE(server->use(second).ok());
    CHECK(connect()->server_serial() != first);
    REQUIRE(old->send(post("2")));
    CHECK(old->read("\r\n\r\n2").ends_with("2"));
  }

  TEST_CASE_FIXTURE(Fixture, "webhook: TLS 1.2 and 1.3, nothing older, and no plain HTTP") {
    start();
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      TlsClient client(server->port());
      CHECK(client.handshake(authority.certificate, version) == "");
    }
    TlsClient old(server->port());
    CHECK(old.handshake(authority.certificate, TLS1_1_VERSION) != "");
    TlsClient plain(server->port());
    REQUIRE(plain.send(post("x")));
    CHECK(plain.read("HTTP/1.1 200").find("200") == std::string::npos);
    CHECK(await([&] { return server->metrics().tls_failures == 2; }));
  }

  TEST_CASE_FIXTURE(Fixture, "webhook: a client that does not trust the authority is counted") {
    start();
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      TlsClient client(server->port());
      CHECK(client.handshake(new_authority().certificate, version) != "");
    }
    CHECK(await([&] { return server->metrics().tls_failures == 2; }));
    { // someone who looks whether the port is open is no failure
      const TlsClient probe(server->port());
    }
    CHECK(await([&] { return server->metrics().connections == 0; }));
    CHECK(server->metrics().tls_failures == 2);
  }

  TEST_CASE_FIXTURE(Fixture, "webhook: idle and silent connections keep nobody out") {
    start();
    std::vector<std::unique_ptr<TlsClient>> others;
    for (int i = 0; i < 50; ++i) { // as two API servers have them at most
      others.push_back(connect());
      REQUIRE(others.back()->send(post("x")));
      CHECK(others.back()->read("\r\n\r\nx").ends_with("x"));
    }
    for (int i = 0; i < 20; ++i) others.push_back(connect());
    for (int i = 0; i < 20; ++i) others.push_back(std::make_unique<TlsClient>(server->port()));
    for (int i = 0; i < 20; ++i) { // in the middle of a request
      others.push_back(connect());
      REQUIRE(others.back()->send("POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"));
    }
    for (int i = 0; i < 20; ++i) { // in the middle of a handshake
      others.push_back(std::make_unique<TlsClient>(server->port()));
      REQUIRE(others.back()->send("\x16\x03\x01"));
    }
    CHECK(echo() == "still here");
    for (int i = 0; i < 50; ++i) {
      REQUIRE(others[static_cast<std::size_t>(i)]->send(post("y")));
      CHECK(others[static_cast<std::size_t>(i)]->read("\r\n\r\ny").ends_with("y"));
    }
    CHECK(server->metrics().cut_off == 0);
  }

  TEST_CASE_FIXTURE(Fixture, "webhook: who is slow or silent is cut off") {
    WebhookLimits limits;
    SUBCASE("in the handshake") {
      limits.handshake = 50ms;
      start(limits);
      TlsClient silent(server->port()), slow(server->port());
      REQUIRE(slow.send({"\x16\x03\x01\x02\x00", 5})); // of a record of 512 bytes
      std::thread drip([&] {
        while (slow.send("x")) std::this_thread::sleep_for(5ms);
      });
      CHECK(silent.ends_within(5s));
      drip.join();
    }
    SUBCASE("in a request") {
      limits.request = 50ms;
      start(limits);
      auto silent = connect(), slow = connect();
      std::thread drip([&] {
        while (slow->send("P")) std::this_thread::sleep_for(5ms);
      });
      CHECK(silent->ends_within(5s));
      drip.join();
    }
    SUBCASE("between requests") {
      limits.idle = 50ms;
      start(limits);
      auto one = connect(), two = connect();
      for (const auto* client : {&one, &two}) {
        REQUIRE((*client)->send(post("x")));
        CHECK((*client)->read("\r\n\r\nx").ends_with("x"));
      }
      CHECK(one->ends_within(5s));
      CHECK(two->ends_within(5s));
    }
    SUBCASE("in reading the answer") {
      limits.request = 200ms;
      start(limits);
      auto deaf = connect();
      const auto request = post(std::string(3U << 20U, 'x'));
      while (deaf->send(request)) continue; // it reads none of the answers
      CHECK(await([&] { return server->metrics().cut_off == 1; }));
      return;
    }
    CHECK(await([&] { return server->metrics().cut_off == 2; }));
    CHECK(server->metrics().connections == 0);
  }

  TEST_CASE_FIXTURE(Fixture,
                    "webhook: the newest connection gets in, who has least time gives way") {
    WebhookLimits limits;
    limits.max_connections = 4;
    start(limits);
    auto idle = connect(); // the one with the most time
    REQUIRE(idle->send(post("x")));
    CHECK(idle->read("\r\n\r\nx").ends_with("x"));
    std::vector<std::unique_ptr<TlsClient>> silent;
    for (int i = 0; i < 20; ++i) silent.push_back(std::make_unique<TlsClient>(server->port()));
    CHECK(echo() == "still here");
    REQUIRE(idle->send(post("y")));
    CHECK(idle->read("\r\n\r\ny").ends_with("y"));
    CHECK(server->metrics().displaced == 18);
    CHECK(silent.front()->ends_within(5s));
  }

  TEST_CASE_FIXTURE(Fixture, "webhook: memory for what is not whole is bounded") {
    WebhookLimits limits;
    limits.max_buffered = 100'000;
    start(limits);
    auto one = connect(), two = connect();
    REQUIRE(one->send("POST /echo HTTP/1.1\r\nContent-Length: 90000\r\n\r\n" +
                      std::string(80'000, 'x')));
    REQUIRE(await([&] { return server->metrics().buffered > 80'000; }));
    REQUIRE(two->send(post(std::string(90'000, 'x'))));
    CHECK(two->read("\r\n\r\n").starts_with("HTTP/1.1 503 "));
    REQUIRE(one->send(std::string(10'000, 'x')));
    CHECK(one->read("\r\n\r\n").starts_with("HTTP/1.1 200 "));
    // What was refused has been given back.
    CHECK(two->ends_within(5s));
    CHECK(await([&] { return server->metrics().connections == 1; }));
    CHECK(client()->Post("/echo", std::string(90'000, 'x'), "application/json")->status == 200);
  }

  TEST_CASE_FIXTURE(Fixture, "webhook: the end answers what has come, and waits for nobody") {
    start();
    auto idle = connect(), busy = connect();
    TlsClient silent(server->port());
    REQUIRE(busy->send(post("last words", "/hold")));
    REQUIRE(await_held(1));
    std::thread stop([&] { server->stop(); });
    CHECK(idle != nullptr);
    release();
    const auto answer = busy->read("last words");
    CHECK(answer.starts_with("HTTP/1.1 200 OK\r\n"));
    stop.join();
    CHECK(idle->ends_within(5s));
    CHECK(silent.ends_within(5s));
    CHECK_THROWS(TlsClient(server->port()));
  }

  TEST_CASE_FIXTURE(Fixture, "webhook: while it drains, each answer is a connection's last") {
    start();
    auto old = connect();
    REQUIRE(old->send(post("1")));
    CHECK(old->read("\r\n\r\n1").find("Connection: close") == std::string::npos);
    server->drain();
    REQUIRE(old->send(post("2")));
    CHECK(old->read("\r\n\r\n2").find("Connection: close") != std::string::npos);
    CHECK(old->ends_within(5s));
    CHECK(echo() == "still here");
  }

  TEST_CASE_FIXTURE(Fixture, "webhook: slow handlers hold up no more than their threads") {
    WebhookLimits limits;
    limits.workers = 3;
    start(limits);
    std::vector<std::unique_ptr<TlsClient>> waiting;
    for (int i = 0; i < 2; ++i) {
      waiting.push_back(connect());
      REQUIRE(waiting.back()->send(post("x", "/hold")));
    }
    REQUIRE(await_held(2));
    CHECK(echo() == "still here");
    release();
    for (const auto& client : waiting) CHECK(client->read("\r\n\r\nx").ends_with("x"));
  }
}

TEST_CASE_FIXTURE(Fixture, "webhook: a port that is taken is an error") {
  start({}, true, "127.0.0.1");
  WebhookServer::Options options;
  options.host = "127.0.0.1";
  options.port = server->port();
  CHECK_THROWS_AS(WebhookServer(std::move(options)), std::system_error);
}
