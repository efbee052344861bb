// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <map>
#include <memory>

#include "base/signals.hpp"
#include "cmd/command.hpp"
#include "cmd/ctl_status.hpp"

namespace egw::cmd {

void add_ctl(CLI::App& app, Run& run) {
  auto* ctl = app.add_subcommand("ctl", "Look at egw in a cluster");
  ctl->require_subcommand(1);
  ctl->fallthrough(); // options of ctl may stand behind the verb

  auto options = std::make_shared<CtlStatusOptions>();
  ctl->add_option("--kubeconfig", options->kubeconfig,
                  "Credentials; else $KUBECONFIG, else those of the pod, else ~/.kube/config");
  ctl->add_option("--context", options->context, "Context of the kubeconfig; else its current one");
  ctl->add_option("--namespace,-n", options->namespace_, "Where egw's controllers run")
      ->capture_default_str();

  auto* status = ctl->add_subcommand(
      "status", "Gateways, EIPs, policies and what is wrong; exit status 1 when something is");
  const std::map<std::string, Output> outputs{
      {"table", Output::Table}, {"json", Output::Json}, {"yaml", Output::Yaml}};
  status->add_option("--output,-o", options->output, "table, json or yaml")
      ->type_name("FORMAT")
      ->transform(CLI::CheckedTransformer(outputs).description(""));
  status->callback([options, &run] {
    run = [options] {
      unblock_signals(); // Ctrl-C just ends it
      try {
        return ctl_status(*options);
      } catch (const std::exception& error) { // 1 would mean that the cluster was read
        fmt::print(stderr, "egw ctl status: {}\n", error.what());
        return 2;
      }
    };
  });
}

} // namespace egw::cmd
