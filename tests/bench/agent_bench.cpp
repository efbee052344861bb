// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/memory.hpp"
#include "egress/agent_core.hpp"
#include "egress/worlds.hpp"
#include "net/kernel.hpp"
#include "netns/netns.hpp"

// The agent's core on the kernel of a network namespace of its own, with events as the watches give
// them; all pods have an address of each family. One JSON object for the size that is the argument:
// run.py has the whole table.
namespace {

using namespace egw;
using namespace egw::egress;
using namespace egw::egress::agent;
using namespace egw::egress::testing;

constexpr int kPodsOfPolicy = 3;
constexpr int kEips = 100;
constexpr int kRepeat = 21;

double cpu_ms() { // of this thread, the kernel's part included
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

double rss_mib() {
  std::ifstream file("/proc/self/statm");
  double total = 0, resident = 0;
  file >> total >> resident;
  return resident * 4096 / (1 << 20);
}

std::string name_of(int number) {
  return fmt::format("bench-{:05}", number);
}

// Half with three destination ranges of each family, half with all that is outside the cluster.
api::EgressPolicy policy_number(int number) {
  const int eip = 1 + number % kEips;
  api::EgressPolicy p = policy("default", name_of(number), "eg", eip);
  if (number % 2 == 0) return p;
  for (int part = 0; part < kPodsOfPolicy; ++part) {
    p.spec.dest_subnet.push_back(
        fmt::format("{}.{}.{}.0/24", 20 + number / 65536, number / 256 % 256, number % 256 ^ part));
    p.spec.dest_subnet.push_back(fmt::format("2600:{:x}:{}::/48", number, part));
  }
  return p;
}

api::Pod pod_number(int number, int policy_number) {
  api::Pod p =
      pod("default", fmt::format("pod-{}", number), {{"app", name_of(policy_number)}},
          {fmt::format("10.{}.{}.{}", 128 + number / 62500, number / 250 % 250, 1 + number % 250),
           fmt::format("fd80::{:x}:{:x}", number / 65536, number % 65536)});
  return p;
}

struct Turn {
  double agent = 0, apply = 0; // ms of CPU: the core, and netlink with the kernel's work
  std::size_t steps = 0;       // of the nftables transaction
};

// The agent may be that of the pods' node, or of the node that holds their EIPs and knows the pods
// by endpoint slices.
class Agent {
 public:
  explicit Agent(const char* node)
      : core_(AgentOptions{.node = node, .version = "bench", .plan = {}}) {}
  Turn send(std::vector<Event> events) {
    now_.steady += std::chrono::hours(1); // whatever is due is due
    Turn turn;
    for (int rounds = 0; rounds < 100; ++rounds) {
      const double began = cpu_ms();
      auto actions = core_.step(std::exchange(events, {}), now_);
      turn.agent += cpu_ms() - began;
      for (Action& action : actions) {
        std::visit([&](auto& a) { perform(a, events, turn); }, action);
      }
      const auto due = core_.deadline();
      if (events.empty() && (!due || *due > now_.steady)) return turn;
    }
    fail("the core does not come to rest");
  }
  [[noreturn]] static void fail(const std::string& why) {
    fmt::print(stderr, "{}\n", why);
    std::exit(1);
  }

 private:
  void perform(Observe&, std::vector<Event>& events, Turn& turn) {
    const double began = cpu_ms();
    events.emplace_back(Observed{kernel_.observe()});
    turn.apply += cpu_ms() - began;
  }
  void perform(Apply& action, std::vector<Event>& events, Turn& turn) {
    const double began = cpu_ms();
    auto errors = kernel_.apply(action.batch);
    turn.apply += cpu_ms() - began;
    turn.steps += action.batch.nft.size();
    if (!errors.empty()) fail(errors.front().message);
    events.emplace_back(Applied{});
  }
  // A thread of its own does this in the agent; nobody has connections here.
  static void perform(ListConnections&, std::vector<Event>& events, Turn&) {
    events.emplace_back(Connections{std::vector<net::Connection>{}});
  }
  static void perform(PatchEgressNode& action, std::vector<Event>& events, Turn&) {
    events.emplace_back(PatchDone{action.node});
  }
  template <class A>
  static void perform(A&, std::vector<Event>&, Turn&) {}

  net::Kernel kernel_{net::Ownership{}};
  AgentCore core_;
  Now now_{Time{} + std::chrono::hours(1), WallTime(std::chrono::seconds(1'000'000))};
};

constexpr const char *kNode = "node1", *kGateway = "node2";
const SliceScope kScope{"eg", false};

api::EgressEndpointSlice slice_number(int policy_number_, int first_pod, int count) {
  std::vector<api::Endpoint> endpoints;
  for (int i = 0; i < count; ++i) {
    const api::Pod p = pod_number(first_pod + i, policy_number_);
    endpoints.push_back(
        {"default", p.meta.name, kNode, {p.ips[0].to_string()}, {p.ips[1].to_string()}});
  }
  return slice(policy_number(policy_number_), endpoints);
}

AgentWorld cluster(int eips) {
  AgentWorld w = world(2);
  w.cluster.status.pod_cidr["node1"] = {{"10.128.0.0/9"}, {"fd80::/64"}};
  for (int id = 1; id <= eips; ++id) place(w, "eg", kGateway, entry(id));
  return w;
}

std::vector<Event> lists(int policies, bool gateway) {
  AgentWorld w = cluster(kEips);
  std::vector<Event> events;
  const auto values = []<class T, class Map>(Listed<T> list, const Map& map) {
    for (const auto& [key, value] : map) list.items.push_back(value);
    return list;
  };
  events.emplace_back(values(Listed<api::EgressGateway>{}, w.gateways));
  events.emplace_back(values(Listed<api::EgressNode>{}, w.nodes));
  events.emplace_back(values(Listed<api::Namespace>{}, w.namespaces));
  api::EgressClusterInfo info = w.cluster;
  info.meta.name = "default";
  events.emplace_back(Listed<api::EgressClusterInfo>{{info}});
  Listed<api::Pod> pods;
  SlicesListed slices{kScope, {}};
  PoliciesListed own{api::PolicyKind::EgressPolicy, {}};
  for (int i = 0; i < policies; ++i) {
    own.items.push_back(policy_number(i));
    if (gateway) slices.items.push_back(slice_number(i, i * kPodsOfPolicy, kPodsOfPolicy));
    for (int k = 0; k < kPodsOfPolicy && !gateway; ++k) {
      pods.items.push_back(pod_number(i * kPodsOfPolicy + k, i));
    }
  }
  events.emplace_back(std::move(pods));
  if (gateway) {
    events.emplace_back(std::move(slices));
    events.emplace_back(SlicesListed{{kScope.gateway, true}, {}});
  }
  events.emplace_back(std::move(own));
  events.emplace_back(PoliciesListed{api::PolicyKind::EgressClusterPolicy, {}});
  events.emplace_back(PoliciesListed{api::PolicyKind::EgressGatewayPolicy, {}});
  return events;
}

Turn median(std::vector<Turn> turns) {
  const auto middle = [&](auto member) {
    std::vector<double> all;
    for (const Turn& t : turns) all.push_back(t.*member);
    std::ranges::sort(all);
    return all[all.size() / 2];
  };
  return {middle(&Turn::agent), middle(&Turn::apply), turns.front().steps};
}

void bench(int policies, bool gateway) {
  const test::Netns ns;
  const test::Netns::Inside inside(ns);
  test::run(fmt::format("ip link add eth0 type veth peer name peer0 && ip link set peer0 up && "
                        "ip addr add 10.6.0.{}/16 dev eth0 && ",
                        gateway ? 2 : 1) +
            "ip addr add fd06::1/64 dev eth0 nodad && ip link set eth0 up && "
            "ip route add default via 10.6.0.254");
  Agent agent(gateway ? kGateway : kNode);
  const Turn first = agent.send(lists(policies, gateway));
  release_memory();
  const double rss = rss_mib();

  int pods = policies * kPodsOfPolicy, next = policies + policies % 2;
  const auto pod_comes = [&](std::vector<Event>& events, int of) {
    if (gateway) {
      auto with = slice_number(of, of * kPodsOfPolicy, of < policies ? kPodsOfPolicy : 0);
      with.endpoints.push_back(slice_number(of, pods++, 1).endpoints.front());
      events.emplace_back(SliceChanged{kScope, std::move(with)});
    } else {
      events.emplace_back(Changed<api::Pod>{pod_number(pods++, of)});
    }
  };
  const auto repeat = [&](const auto& add) {
    std::vector<Turn> turns;
    for (int i = 0; i < kRepeat; ++i) {
      std::vector<Event> events;
      add(events);
      turns.push_back(agent.send(std::move(events)));
      if (turns.back().steps == 0) Agent::fail("a change left the kernel as it was");
    }
    return median(turns);
  };
  // Pods of as many policies; then policies whose pods are there already, with destinations of
  // their own.
  const Turn pod = repeat([&](auto& events) {
    pod_comes(events, static_cast<int>(static_cast<std::int64_t>(pods) * 7919 % policies));
  });
  for (int i = 0; i < kRepeat; ++i) {
    const int of = next + 2 * i + 1;
    std::vector<Event> events;
    pod_comes(events, of);
    static_cast<void>(agent.send(std::move(events)));
  }
  next += 1;
  const Turn one = repeat([&](auto& events) {
    events.emplace_back(Changed<api::EgressPolicy>{policy_number(next)});
    next += 2;
  });
  // The gateway gets an EIP more, and a policy moves to it, whose pods are there already.
  int eips = kEips;
  const Turn eip = repeat([&](auto& events) {
    events.emplace_back(Changed<api::EgressGateway>{cluster(++eips).gateways.at("eg")});
    api::EgressPolicy moves = policy_number(eips);
    moves.status = policy("default", "moves", "eg", eips).status;
    events.emplace_back(Changed<api::EgressPolicy>{std::move(moves)});
  });
  fmt::print(R"({{"first_load":{{"agent_ms":{:.2f},"apply_ms":{:.2f}}},"pod":{{"agent_ms":{:.3f},)"
             R"("apply_ms":{:.3f},"steps":{}}},"policy":{{"agent_ms":{:.3f},"apply_ms":{:.3f},)"
             R"("steps":{}}},"eip":{{"agent_ms":{:.3f},"apply_ms":{:.3f},"steps":{}}},)"
             R"("rss_mib":{:.1f}}})"
             "\n",
             first.agent, first.apply, pod.agent, pod.apply, pod.steps, one.agent, one.apply,
             one.steps, eip.agent, eip.apply, eip.steps, rss);
}

} // namespace

int main(int argc, char** argv) {
  const int policies = argc >= 2 ? std::atoi(argv[1]) : 0;
  const bool gateway = argc == 3 && std::string_view(argv[2]) == "gateway";
  if (policies < 1 || policies > 20000 || argc > 3 || (argc == 3 && !gateway)) {
    fmt::print(stderr, "usage: bench-agent POLICIES (1 to 20000) [gateway]\n");
    return 2;
  }
  try {
    share_heap();
    bench(policies, gateway);
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
  return 0;
}
