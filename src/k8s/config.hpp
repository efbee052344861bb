// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.hpp"

// Where the API server is and who we are to it. Proxies of the environment are never used: the API
// server of a cluster is reached directly, and a gateway's own traffic must not depend on them.
namespace egw::k8s {

inline constexpr const char* kServiceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount";

struct Config {
  std::string host; // a DNS name or an address literal, IPv6 without brackets
  std::uint16_t port = 443;
  std::string path_prefix; // of the server's URL, without a slash at the end; mostly empty
  bool tls = true;         // false: plain http, which takes no token
  std::string ca_pem;      // empty: the system's authorities. The server is verified in any case.
  std::string client_cert_pem, client_key_pem; // both or none; the certificate may be a chain
  std::string token;                           // bearer token
  std::string token_file;                      // instead of `token`: read again when it changes
  std::string namespace_; // of the pod, or of the kubeconfig's context; "default" when neither says
  std::string origin;     // "in-cluster" or the kubeconfig's path, for messages
  bool operator==(const Config&) const = default;
};

// From KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT and the service account's files
// (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/).
[[nodiscard]] Result<Config> in_cluster(const std::string& directory = kServiceAccountDir);

// `context` empty: the file's current-context. Certificates, keys and tokens stand inline or in
// files whose paths are relative to the kubeconfig. What is not supported (exec and auth-provider
// plugins, insecure-skip-tls-verify, tls-server-name, proxy-url, basic auth, impersonation) is an
// error that names the field and what to do.
[[nodiscard]] Result<Config> from_kubeconfig(const std::string& path,
                                             const std::string& context = "");

// `kubeconfig` (a flag) if given, else $KUBECONFIG (one path), else in-cluster, else
// ~/.kube/config.
[[nodiscard]] Result<Config> load(const std::optional<std::string>& kubeconfig = std::nullopt,
                                  const std::string& context = "");

} // namespace egw::k8s
