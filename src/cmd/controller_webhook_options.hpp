// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "cmd/options.hpp"

namespace egw::cmd {

struct WebhookSettings {
  ListenAddress address;
  std::string secret, service, configurations; // names; both objects of the last have the same
  std::vector<std::string> names;              // further names of the certificate
  std::string directory;                       // of certificate files; empty: the Secret
  bool inject = true;                          // the authority into the configurations
  Duration drain{};                            // how long it answers after SIGTERM
};

// As they stand on the command line.
struct WebhookArguments {
  std::string address = ":5822";
  std::string secret = "egw-webhook", service = "egw-webhook", configuration = "egw-webhook";
  std::string names, directory;
  std::string inject = "true";
  std::string drain;
};
// Nothing: it is switched off. An Error names the option, the value and the remedy.
[[nodiscard]] Result<std::optional<WebhookSettings>> parse(const WebhookArguments& arguments);

} // namespace egw::cmd
