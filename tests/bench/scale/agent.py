# SPDX-License-Identifier: Apache-2.0
"""One real agent of the large cluster, in a network namespace as its node: what it holds and what
it is sent."""

import re
import urllib.request

from lab.control import binary
from lab.netns import Netns, run
from lab.process import Process
from lab.wait import until

from . import process, world
from .events import lose_node
from .large import SERVER4, SERVER6

METRICS = "127.0.0.1:5821"


class RealAgent:
    """Of the first node, a gateway node; its Node and its EgressNode are there already."""

    def __init__(self, cluster, directory):
        self.cluster, self.node = cluster, world.Node(0)
        self.netns = Netns("egw-scale-agent")
        run("ip", "link", "add", "egw-agent", "type", "veth", "peer", "name", "eth0",
            "netns", self.netns.name)
        run("ip", "link", "set", "egw-agent", "up")
        run("ip", "route", "add", f"{self.node.ip4}/32", "dev", "egw-agent", "src", SERVER4)
        run("ip", "-6", "route", "add", f"{self.node.ip6}/128", "dev", "egw-agent", "src", SERVER6)
        self.netns.batch(f"addr add {self.node.ip4}/16 dev eth0\n"
                         f"addr add {self.node.ip6}/64 dev eth0 nodad\nlink set eth0 up")
        self.netns.wait_up("eth0")
        account = cluster.server.service_account_kubeconfig("egw-system", "egw-agent")
        self.process = Process(self.netns, "agent", [
            binary(), "agent", "--kubeconfig", account, "--node-name", self.node.name,
            "--metrics-address", METRICS, "--log-level", "info"], directory)

    def __enter__(self):
        self.process.start()
        until(self.settled, "the agent is ready and its kernel as planned", 120, 0.2)
        return self

    def __exit__(self, *_):
        self.process.stop()
        self.netns.delete()

    def settled(self):
        if not self.process.running():
            raise RuntimeError(f"the agent has ended:\n{self.process.tail()}")
        return re.search(r"^egw_agent_settled 1$", self.metrics(), re.M)

    def metrics(self):
        def read():
            with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=10) as answer:
                return answer.read().decode()
        try:
            return self.netns.call(read)
        except OSError:
            return ""

    def connections(self):
        """{local address and port: bytes received} of those with the API server."""
        text = self.netns.run("ss", "-tinHO", "state", "established",
                              "dport", "=", f":{self.cluster.server.port}")
        return {line.split()[2]: int(re.search(r"bytes_received:(\d+)", line)[1])
                for line in text.splitlines()}

    def rss_mib(self):
        return self.process.rss() / 2**20


def measured(cluster, directory):
    """What one agent is sent when the other node of its gateways is lost."""
    mine, other = world.Node(0).name, world.Node(1).name
    with RealAgent(cluster, directory) as agent:
        lose_node(cluster, mine, other)
        until(agent.settled, "the kernel is as planned", 60, 0.2)
        before = agent.connections()
        cpu = process.cpu_seconds(agent.process.pid)
        moved = lose_node(cluster, other, mine)
        until(agent.settled, "the kernel is as planned", 60, 0.2)
        after = agent.connections()
        return {
            "connections": len(after), "eips": moved["eips"],
            "failover_bytes": sum(count - before.get(name, 0) for name, count in after.items()),
            "start_bytes": sum(before.values()),
            "failover_objects": moved["objects"], "failover_object_bytes": moved["bytes"],
            "cpu_seconds": process.cpu_seconds(agent.process.pid) - cpu,
            "resident_mib": agent.rss_mib(),
        }
