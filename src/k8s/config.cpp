// SPDX-License-Identifier: Apache-2.0
#include "k8s/config.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "k8s/file.hpp"
#include "k8s/tls.hpp"

namespace egw::k8s {
namespace {

std::string environment(const char* name) {
  const char* value =
      std::getenv(name); // NOLINT(concurrency-mt-unsafe): nothing here sets variables
  return value == nullptr ? std::string() : std::string(value);
}

} // namespace

Result<Config> in_cluster(const std::string& directory) {
  Config config;
  config.origin = "in-cluster";
  config.host = environment("KUBERNETES_SERVICE_HOST");
  const auto port = environment("KUBERNETES_SERVICE_PORT");
  if (config.host.empty() || port.empty()) {
    return Error{
        "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is not a pod. "
        "Give a kubeconfig (--kubeconfig or KUBECONFIG)"};
  }
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), config.port);
  if (error != std::errc() || end != port.data() + port.size() || config.port == 0) {
    return Error{
        fmt::format("KUBERNETES_SERVICE_PORT is \"{}\": a port from 1 to 65535 is needed", port)};
  }
  auto ca = read_file(directory + "/ca.crt");
  if (!ca) return ca.error();
  config.ca_pem = std::move(ca).value();
  config.token_file = directory + "/token";
  if (auto token = read_file(config.token_file); !token) return token.error();
  const auto namespace_ = read_file(directory + "/namespace");
  config.namespace_ = namespace_ ? trimmed(*namespace_) : "default";
  if (auto usable = check_tls(config); !usable) return usable.error();
  return config;
}

Result<Config> load(const std::optional<std::string>& kubeconfig, const std::string& context) {
  if (kubeconfig && !kubeconfig->empty()) return from_kubeconfig(*kubeconfig, context);
  if (const auto path = environment("KUBECONFIG"); !path.empty()) {
    return from_kubeconfig(path, context);
  }
  if (!environment("KUBERNETES_SERVICE_HOST").empty()) return in_cluster();
  if (const auto home = environment("HOME"); !home.empty()) {
    const auto path = home + "/.kube/config";
    std::error_code error;
    if (std::filesystem::exists(path, error)) return from_kubeconfig(path, context);
  }
  return in_cluster(); // says what is missing
}

} // namespace egw::k8s
