// SPDX-License-Identifier: Apache-2.0
#include "apiserver/scripted_server.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>

#include "apiserver/target.hpp"

using namespace egw::test;
using namespace std::chrono_literals;

namespace {

// A client of nothing but a socket, so that bytes are seen as they come.
class Client {
 public:
  explicit Client(const ScriptedServer& server)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    REQUIRE(fd_ >= 0);
    const timeval limit{5, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    const sockaddr_in address{AF_INET, htons(server.port()), {htonl(INADDR_LOOPBACK)}, {}};
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      error_ = errno;
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { ::close(fd_); }

  [[nodiscard]] int error() const { return error_; } // errno of the last call that failed

  void send(std::string_view text) {
    if (::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) < 0) error_ = errno;
  }
  void get(std::string_view target) {
    send("GET " + std::string(target) + " HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  // All until `end` has come, or the server closes or resets the connection.
  std::string read_until(std::string_view end) {
    std::string got;
    char byte = 0;
    while (got.find(end) == std::string::npos) {
      const ssize_t size = ::recv(fd_, &byte, 1, 0);
      if (size < 0) error_ = errno;
      if (size <= 0) break;
      got += byte;
    }
    return got;
  }
  std::string read_all() { return read_until("never to come"); }

  [[nodiscard]] int fd() const { return fd_; }

 private:
  const int fd_;
  int error_ = 0;
};

const ServerOptions plain{.tls = false};

std::string body_of(const std::string& answer) {
  return answer.substr(answer.find("\r\n\r\n") + 4);
}

struct TlsClient {
  Client socket;
  TlsContext context{SSL_CTX_new(TLS_client_method())};
  std::unique_ptr<SSL, FreeSession> session;
  std::string verify_error;

  TlsClient(const ScriptedServer& server, bool with_certificate) : socket(server) {
    const auto memory = [](const std::string& pem) {
      return BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    };
    BIO* ca = memory(server.certificates().ca);
    X509* trusted = PEM_read_bio_X509(ca, nullptr, nullptr, nullptr);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), trusted);
    X509_free(trusted);
    BIO_free(ca);
    if (with_certificate) {
      BIO* own = memory(server.certificates().client);
      BIO* secret = memory(server.certificates().client_key);
      X509* certificate = PEM_read_bio_X509(own, nullptr, nullptr, nullptr);
      EVP_PKEY* key = PEM_read_bio_PrivateKey(secret, nullptr, nullptr, nullptr);
      REQUIRE(SSL_CTX_use_certificate(context.get(), certificate) == 1);
      REQUIRE(SSL_CTX_use_PrivateKey(context.get(), key) == 1);
      X509_free(certificate);
      EVP_PKEY_free(key);
      BIO_free(own);
      BIO_free(secret);
    }
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    session.reset(SSL_new(context.get()));
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session.get()), "127.0.0.1");
    SSL_set_fd(session.get(), socket.fd());
  }
  [[nodiscard]] bool handshake() { return SSL_connect(session.get()) == 1; }
  std::string ask(std::string_view text) {
    char buffer[4096];
    if (SSL_write(session.get(), text.data(), static_cast<int>(text.size())) <= 0) return {};
    const int size = SSL_read(session.get(), buffer, sizeof buffer);
    return size > 0 ? std::string(buffer, static_cast<std::size_t>(size)) : std::string();
  }
};

} // namespace

TEST_CASE("a target fits by path and by the parameters that were named") {
  CHECK(target_fits("/api/v1/pods", "/api/v1/pods"));
  CHECK(target_fits("/api/v1/pods", "/api/v1/pods?limit=5"));
  CHECK_FALSE(target_fits("/api/v1/pods", "/api/v1/pods/x"));
  CHECK(target_fits("/p?b=2&a=1", "/p?a=1&b=2&c=3"));
  CHECK(target_fits("/p?fieldSelector=spec.nodeName=a", "/p?fieldSelector=spec.nodeName%3Da"));
  CHECK_FALSE(target_fits("/p?a=1", "/p?a=12"));
  CHECK_FALSE(target_fits("/p?a=1", "/p"));
  CHECK(target_fits("/p?!continue", "/p?a=1"));
  CHECK_FALSE(target_fits("/p?!continue", "/p?a=1&continue=x"));
}

TEST_CASE("texts in JSON are escaped") {
  CHECK(json_string("a\"b\\c\n") == R"("a\"b\\c\u000a")");
  CHECK(status_object(409, "Conflict", "no") ==
        R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",)"
        R"("message":"no","reason":"Conflict","code":409})");
}

TEST_SUITE("threads") {
  TEST_CASE("whole answers, several on one connection, and what was asked") {
    ScriptedServer server(plain);
    server.expect("GET", "/a", Reply::body(200, "{}"), 2);
    server.expect("PATCH", "/a", Reply::conflict("the object has been modified"));
    Client client(server);
    client.get("/a");
    CHECK(client.read_until("{}").starts_with("HTTP/1.1 200 "));
    client.get("/a?x=y");
    CHECK(client.read_until("{}").find("Content-Type: application/json") != std::string::npos);
    const std::string body(3000, 'x');
    client.send(
        "PATCH /a HTTP/1.1\r\nHost: x\r\nX-Test:  some words\r\nContent-Length: 3000\r\n"
        "Expect: 100-continue\r\n\r\n");
    CHECK(client.read_until("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(body);
    const std::string answer = client.read_until("}\n");
    CHECK(answer.starts_with("HTTP/1.1 409 "));
    CHECK(body_of(answer) == status_object(409, "Conflict", "the object has been modified") + "\n");
    CHECK(server.errors().empty());
    CHECK(server.connections() == 1);
    const std::vector<Request> requests = server.requests();
    REQUIRE(requests.size() == 3);
    CHECK(requests[1].target == "/a?x=y");
    CHECK(requests[2].method == "PATCH");
    CHECK(requests[2].header("x-test") == "some words");
    CHECK(requests[2].body == body);
    CHECK(requests[2].connection == 1);
  }

  TEST_CASE("codes that ask for patience or a fresh start") {
    ScriptedServer server(plain);
    server.expect("GET", "/busy", Reply::too_many(7));
    server.expect("GET", "/away", Reply::unavailable("starting"));
    server.expect("GET", "/old", Reply::gone("too old resource version"));
    Client client(server);
    client.get("/busy");
    const std::string busy = client.read_until("}\n");
    CHECK(busy.starts_with("HTTP/1.1 429 "));
    CHECK(busy.find("\r\nRetry-After: 7\r\n") != std::string::npos);
    client.get("/away");
    CHECK(client.read_until("}\n").starts_with("HTTP/1.1 503 "));
    client.get("/old");
    const std::string old = client.read_until("}\n");
    CHECK(old.starts_with("HTTP/1.1 410 "));
    CHECK(old.find(R"("reason":"Expired")") != std::string::npos);
    CHECK(server.errors().empty());
  }

  TEST_CASE("what is not in the script, or never comes, is an error") {
    ScriptedServer server(plain);
    server.expect("GET", "/due", Reply::body(200, "{}"), 2);
    server.allow("GET", "/maybe", Reply::body(200, "{}"));
    Client client(server);
    client.get("/due");
    (void)client.read_until("{}");
    client.get("/other");
    CHECK(client.read_until("}\n").starts_with("HTTP/1.1 500 "));
    Client rude(server);
    rude.send("hello\r\n\r\n");
    CHECK(rude.read_all().empty());
    CHECK_FALSE(server.await_script(0ms));
    CHECK(server.errors() == std::vector<std::string>{"unexpected: GET /other",
                                                      "this is no request: hello",
                                                      "did not come (1 times): GET /due"});
  }

  TEST_CASE("a stream comes in chunks and stalls until it is released") {
    ScriptedServer server(plain);
    server.expect("GET", "/w?watch=true",
                  Reply::stream()
                      .event("ADDED", R"({"a":1})")
                      .stall("middle")
                      .error_event(410, "Expired", "too old"));
    server.expect("GET", "/w?watch=true", Reply::stream());
    Client client(server);
    client.get("/w?watch=true");
    CHECK(client.read_until("}}\n\r\n")
              .ends_with("\r\n\r\n22\r\n"
                         R"({"type":"ADDED","object":{"a":1}})"
                         "\n\r\n"));
    CHECK(server.await_stall("middle", 5s));
    char byte = 0;
    CHECK(::recv(client.fd(), &byte, 1, MSG_DONTWAIT) == -1);
    CHECK(errno == EAGAIN);
    server.release("middle");
    const std::string rest = client.read_until("0\r\n\r\n");
    CHECK(rest.find(R"({"type":"ERROR","object":{"kind":"Status")") != std::string::npos);
    CHECK(rest.find(R"("code":410}})") != std::string::npos);
    client.get("/w?watch=true"); // the connection still stands; this one ends at once
    CHECK(body_of(client.read_until("0\r\n\r\n")) == "0\r\n\r\n");
    CHECK(server.errors().empty());
  }

  TEST_CASE("answers that are cut off, by FIN or by RST") {
    ScriptedServer server(plain);
    server.expect("GET", "/w", Reply::stream().text("{\"type\":\"ADD").cut());
    server.expect("GET", "/w", Reply::stream().line("{}").stall("read").reset());
    server.expect("GET", "/list", Reply::body(200, "0123456789").cut());
    Client cut(server);
    cut.get("/w");
    CHECK(cut.read_all().ends_with("c\r\n{\"type\":\"ADD\r\n"));
    CHECK(cut.error() == 0);
    Client reset(server);
    reset.get("/w");
    (void)reset.read_until("{}\n\r\n");
    server.release("read");
    CHECK(reset.read_all().empty());
    CHECK(reset.error() == ECONNRESET);
    Client half(server);
    half.get("/list");
    const std::string answer = half.read_all();
    CHECK(answer.find("Content-Length: 10\r\n") != std::string::npos);
    CHECK(body_of(answer) == "01234");
    CHECK(server.await_idle(5s));
    CHECK(server.errors().empty());
  }

  TEST_CASE("a slow answer comes byte by byte") {
    ScriptedServer server(plain);
    server.expect("GET", "/slow", Reply::stream().slow(1ms).line("{\"a\":1}"));
    Client client(server);
    const auto began = std::chrono::steady_clock::now();
    client.get("/slow");
    CHECK(body_of(client.read_until("0\r\n\r\n")) == "8\r\n{\"a\":1}\n\r\n0\r\n\r\n");
    CHECK(std::chrono::steady_clock::now() - began >= 12ms); // 13 bytes of this chunk
    CHECK(server.errors().empty());
  }

  TEST_CASE("held streams end by the client, by a drop, and with the server") {
    ScriptedServer server(plain);
    server.expect("GET", "/w", Reply::stream().line("{}").hold(), 3);
    {
      Client leaving(server);
      leaving.get("/w");
      CHECK(server.await_request("GET", "/w", 5s).has_value());
    }
    CHECK(server.await_idle(5s));
    Client dropped(server);
    dropped.get("/w");
    (void)dropped.read_until("{}\n\r\n");
    server.drop_connections();
    CHECK(dropped.read_all().empty());
    CHECK(dropped.error() == 0);
    Client last(server);
    last.get("/w");
    CHECK(server.await_requests(3, 5s));
    CHECK(server.await_connections(3, 0ms));
    CHECK_FALSE(server.await_connections(4, 0ms));
    CHECK(server.await_script(0ms));
    CHECK(server.errors().empty());
  }

  TEST_CASE("connections that come to nothing") {
    ScriptedServer server(plain);
    server.next_connection(Fault::close);
    server.next_connection(Fault::reset);
    server.next_connection(Fault::silence);
    Client closed(server);
    CHECK(closed.read_all().empty());
    CHECK(closed.error() == 0);
    Client reset(server);
    CHECK(reset.read_all().empty());
    CHECK(reset.error() == ECONNRESET);
    {
      Client silent(server);
      CHECK(server.await_connections(3, 5s));
      char byte = 0;
      CHECK(::recv(silent.fd(), &byte, 1, MSG_DONTWAIT) == -1);
      CHECK(errno == EAGAIN);
    }
    const std::uint16_t port = server.port();
    server.expect("GET", "/", Reply::body(200, "{}"));
    server.refuse();
    CHECK(Client(server).error() == ECONNREFUSED);
    server.accept_again();
    CHECK(server.port() == port);
    Client client(server);
    client.get("/");
    CHECK(client.read_until("{}").starts_with("HTTP/1.1 200 "));
    CHECK(server.errors().empty());
  }

  TEST_CASE("TLS: the CA, the client's certificate, and handshakes that fail") {
    ScriptedServer server({.ask_client_certificate = true});
    server.expect("GET", "/", Reply::body(200, "{}"), 2);
    for (const bool with : {true, false}) {
      TlsClient client(server, with);
      REQUIRE(client.handshake());
      CHECK(client.ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .starts_with("HTTP/1.1 200 "));
    }
    CHECK(server.requests().at(0).client == "tester");
    CHECK(server.requests().at(1).client.empty());
    server.next_connection(Fault::unknown_ca);
    TlsClient wary(server, false);
    CHECK_FALSE(wary.handshake());
    CHECK(SSL_get_verify_result(wary.session.get()) != X509_V_OK);
    server.next_connection(Fault::no_tls);
    TlsClient puzzled(server, false);
    CHECK_FALSE(puzzled.handshake());
    CHECK(server.errors().empty());
    Client plaintext(server);
    plaintext.get("/");
    CHECK_FALSE(plaintext.read_all().starts_with("HTTP/1.1 2"));
    REQUIRE(server.errors().size() == 1);
    CHECK(server.errors()[0] == "connection 5: TLS handshake: http request");
  }
}
