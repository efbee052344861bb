#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What needs many runs or hours: random changes, moves and restarts under traffic, for as long as
asked.

  run.py [--hours H] [--cni calico|flannel] [--seed N]

Each round makes a random series of changes with live flows that no change concerns, then
restarts, moves or loses something, and checks: no packet from a foreign address, the undisturbed
flows lost nothing (but in rounds that lose a node), and the kernels equal those of a fresh start.
Stops at the first failure with the seed of that round, the logs and exit status 1."""

import argparse
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), os.path.join(os.path.dirname(HERE), "e2e")]

from conftest import Scene  # noqa: E402
from lab import objects  # noqa: E402
from lab.control import TOP, Cluster  # noqa: E402
from lab.traffic import wait_received
from lab.wait import until  # noqa: E402
from test_kernel_state import Changes, await_kernels, await_policies, settled  # noqa: E402


class Round:
    def __init__(self, cluster, seed):
        self.cluster, self.seed = cluster, seed
        self.random = random.Random(seed)
        self.scene = Scene(cluster)

    def run(self):
        scene, cluster = self.scene, self.cluster
        gateway = scene.gateway(size=6)
        pod = scene.pod("n1")
        # Address 5 belongs to the steady pod alone; the random policies use 0 to 4.
        four, six = scene.eip(5)
        scene.policy(gateway=gateway, ipv4=four, ipv6=six, priority=100)
        scene.await_eip(pod, which=5)
        cluster.srv.clear()
        event = self.random.choice(
            [self.nothing, self.agents, self.controllers, self.server, self.lose_node]
        )
        changes = Changes(cluster, scene, self.seed, gateway)
        changes.turn_gateway_node = lambda: None  # would move the steady flow
        lossless = event != self.lose_node
        with (
            pod.flow("udp", cluster.srv.ip4, 0.01) as udp,
            pod.flow("tcp", cluster.srv.ip6, 0.04) as tcp,
            pod.flow("connect", cluster.srv.ip4, 0.02) as connect,
        ):
            flows = (udp, tcp, connect)
            wait_received(flows, 20)
            for _ in range(self.random.randrange(5, 40)):
                changes.step()
            event(gateway)
            for _ in range(self.random.randrange(5, 20)):
                changes.step()
            udp.wait_received(100, timeout=60)
            reports = {flow.kind: flow.stop() for flow in flows}
        for kind, report in reports.items():
            assert set(report["sources"]) <= {four, six}, (kind, report)
            if lossless:
                assert report["lost"] == 0 and not report.get("broken"), (kind, report)
        assert set(cluster.srv.sources()) <= {four, six}, cluster.srv.sources()
        await_policies(cluster)
        self.compare_with_fresh_start()
        return event.__name__, reports

    def compare_with_fresh_start(self):
        cluster = self.cluster
        grown = settled(cluster)
        for node in cluster.nodes.values():
            node.agent.stop()
            cluster.cleanup(node)
            node.agent.start()
        await_kernels(cluster, grown, "a fresh start ends where the changes ended")

    # ---- what happens in the middle ------------------------------------------------------------

    def nothing(self, _):
        pass

    def agents(self, _):
        for agent in self.random.sample(list(self.cluster.agents.values()), 2):
            agent.kill() if self.random.random() < 0.5 else agent.stop()
            agent.start()
        until(self.cluster.all_ready, "every node Ready", 30)

    def controllers(self, _):
        for controller in self.cluster.controllers.values():
            controller.kill() if self.random.random() < 0.5 else controller.stop()
        for controller in self.cluster.controllers.values():
            controller.start()

    def server(self, _):
        if self.random.random() < 0.5:
            self.cluster.server.restart()
        else:
            self.cluster.server.pause()
            time.sleep(self.random.uniform(0.5, 20))  # the length of the outage is what is varied
            self.cluster.server.resume()
        until(self.cluster.all_ready, "every node Ready", 60)

    def lose_node(self, gateway):
        scene, cluster = self.scene, self.cluster
        lost = scene.holder(gateway, 5)
        cluster.power_off(cluster.node(lost))
        until(lambda: scene.holder(gateway, 5) not in (None, lost), "another holder")
        cluster.power_on(cluster.node(lost))
        until(cluster.all_ready, "every node Ready", 60)

    def clear(self):
        self.scene.clear()
        until(self.cluster.all_ready, "every node Ready", 60)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, help="stop after so many rounds")
    parser.add_argument("--cni", choices=("calico", "flannel"), default="calico")
    parser.add_argument(
        "--seed",
        type=int,
        default=int(time.time()),
        help="of the first round; the next has the next",
    )
    options = parser.parse_args()
    end, done = time.monotonic() + 3600 * options.hours, 0
    longest = 0.0
    with Cluster(nodes=3, cni=options.cni) as cluster:
        for name in ("n2", "n3"):
            cluster.label_node(name, objects.GATEWAY_LABEL)
        while time.monotonic() < end and done != options.rounds:
            seed = options.seed + done
            try:
                one = Round(cluster, seed)
                event, reports = one.run()
                one.clear()
                cluster.kubelet.check()
            except Exception as error:
                target = os.path.join(TOP, "build", "lab-logs", f"soak-{seed}")
                cluster.collect_logs(target)
                print(
                    f"round {done + 1} failed: {error}\n"
                    f"again with: --seed {seed} --rounds 1 --cni {options.cni}\n"
                    f"logs: {target}"
                )
                return 1
            done += 1
            if event == "lose_node":
                longest = max(longest, reports["connect"]["gap_ms"])
            memory = (
                max(p.rss() for p in (*cluster.agents.values(), *cluster.controllers.values()))
                / 2**20
            )
            print(
                f"round {done:4} seed {seed} {event:<12} ok; largest process {memory:.1f} MiB; "
                f"longest outage of a lost node {longest:.0f} ms",
                flush=True,
            )
    print(f"{done} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
