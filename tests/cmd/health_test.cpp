// SPDX-License-Identifier: Apache-2.0
#include "cmd/health.hpp"

#include <doctest/doctest.h>
#include <httplib.h>

#include <system_error>

using namespace egw;
using namespace egw::cmd;

namespace {

std::pair<int, std::string> get(int port, const char* path) {
  httplib::Client client("127.0.0.1", port);
  const auto answer = client.Get(path);
  REQUIRE(answer);
  return {answer->status, answer->body};
}

} // namespace

TEST_SUITE("threads") {
  TEST_CASE("health: says what its owner says") {
    std::optional<std::string> trouble;
    HealthQuestions q;
    q.metrics = [] { return std::optional<std::string>("egw_up 1\n"); };
    q.unhealthy = [] { return std::optional<std::string>(); };
    q.unready = [] { return std::optional<std::string>("waiting for lists"); };
    const HealthServer server({"127.0.0.1", 0}, q);
    CHECK(get(server.port(), "/metrics") == std::pair<int, std::string>{200, "egw_up 1\n"});
    CHECK(get(server.port(), "/healthz") == std::pair<int, std::string>{200, "ok\n"});
    CHECK(get(server.port(), "/readyz") == std::pair<int, std::string>{503, "waiting for lists\n"});
    CHECK(get(server.port(), "/other").first == 404);

    HealthQuestions silent = q;
    silent.metrics = [] { return std::optional<std::string>(); };
    const HealthServer second({"127.0.0.1", 0}, silent);
    CHECK(get(second.port(), "/metrics").first == 503);
    // A port that is taken is an error, not shared in silence.
    CHECK_THROWS_AS(HealthServer({"127.0.0.1", server.port()}, q), std::system_error);
  }

  TEST_CASE("health: a client that says nothing does not keep others out, nor the end away") {
    HealthQuestions q;
    q.metrics = [] { return std::optional<std::string>(""); };
    q.unhealthy = q.unready = [] { return std::optional<std::string>(); };
    const HealthServer server({"::", 0}, q);
    httplib::Client kept("127.0.0.1", server.port());
    kept.set_keep_alive(true);
    for (int i = 0; i < 5; ++i) {
      CHECK(kept.Get("/healthz")->status == 200);
      CHECK(get(server.port(), "/healthz").first == 200);
    }
  }
}
