// SPDX-License-Identifier: Apache-2.0
#include "k8s/webhook_server.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "k8s/webhook_fixture.hpp"

using namespace egw;
using namespace egw::test;

// Clients that are idle, silent, slow or too many.
TEST_SUITE("threads") {
  TEST_CASE_FIXTURE(WebhookFixture, "webhook: idle and silent connections keep nobody out") {
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

  TEST_CASE_FIXTURE(WebhookFixture, "webhook: who is slow or silent is cut off") {
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

  TEST_CASE_FIXTURE(WebhookFixture,
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

  TEST_CASE_FIXTURE(WebhookFixture, "webhook: memory for what is not whole is bounded") {
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

  TEST_CASE_FIXTURE(WebhookFixture, "webhook: slow handlers hold up no more than their threads") {
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
