// SPDX-License-Identifier: Apache-2.0
#include "cmd/agent_options.hpp"

#include <fmt/format.h>
#include <net/if.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "cmd/agent.hpp"
#include "cmd/agent_cleanup.hpp"
#include "cmd/command.hpp"
#include "egress/link_choice.hpp"
#include "version.hpp"

namespace egw::cmd {

namespace {

std::string node_name(const std::string& given) {
  if (!given.empty()) return given;
  // The DaemonSet's downward API.
  if (const char* name = std::getenv("NODE_NAME"); name != nullptr && *name != '\0') return name;
  char host[256] = {};
  check_errno(gethostname(host, sizeof host - 1), "gethostname");
  return host;
}

// Decimal, or hexadecimal with 0x.
Result<std::uint32_t> parse_number(const std::string& text, std::uint32_t least,
                                   std::uint32_t most) {
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  const char *begin = text.data() + (hex ? 2 : 0), *end = text.data() + text.size();
  std::uint32_t value = 0;
  const auto [stop, error] = std::from_chars(begin, end, value, hex ? 16 : 10);
  if (begin == end || error != std::errc() || stop != end || value < least || value > most) {
    return Error{fmt::format("'{}' is no number from {} to {}", text, least, most)};
  }
  return value;
}

Result<std::string> parse_device(const std::string& name) {
  const bool right =
      !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." &&
      std::ranges::none_of(name, [](char c) { return c <= ' ' || c == '/' || c == ':'; });
  if (right) return name;
  return Error{
      fmt::format("'{}' is no name of an interface: 1 to {} characters without space, '/' or ':'",
                  name, IFNAMSIZ - 1)};
}

Result<std::uint32_t> parse_mask(const std::string& text) {
  auto mask = parse_number(text, 1, 0xffffffff);
  if (!mask) return mask;
  constexpr int kFewest = 3; // replies and two gateways
  if (std::popcount(*mask) >= kFewest) return mask;
  return Error{
      fmt::format("'{}' has {} bits, at least {} are needed: with n bits a node can use "
                  "2^n - 2 gateway nodes",
                  text, std::popcount(*mask), kFewest)};
}

Result<egress::UnknownPods> parse_unknown_pods(const std::string& text) {
  using egress::UnknownPods;
  if (text == "Auto") return UnknownPods::Auto;
  if (text == "Drop") return UnknownPods::Drop;
  if (text == "Allow") return UnknownPods::Allow;
  return Error{fmt::format("'{}' is none of Auto, Drop and Allow", text)};
}

} // namespace

Result<AgentSettings> parse(const AgentArguments& a) {
  AgentSettings s;
  OptionTaker taker;
  if (!a.kubeconfig.empty()) s.kubeconfig = a.kubeconfig;
  if (!a.metrics_address.empty()) {
    taker.take("--metrics-address", parse_listen_address(a.metrics_address), s.metrics);
  }
  auto& plan = s.core.plan;
  taker.take("--tunnel-device", parse_device(a.tunnel_device), plan.ownership.device);
  taker.take("--tunnel-interface", egress::parse_link_names(a.tunnel_interface),
             plan.tunnel_parent.names);
  taker.take("--tunnel-cidr", egress::parse_subnets(a.tunnel_cidr), plan.tunnel_parent.subnets);
  taker.take("--eip-interface", egress::parse_link_names(a.eip_interface), plan.eip_links);
  taker.take("--eip-exclude-interface", egress::parse_link_names(a.eip_exclude_interface),
             plan.no_eip_links);
  taker.take("--vni", parse_number(a.vni, 1, (1U << 24) - 1), plan.vni);
  taker.take("--port", parse_number(a.port, 1, 65535), plan.port);
  taker.take("--mark-mask", parse_mask(a.mark_mask), plan.mark_mask);
  taker.take("--unknown-pods", parse_unknown_pods(a.unknown_pods), plan.unknown_pods);
  plan.ownership.exclusive = a.exclusive_tables;
  taker.take("--agent-grace", parse_duration(a.agent_grace), s.agent_grace);
  taker.take("--restart-grace", parse_duration(a.restart_grace), s.restart_grace);
  taker.take("--log-level", parse_level(a.log_level), s.level);
  if (taker.error) return *taker.error;
  // The lease is renewed each second: two misses must not cost an EIP.
  if (s.agent_grace < std::chrono::seconds(3)) {
    return Error{fmt::format("--agent-grace: '{}' is too short: write 3s or more", a.agent_grace)};
  }
  if (s.restart_grace < s.agent_grace) {
    return Error{
        fmt::format("--restart-grace: '{}' is shorter than --agent-grace {}: write that or more",
                    a.restart_grace, a.agent_grace)};
  }
  s.core.node = node_name(a.node_name);
  s.core.version = version();
  return s;
}

void add_agent(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("agent", "Keep this node's part of the way: one on each node");
  auto a = std::make_shared<AgentArguments>();
  command->add_option("--kubeconfig", a->kubeconfig,
                      "Credentials; else $KUBECONFIG, else those of the pod, else ~/.kube/config");
  command->add_option("--node-name", a->node_name,
                      "Name of this node's Node object; else $NODE_NAME, else the host's name");
  command
      ->add_option("--metrics-address", a->metrics_address,
                   "For /metrics, /healthz and /readyz; empty: none")
      ->capture_default_str();
  command->add_option("--tunnel-device", a->tunnel_device, "Name of the VXLAN interface")
      ->capture_default_str();
  command->add_option(
      "--tunnel-interface", a->tunnel_interface,
      "Interfaces that the tunnel may stand on, as patterns by commas (eth1,bond*); "
      "else that of the default route. A Node's annotation " +
          std::string(api::kAnnotationTunnelParent) + " goes before");
  command->add_option("--tunnel-cidr", a->tunnel_cidr,
                      "Subnets of the tunnel's outer addresses, by commas; the controller's "
                      "--tunnel-cidr must hold them too where Nodes do not list the addresses");
  command->add_option("--eip-interface", a->eip_interface,
                      "Interfaces that EIPs may stand on, as patterns by commas; else all");
  command->add_option("--eip-exclude-interface", a->eip_exclude_interface,
                      "Interfaces that EIPs may not stand on, as patterns by commas");
  command->add_option("--vni", a->vni, "VXLAN network identifier; the same on all nodes")
      ->capture_default_str();
  command->add_option("--port", a->port, "UDP port of the tunnel; the same on all nodes")
      ->capture_default_str();
  command
      ->add_option(
          "--mark-mask", a->mark_mask,
          "Bits of the packet mark that are ours; no other program on this node may use them")
      ->capture_default_str();
  command
      ->add_option("--unknown-pods", a->unknown_pods,
                   "What becomes of traffic to outside the cluster from an address of this node's "
                   "pods that the API has not told of yet: Auto drops it while a pod starts here "
                   "that a policy selects, Drop always, Allow never")
      ->capture_default_str();
  command
      ->add_option("--exclusive-tables", a->exclusive_tables,
                   "Bind the nftables tables to the agent while it runs, so that nobody else can "
                   "change or flush them (Linux 6.9 and newer); false to try rules by hand")
      ->capture_default_str();
  command
      ->add_option("--agent-grace", a->agent_grace,
                   "How long this node serves its EIPs when the agent has died")
      ->capture_default_str();
  command
      ->add_option("--restart-grace", a->restart_grace,
                   "The same when the agent was told to stop: time for an upgrade")
      ->capture_default_str();
  command->add_option("--log-level", a->log_level, "debug, info, warn or error")
      ->capture_default_str();
  auto* cleanup = command->add_subcommand(
      "cleanup", "Remove everything that an agent left in this node's kernel; needs no API server");
  command->callback([a, cleanup, &run] {
    const bool clean = cleanup->parsed();
    run = [a, clean] {
      const auto settings = parse(*a);
      if (!settings) {
        fmt::print(stderr, "egw agent: {}\n", settings.error().message);
        return 2;
      }
      return clean ? run_cleanup(*settings) : run_agent(*settings);
    };
  });
}

} // namespace egw::cmd
