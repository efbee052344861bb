// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "base/log.hpp"
#include "cmd/controller_webhook_options.hpp"
#include "cmd/options.hpp"
#include "egress/controller_core.hpp"
#include "k8s/leader.hpp"

namespace egw::cmd {

struct ControllerSettings {
  std::optional<std::string> kubeconfig;
  std::optional<ListenAddress> metrics; // nothing: no server
  log::Level level = log::Level::Info;
  k8s::LeaderConfig leader; // namespace_ empty: the one of the credentials
  egress::ControllerOptions core;
  std::optional<WebhookSettings> webhook; // nothing: none
};

// As they stand on the command line.
struct ControllerArguments {
  std::string kubeconfig, namespace_, identity;
  std::string metrics_address = ":5820";
  std::string tunnel_ipv4_subnet = "172.31.0.0/16", tunnel_ipv6_subnet = "fd11::/112";
  std::string tunnel_cidr;
  bool remove_taint = false;
  std::string ip_families = "ipv4,ipv6";
  std::string lease_duration = "15s", renew_deadline = "10s", retry_period = "2s";
  WebhookArguments webhook;
  std::string log_level = "info";
};
// An Error names the option, the value and the remedy.
[[nodiscard]] Result<ControllerSettings> parse(const ControllerArguments& arguments);

} // namespace egw::cmd
