// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "cmd/status_report.hpp"

namespace egw::k8s {
class Client;
}

namespace egw::cmd {

enum class Output : std::uint8_t { Table, Json, Yaml };

struct CtlStatusOptions {
  std::optional<std::string> kubeconfig; // else $KUBECONFIG, in-cluster, ~/.kube/config
  std::string context;                   // empty: the kubeconfig's own
  std::string namespace_ = "egw-system"; // where the controllers' leases are
  Output output = Output::Table;
};

// All lists at once, each over a connection of its own.
[[nodiscard]] Result<ClusterLists> read_cluster(k8s::Client& client, const std::string& ns);

// Prints to stdout. Exit status: 0 all is well, 1 something is not right, 2 the cluster could not
// be read (why is on stderr).
[[nodiscard]] int ctl_status(const CtlStatusOptions& options);

} // namespace egw::cmd
