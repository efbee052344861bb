// SPDX-License-Identifier: Apache-2.0
#include "k8s/config.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "apiserver/certificates.hpp"
#include "base/base64.hpp"

using namespace egw;
using namespace egw::k8s;

namespace {

const test::Certificates& certificates() {
  static const auto made = test::make_certificates();
  return made;
}

struct Fixture {
  std::filesystem::path dir =
      std::filesystem::temp_directory_path() / fmt::format("egw-config-{}", getpid());
  Fixture() { std::filesystem::create_directories(dir); }
  ~Fixture() {
    for (const auto* name : {"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBECONFIG"}) {
      unsetenv(name); // NOLINT(concurrency-mt-unsafe)
    }
    std::filesystem::remove_all(dir);
  }
  std::string file(const std::string& name, const std::string& text) const {
    const auto path = (dir / name).string();
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  static void set(const char* name, const char* value) {
    setenv(name, value, 1); // NOLINT(concurrency-mt-unsafe)
  }

  std::string kubeconfig(const std::string& cluster, const std::string& user,
                         const std::string& context = "") const {
    return file("config", fmt::format(R"(apiVersion: v1
kind: Config
current-context: one
contexts:
- name: one
  context: {{cluster: c, user: u{}}}
- name: two
  context: {{cluster: nowhere, user: u}}
clusters:
- name: c
  cluster: {{{}}}
users:
- name: u
  user: {{{}}}
)",
                                      context, cluster, user));
  }
  std::string error(const std::string& cluster, const std::string& user) const {
    const auto config = from_kubeconfig(kubeconfig(cluster, user));
    return config ? "none" : config.error().message;
  }
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

} // namespace

TEST_CASE_FIXTURE(Fixture, "kubeconfig: inline") {
  const auto config = from_kubeconfig(kubeconfig(
      fmt::format("server: 'https://[fd00::1]:6443/prefix/', certificate-authority-data: {}",
                  base64_encode(certificates().ca)),
      fmt::format("client-certificate-data: {}, client-key-data: {}",
                  base64_encode(certificates().client), base64_encode(certificates().client_key)),
      ", namespace: team"));
  REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
  CHECK(config->host == "fd00::1");
  CHECK(config->port == 6443);
  CHECK(config->path_prefix == "/prefix");
  CHECK(config->tls);
  CHECK(config->ca_pem == certificates().ca);
  CHECK(config->client_cert_pem == certificates().client);
  CHECK(config->client_key_pem == certificates().client_key);
  CHECK(config->namespace_ == "team");
}

TEST_CASE_FIXTURE(Fixture, "kubeconfig: by file, relative to it") {
  file("ca.pem", certificates().ca);
  const auto token = file("token", "secret\n");
  const auto config = from_kubeconfig(kubeconfig(
      "server: 'https://api.example', certificate-authority: ca.pem", "tokenFile: token"));
  REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
  CHECK(config->host == "api.example");
  CHECK(config->port == 443);
  CHECK(config->token_file == token);
  CHECK(config->token.empty());
  CHECK(config->namespace_ == "default");
  CHECK(from_kubeconfig(kubeconfig("server: 'https://10.0.0.1:1'", "token: abc"))->token == "abc");
}

TEST_CASE_FIXTURE(Fixture, "kubeconfig: what is not supported says so, with a remedy") {
  const std::string server = "server: 'https://h'";
  CHECK(has(
      error(server + ", insecure-skip-tls-verify: true", "token: a"),
      "insecure-skip-tls-verify of cluster \"c\" is not supported: give the server's authority"));
  CHECK(error(server + ", insecure-skip-tls-verify: false", "token: a") == "none");
  CHECK(has(error(server + ", proxy-url: 'http://p'", "token: a"), "proxy-url"));
  CHECK(has(error(server + ", tls-server-name: x", "token: a"), "tls-server-name"));
  CHECK(has(error(server, "exec: {command: aws}"), "exec of user \"u\" is not supported"));
  CHECK(has(error(server, "auth-provider: {name: gcp}"), "auth-provider"));
  CHECK(has(error(server, "username: a, password: b"), "username"));
  CHECK(has(error(server, "token: a, as: root"), "as of user"));
}

TEST_CASE_FIXTURE(Fixture, "kubeconfig: what is wrong names the field") {
  CHECK(has(error("server: 'ftp://h'", ""), "server is \"ftp://h\""));
  CHECK(has(error("server: 'https://h:0'", ""), "port"));
  CHECK(has(error("server: 'https://h:70000'", ""), "port"));
  CHECK(has(error("server: 'https://fd00::1'", ""), "IPv6 address stands in [ ]"));
  CHECK(has(error("server: 'https://user@h'", ""), "HOST[:PORT]"));
  CHECK(has(error("certificate-authority-data: x", ""), "server is \"\""));
  CHECK(has(error("server: 'https://h', certificate-authority-data: '!!!'", ""),
            "certificate-authority-data is not base64"));
  CHECK(has(error("server: 'https://h', certificate-authority-data: aGFsbG8=", ""),
            "the certificate authority is not PEM"));
  CHECK(has(error("server: 'https://h', certificate-authority: nowhere.pem", ""), "nowhere.pem"));
  CHECK(has(error("server: 'https://h'", "client-certificate-data: aGFsbG8="), "only one of"));
  CHECK(has(
      error("server: 'https://h'", fmt::format("client-certificate-data: {}, client-key-data: {}",
                                               base64_encode(certificates().client),
                                               base64_encode(certificates().server_key))),
      "does not belong to the client certificate"));
  CHECK(has(error("server: 'http://h'", "token: a"), "plain http"));
  CHECK(has(error("server: 'https://h'", "token: 'a b'"), "blank"));
  CHECK(has(error("server: [1]", ""), "server must be a string"));

  CHECK(has(from_kubeconfig(kubeconfig("server: 'https://h'", ""), "three").error().message,
            "no \"three\" among contexts"));
  CHECK(has(from_kubeconfig(kubeconfig("server: 'https://h'", ""), "two").error().message,
            "no \"nowhere\" among clusters"));
  CHECK(has(from_kubeconfig(file("x", "a: [")).error().message, "kubeconfig "));
  CHECK(has(from_kubeconfig(file("x", "just text")).error().message, "is not a map"));
  CHECK(has(from_kubeconfig(file("x", "contexts: 5\ncurrent-context: a")).error().message,
            "no \"a\""));
  CHECK(has(from_kubeconfig((dir / "missing").string()).error().message, "cannot read"));
  CHECK(has(from_kubeconfig("/a:/b").error().message, "several files"));
}

TEST_CASE_FIXTURE(Fixture, "in a pod") {
  CHECK(has(in_cluster(dir.string()).error().message, "KUBERNETES_SERVICE_HOST"));
  set("KUBERNETES_SERVICE_HOST", "fd00:96::1");
  set("KUBERNETES_SERVICE_PORT", "443x");
  CHECK(has(in_cluster(dir.string()).error().message, "443x"));
  set("KUBERNETES_SERVICE_PORT", "6443");
  CHECK(has(in_cluster(dir.string()).error().message, "ca.crt"));
  file("ca.crt", certificates().ca);
  CHECK(has(in_cluster(dir.string()).error().message, "token"));
  const auto token = file("token", "secret");
  file("namespace", "kube-system\n");
  const auto config = in_cluster(dir.string());
  REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
  CHECK(config->host == "fd00:96::1");
  CHECK(config->port == 6443);
  CHECK(config->token_file == token);
  CHECK(config->namespace_ == "kube-system");
}

TEST_CASE_FIXTURE(Fixture, "a flag goes before the environment") {
  const auto path = kubeconfig("server: 'https://flag'", "token: a");
  set("KUBECONFIG", file("other", "current-context: x").c_str());
  const auto config = load(path);
  REQUIRE(config);
  CHECK(config->host == "flag");
  CHECK(has(load().error().message, "no \"x\" among contexts"));
}
