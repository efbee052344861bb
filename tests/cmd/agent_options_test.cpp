// SPDX-License-Identifier: Apache-2.0
#include "cmd/agent_options.hpp"

#include <doctest/doctest.h>

using namespace egw;
using namespace egw::cmd;
using namespace std::chrono_literals;

namespace {

AgentArguments arguments() {
  AgentArguments a;
  a.node_name = "node1";
  return a;
}
std::string error_of(const AgentArguments& a) {
  const auto s = parse(a);
  return s ? "" : s.error().message;
}

} // namespace

TEST_CASE("without options an agent has the documented values") {
  const auto s = parse(arguments());
  REQUIRE(s);
  CHECK(s->core.node == "node1");
  CHECK_FALSE(s->core.version.empty());
  CHECK(s->core.plan == egress::NodeOptions{});
  CHECK(s->agent_grace == 10s);
  CHECK(s->restart_grace == 60s);
  CHECK(s->metrics == ListenAddress{"::", 5810});
  CHECK_FALSE(s->kubeconfig);
}

TEST_CASE("numbers are decimal or hexadecimal") {
  auto a = arguments();
  a.vni = "0x10";
  a.port = "4790";
  a.mark_mask = "0x00f00000";
  a.tunnel_device = "tun7";
  a.metrics_address = "";
  a.unknown_pods = "Drop";
  a.exclusive_tables = false;
  const auto s = parse(a);
  REQUIRE(s);
  CHECK(s->core.plan.vni == 16);
  CHECK(s->core.plan.port == 4790);
  CHECK(s->core.plan.mark_mask == 0xf00000);
  CHECK(s->core.plan.ownership.device == "tun7");
  CHECK_FALSE(s->metrics);
  CHECK(s->core.plan.unknown_pods == egress::UnknownPods::Drop);
  CHECK_FALSE(s->core.plan.ownership.exclusive);
}

TEST_CASE("what is wrong is told with the option, the value and what would be right") {
  const auto with = [](std::string AgentArguments::* member, const char* value) {
    auto a = arguments();
    a.*member = value;
    return error_of(a);
  };
  CHECK(with(&AgentArguments::vni, "0") == "--vni: '0' is no number from 1 to 16777215");
  CHECK(with(&AgentArguments::vni, "16777216").starts_with("--vni: '16777216'"));
  CHECK(with(&AgentArguments::vni, "12x").starts_with("--vni: '12x'"));
  CHECK(with(&AgentArguments::vni, "0x").starts_with("--vni: '0x'"));
  CHECK(with(&AgentArguments::tunnel_cidr, "10.6.0.0/33").starts_with("--tunnel-cidr: '10.6"));
  CHECK(with(&AgentArguments::tunnel_interface, "a/b").starts_with("--tunnel-interface: 'a/b'"));
  CHECK(with(&AgentArguments::port, "65536").starts_with("--port: '65536'"));
  CHECK(with(&AgentArguments::mark_mask, "0x3").starts_with("--mark-mask: '0x3' has 2 bits"));
  CHECK(with(&AgentArguments::mark_mask, "").starts_with("--mark-mask: ''"));
  for (const char* name : {"", ".", "sixteen-or-more-x", "a b", "a/b"}) {
    CHECK(with(&AgentArguments::tunnel_device, name).starts_with("--tunnel-device: '"));
  }
  CHECK(with(&AgentArguments::unknown_pods, "drop") ==
        "--unknown-pods: 'drop' is none of Auto, Drop and Allow");
  CHECK(with(&AgentArguments::agent_grace, "2s").starts_with("--agent-grace: '2s' is too short"));
  CHECK(with(&AgentArguments::restart_grace, "5s").starts_with("--restart-grace: '5s' is shorter"));
  CHECK(with(&AgentArguments::log_level, "loud").starts_with("--log-level: 'loud'"));
}
