// SPDX-License-Identifier: Apache-2.0
#include "k8s/webhook_server.hpp"

#include <doctest/doctest.h>

#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "k8s/webhook_fixture.hpp"

using namespace egw;
using namespace egw::test;

TEST_SUITE("threads") {
  TEST_CASE_FIXTURE(WebhookFixture, "webhook: POSTs are answered by the handlers of their paths") {
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

  TEST_CASE_FIXTURE(WebhookFixture, "webhook: an answer is whole, whatever range is asked for") {
    start();
    for (const char* range : {"bytes=-44", "bytes=1-2", "bytes=9-"}) {
      const auto answer =
          client()->Post("/echo", httplib::Headers{{"Range", range}}, "hello", "application/json");
      REQUIRE(answer);
      CHECK(answer->status == 200);
      CHECK(answer->body == "hello");
    }
  }

  TEST_CASE_FIXTURE(WebhookFixture, "webhook: what a handler throws is a 500 that tells nothing") {
    start();
    const auto answer = client()->Post("/throw", "x", "application/json");
    REQUIRE(answer);
    CHECK(answer->status == 500);
    CHECK(answer->body.find("secret") == std::string::npos);
    CHECK(answer->get_header_value("EXCEPTION_WHAT").empty());
    CHECK(echo() == "still here");
  }

  TEST_CASE_FIXTURE(WebhookFixture, "webhook: bodies up to 3 MiB") {
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

  TEST_CASE_FIXTURE(WebhookFixture, "webhook: what is no request is refused") {
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

  TEST_CASE_FIXTURE(WebhookFixture, "webhook: requests that come at once are answered in order") {
    start();
    auto raw = connect();
    REQUIRE(raw->send(post("one") + post("two") + post("three", "/echo", "Connection: close\r\n")));
    const auto all = raw->read("three");
    CHECK(all.find("one") < all.find("two"));
    CHECK(all.find("two") < all.find("three"));
    CHECK(raw->ends_within(5s));
  }

  TEST_CASE_FIXTURE(WebhookFixture, "webhook: without a certificate there is no handshake") {
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

  TEST_CASE_FIXTURE(WebhookFixture,
                    "webhook: a new certificate is for new connections, old ones go on") {
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
    CHECK(connect()->chain_size() == 1);
    // With its authority, as others may deliver it.
    REQUIRE(server->use({second.certificate + authority.certificate, second.key}).ok());
    CHECK(connect()->server_serial() != first);
    CHECK(connect()->chain_size() == 2);
    REQUIRE(old->send(post("2")));
    CHECK(old->read("\r\n\r\n2").ends_with("2"));
  }

  TEST_CASE_FIXTURE(WebhookFixture, "webhook: TLS 1.2 and 1.3, nothing older, and no plain HTTP") {
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

  TEST_CASE_FIXTURE(WebhookFixture,
                    "webhook: a client that does not trust the authority is counted") {
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

  TEST_CASE_FIXTURE(WebhookFixture,
                    "webhook: the end answers what has come, and waits for nobody") {
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

  TEST_CASE_FIXTURE(WebhookFixture,
                    "webhook: while it drains, each answer is a connection's last") {
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
}

TEST_CASE_FIXTURE(WebhookFixture, "webhook: a port that is taken is an error") {
  start({}, true, "127.0.0.1");
  WebhookServer::Options options;
  options.host = "127.0.0.1";
  options.port = server->port();
  CHECK_THROWS_AS(WebhookServer(std::move(options)), std::system_error);
}
