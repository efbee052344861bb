// SPDX-License-Identifier: Apache-2.0
#include "k8s/http.hpp"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "k8s/support.hpp"

using namespace egw;
using namespace egw::k8s;
using namespace egw::test;

namespace {

HttpResponse get(const Config& config, HttpConnection::Options options = {}) {
  HttpConnection connection(config, std::make_shared<TokenSource>(config), std::move(options));
  HttpRequest request;
  request.target = "/x";
  return connection.send(request);
}

// A server whose certificate is for another address than the one it is reached at.
Config under_another_name(const ScriptedServer& server, const std::string& host) {
  auto config = config_for(server);
  config.host = host;
  return config;
}

} // namespace

TEST_CASE("the server must be whom the authority says, by name or by address") {
  ScriptedServer server;
  server.allow("GET", "/x", Reply::body(200, "hello"));
  CHECK(get(config_for(server)).body == "hello");
  CHECK(get(under_another_name(server, "localhost")).body == "hello");

  // Other spellings of an address that the certificate bears, but not as these.
  for (const auto& [host, reason] : {std::pair("::ffff:127.0.0.1", "IP address mismatch"),
                                     std::pair("127.1", "hostname mismatch")}) {
    const auto other = get(under_another_name(server, host));
    REQUIRE(other.failure);
    CHECK_FALSE(other.sent);
    CHECK_MESSAGE(other.failure->find(reason) != std::string::npos, *other.failure);
  }

  auto stranger = config_for(server);
  stranger.ca_pem = make_certificates().ca;
  const auto unknown = get(stranger);
  REQUIRE(unknown.failure);
  CHECK_FALSE(unknown.sent);
  CHECK(unknown.failure->find("certificate is refused") != std::string::npos);

  auto system = config_for(server);
  system.ca_pem.clear(); // the system's authorities do not know it either
  CHECK(get(system).failure);
  CHECK(server.requests().size() == 2);
}

TEST_CASE("IPv6 literals, plain http, and a client certificate") {
  ScriptedServer six({.ipv6 = true});
  six.allow("GET", "/x", Reply::body(200, "six"));
  CHECK(get(under_another_name(six, "::1")).body == "six");
  CHECK(six.requests().at(0).header("Host") == fmt::format("[::1]:{}", six.port()));

  ScriptedServer plain({.tls = false});
  plain.allow("GET", "/p/x", Reply::body(200, "plain"));
  auto config = config_for(plain, false);
  config.path_prefix = "/p";
  CHECK(get(config).body == "plain");

  ScriptedServer asking({.ask_client_certificate = true});
  asking.allow("GET", "/x", Reply::body(200, "known"));
  config = config_for(asking);
  config.client_cert_pem = asking.certificates().client;
  config.client_key_pem = asking.certificates().client_key;
  CHECK(get(config).body == "known");
  CHECK(asking.requests().at(0).client == "tester");
}

TEST_CASE("a token file is read again when it was replaced") {
  const auto path = std::filesystem::temp_directory_path() / fmt::format("egw-token-{}", getpid());
  const auto put = [&path](const std::string& text) { // as the kubelet does: by rename
    const auto temporary = path.string() + ".new";
    std::ofstream(temporary) << text;
    std::filesystem::rename(temporary, path);
  };
  ScriptedServer server;
  server.allow("GET", "/x", Reply::body(200, ""));
  auto config = config_for(server);
  config.token_file = path.string();
  HttpConnection connection(config, std::make_shared<TokenSource>(config), {});
  HttpRequest request;
  request.target = "/x";

  auto failed = connection.send(request);
  REQUIRE(failed.failure);
  CHECK(failed.failure->find("egw-token") != std::string::npos);
  put("first\n");
  CHECK(connection.send(request).status == 200);
  put("second");
  CHECK(connection.send(request).status == 200);
  put("two\r\nlines");
  failed = connection.send(request);
  CHECK(failed.failure);
  CHECK_FALSE(failed.sent);
  std::filesystem::remove(path);

  const auto requests = server.requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].header("Authorization") == "Bearer first");
  CHECK(requests[1].header("Authorization") == "Bearer second");
  CHECK(requests[0].connection == requests[1].connection); // kept alive
}

TEST_CASE("large bodies go out at once, without asking the server first") {
  ScriptedServer server;
  server.expect("POST", "/x", Reply::body(200, "{}"));
  const auto config = config_for(server);
  HttpConnection connection(config, std::make_shared<TokenSource>(config), {});
  HttpRequest request;
  request.method = "POST";
  request.target = "/x";
  request.body = std::string(300'000, 'x');
  CHECK(connection.send(request).status == 200);
  const auto got = server.requests().at(0);
  CHECK(got.body.size() == 300'000);
  CHECK(got.header("Expect") == "");
  CHECK(server.errors().empty());
}

TEST_CASE("whether a request may have reached the server") {
  ScriptedServer server;
  server.refuse();
  CHECK_FALSE(get(config_for(server)).sent);
  server.accept_again();
  server.next_connection(Fault::no_tls);
  CHECK_FALSE(get(config_for(server)).sent);
  server.expect("GET", "/x", Reply::body(200, "0123456789").cut());
  const auto cut = get(config_for(server));
  CHECK(cut.failure);
  CHECK(cut.sent);
  CHECK_FALSE(cut.timeout);
  server.expect("GET", "/x", Reply::stream().hold());
  const auto silent = get(config_for(server), {3s, 50ms, "egw"});
  CHECK(silent.failure);
  CHECK(silent.timeout);
}

TEST_CASE("stop() ends a request in a connect, in a TLS handshake and in a read") {
  const auto stopped_soon = [](const Config& config, const std::function<void()>& under_way) {
    HttpConnection connection(config, std::make_shared<TokenSource>(config), {30s, 30s, "egw"});
    HttpResponse response;
    std::thread thread([&] {
      HttpRequest request;
      request.target = "/x";
      response = connection.send(request);
    });
    under_way();
    const auto begun = now().steady;
    connection.stop();
    thread.join();
    CHECK(now().steady - begun < 2s);
    CHECK(response.canceled);
    HttpRequest after;
    after.target = "/x";
    CHECK(connection.send(after).canceled);
  };
  const auto patience = std::chrono::milliseconds(kPatience);
  ScriptedServer server;
  server.allow("GET", "/x", Reply::stream().line("{}").stall("read"));
  stopped_soon(config_for(server), [&] { CHECK(server.await_stall("read", patience)); });
  server.next_connection(Fault::silence);
  const auto before = server.connections();
  stopped_soon(config_for(server), [&] { CHECK(server.await_connections(before + 1, patience)); });
  // A listener whose backlog is full answers no SYN.
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::listen(listener, 0) == 0);
  REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  const int filler = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::connect(filler, reinterpret_cast<const sockaddr*>(&address), size) == 0);
  auto full = config_for(server);
  full.port = ntohs(address.sin_port);
  stopped_soon(full, [] {});
  ::close(filler);
  ::close(listener);
}

TEST_CASE("a connection breaks when its own address has gone from the host") {
  ScriptedServer server;
  server.allow("GET", "/x", Reply::stream().line("{}").stall("read"));
  const auto config = config_for(server);
  HttpConnection connection(config, std::make_shared<TokenSource>(config), {30s, 30s, "egw"});
  HttpResponse response;
  std::thread thread([&] {
    HttpRequest request;
    request.target = "/x";
    response = connection.send(request);
  });
  CHECK(server.await_stall("read", std::chrono::milliseconds(kPatience)));
  std::set<Address> own;
  const auto all_stand = [&](const Address& a) { return own.insert(a).second || true; };
  CHECK(HttpConnection::break_lost(all_stand) == 0);
  CHECK(own == std::set<Address>{*Address::parse("127.0.0.1")});
  const auto begun = now().steady;
  CHECK(HttpConnection::break_lost([](const Address&) { return false; }) == 1);
  thread.join();
  CHECK(now().steady - begun < 2s);
  CHECK(response.failure);
  CHECK(response.sent);
  CHECK_FALSE(response.canceled);
  CHECK_FALSE(response.timeout);
  // It goes on with another connection.
  server.allow("GET", "/y", Reply::body(200, "hello"));
  HttpRequest again;
  again.target = "/y";
  CHECK(connection.send(again).body == "hello");
}

TEST_CASE("after its deadline a request is not sent, also on a connection that stands") {
  ScriptedServer server;
  server.expect("GET", "/x", Reply::body(200, "{}"));
  const auto config = config_for(server);
  HttpConnection connection(config, std::make_shared<TokenSource>(config), {});
  HttpRequest request;
  request.target = "/x";
  connection.set_deadline(now().steady + 10s);
  CHECK(connection.send(request).status == 200);
  connection.set_deadline(now().steady);
  const auto late = connection.send(request);
  REQUIRE(late.failure);
  CHECK_FALSE(late.sent);
  CHECK(late.failure->find("the time for it has passed") != std::string::npos);
  server.expect("GET", "/x", Reply::body(200, "{}"));
  connection.set_deadline(std::nullopt);
  CHECK(connection.send(request).status == 200);
  CHECK(server.requests().size() == 2);
  CHECK(server.errors().empty());
}
