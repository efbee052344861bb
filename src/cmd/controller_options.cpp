// SPDX-License-Identifier: Apache-2.0
#include "cmd/controller_options.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <random>

#include "base/digest.hpp"
#include "cmd/command.hpp"
#include "cmd/controller.hpp"
#include "egress/link_choice.hpp"

namespace egw::cmd {

namespace {

std::string host_name() {
  char name[256] = {};
  check_errno(gethostname(name, sizeof name - 1), "gethostname");
  return name;
}

// Leaders are told apart by process, not by host: a restarted one must not take itself for the
// holder.
std::string unique_identity(const std::string& given) {
  std::random_device random;
  const std::string seed = fmt::format("{} {} {}", random(), random(), getpid());
  return (given.empty() ? host_name() : given) + "_" + short_digest(seed).substr(0, 8);
}

Result<egress::IpFamilies> parse_families(const std::string& text) {
  if (text == "ipv4,ipv6" || text == "ipv6,ipv4") return egress::IpFamilies{};
  if (text == "ipv4") return egress::IpFamilies{.v6 = false};
  if (text == "ipv6") return egress::IpFamilies{.v4 = false};
  return Error{fmt::format("{:?}: give ipv4, ipv6 or ipv4,ipv6", text)};
}

} // namespace

Result<ControllerSettings> parse(const ControllerArguments& a) {
  ControllerSettings s;
  OptionTaker taker;
  if (!a.kubeconfig.empty()) s.kubeconfig = a.kubeconfig;
  if (!a.metrics_address.empty()) {
    taker.take("--metrics-address", parse_listen_address(a.metrics_address), s.metrics);
  }
  taker.take("--log-level", parse_level(a.log_level), s.level);
  taker.take("--tunnel-ipv4-subnet", Prefix::parse_strict(a.tunnel_ipv4_subnet), s.core.tunnel.v4);
  taker.take("--tunnel-ipv6-subnet", Prefix::parse_strict(a.tunnel_ipv6_subnet), s.core.tunnel.v6);
  taker.take("--tunnel-cidr", egress::parse_subnets(a.tunnel_cidr), s.core.tunnel.underlay);
  taker.take("--ip-families", parse_families(a.ip_families), s.core.families);
  taker.take("--lease-duration", parse_duration(a.lease_duration), s.leader.lease_duration);
  taker.take("--renew-deadline", parse_duration(a.renew_deadline), s.leader.renew_deadline);
  taker.take("--retry-period", parse_duration(a.retry_period), s.leader.retry_period);
  if (taker.error) return *taker.error;
  auto webhook = parse(a.webhook);
  if (!webhook) return webhook.error();
  s.webhook = std::move(webhook).value();
  if (const auto right = egress::validate(s.core.tunnel); !right) return right.error();
  s.core.remove_taint = a.remove_taint;
  s.leader.namespace_ = a.namespace_;
  s.leader.name = "egw-controller";
  s.leader.identity = unique_identity(a.identity);
  return s;
}

namespace {

void add_webhook(CLI::App& command, const std::shared_ptr<ControllerArguments>& a) {
  WebhookArguments& w = a->webhook;
  command
      .add_option("--webhook-address", w.address, "Of the admission webhook (HTTPS); empty: none")
      ->capture_default_str();
  command
      .add_option("--webhook-secret", w.secret,
                  "Secret with its certificates, made and renewed by the leader")
      ->capture_default_str();
  command
      .add_option("--webhook-service", w.service,
                  "Service by which API servers reach it; gives the certificate its names")
      ->capture_default_str();
  command.add_option("--webhook-names", w.names,
                     "Further DNS names and addresses of the certificate, by commas");
  command.add_option("--webhook-cert-dir", w.directory,
                     "Directory with tls.crt, tls.key and ca.crt, instead of the Secret; read "
                     "again when they are replaced");
  command
      .add_option("--webhook-configuration", w.configuration,
                  "Name of the ValidatingWebhookConfiguration and MutatingWebhookConfiguration")
      ->capture_default_str();
  command
      .add_option("--webhook-ca-injection", w.inject,
                  "Whether the leader writes the CA into them: true or false")
      ->capture_default_str();
  command.add_option("--webhook-drain", w.drain,
                     "How long it still answers after SIGTERM, until no API server sends to this "
                     "pod any more; empty: not at all");
}

} // namespace

void add_controller(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("controller", "Decide which node holds which egress IP");
  auto a = std::make_shared<ControllerArguments>();
  command->add_option("--kubeconfig", a->kubeconfig,
                      "Credentials; else $KUBECONFIG, else those of the pod, else ~/.kube/config");
  command->add_option(
      "--namespace", a->namespace_,
      "Where the leaders' Lease and Events of cluster-wide objects are; else that of the "
      "credentials");
  command->add_option("--identity", a->identity, "Name in the Lease; else the host's name");
  command
      ->add_option("--metrics-address", a->metrics_address,
                   "For /metrics, /healthz and /readyz; empty: none")
      ->capture_default_str();
  command
      ->add_option("--tunnel-ipv4-subnet", a->tunnel_ipv4_subnet, "Of the nodes' tunnel addresses")
      ->capture_default_str();
  command
      ->add_option("--tunnel-ipv6-subnet", a->tunnel_ipv6_subnet, "Of the nodes' tunnel addresses")
      ->capture_default_str();
  command->add_option("--tunnel-cidr", a->tunnel_cidr,
                      "Subnets in which agents may have the tunnel's outer address, although their "
                      "Node does not list it; by commas");
  command
      ->add_option("--ip-families", a->ip_families,
                   "In which EIPs are given out: ipv4, ipv6 or ipv4,ipv6")
      ->capture_default_str();
  command->add_flag("--remove-taint", a->remove_taint,
                    "Take the taint " + std::string(api::kTaintAgentNotReady) +
                        " off a Node once its agent's kernel state is in place; needs the right "
                        "to patch Nodes");
  command
      ->add_option("--lease-duration", a->lease_duration,
                   "How long others wait for a silent leader")
      ->capture_default_str();
  command
      ->add_option("--renew-deadline", a->renew_deadline,
                   "When a leader that can't renew steps down")
      ->capture_default_str();
  command
      ->add_option("--retry-period", a->retry_period, "Between attempts to get or renew the Lease")
      ->capture_default_str();
  add_webhook(*command, a);
  command->add_option("--log-level", a->log_level, "debug, info, warn or error")
      ->capture_default_str();
  command->callback([a, &run] {
    run = [a] {
      const auto settings = parse(*a);
      if (!settings) {
        fmt::print(stderr, "egw controller: {}\n", settings.error().message);
        return 2;
      }
      return run_controller(*settings);
    };
  });
}

} // namespace egw::cmd
