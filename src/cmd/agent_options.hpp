// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "base/chrono.hpp"
#include "base/log.hpp"
#include "cmd/options.hpp"
#include "egress/agent_core.hpp"

namespace egw::cmd {

struct AgentSettings {
  std::optional<std::string> kubeconfig;
  std::optional<ListenAddress> metrics; // nothing: no server
  log::Level level = log::Level::Info;
  // How long this node answers for its EIPs when the agent is dead, and when it was told to stop.
  Duration agent_grace = std::chrono::seconds(10), restart_grace = std::chrono::seconds(60);
  egress::AgentOptions core;
};

// As they stand on the command line.
struct AgentArguments {
  std::string kubeconfig, node_name;
  std::string metrics_address = ":5810";
  std::string tunnel_interface, tunnel_cidr, eip_interface, eip_exclude_interface;
  std::string tunnel_device = "egw0", vni = "100", port = "7789", mark_mask = "0x307f";
  std::string unknown_pods = "Auto";
  bool exclusive_tables = true;
  std::string agent_grace = "10s", restart_grace = "60s";
  std::string log_level = "info";
};
// An Error names the option, the value and the remedy.
[[nodiscard]] Result<AgentSettings> parse(const AgentArguments& arguments);

} // namespace egw::cmd
