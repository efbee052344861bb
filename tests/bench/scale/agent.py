# SPDX-License-Identifier: Apache-2.0
"""Two real agents of the large cluster, each in a network namespace as its node: what they hold and
what they are sent."""

import re
import time
import urllib.request

from lab.control import binary
from lab.netns import Netns, run
from lab.process import Process
from lab.wait import until

from . import process, world
from .events import Placement, lose_node
from .large import SERVER4, SERVER6

METRICS = "127.0.0.1:5821"


class RealAgent:
    """Of a node whose Node and EgressNode are there already."""

    def __init__(self, cluster, directory, node):
        self.cluster, name, link = cluster, f"egw-agent-{node.number}", f"egw-{node.number}"
        self.netns = Netns(name)
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", link, "up")
        run("ip", "route", "add", f"{node.ip4}/32", "dev", link, "src", SERVER4)
        run("ip", "-6", "route", "add", f"{node.ip6}/128", "dev", link, "src", SERVER6)
        self.netns.batch(f"addr add {node.ip4}/16 dev eth0\n"
                         f"addr add {node.ip6}/64 dev eth0 nodad\nlink set eth0 up")
        self.netns.wait_up("eth0")
        account = cluster.server.service_account_kubeconfig("egw-system", "egw-agent")
        self.process = Process(self.netns, name, [
            binary(), "agent", "--kubeconfig", account, "--node-name", node.name,
            "--metrics-address", METRICS, "--log-level", "info"], directory)
        self.start_seconds = self.start_bytes = None

    def __enter__(self):
        began = time.monotonic()
        self.process.start()
        self.await_kernel()
        self.start_seconds = time.monotonic() - began
        self.start_bytes = sum(self.connections().values())
        return self

    def __exit__(self, *_):
        self.process.stop()
        self.netns.delete()

    def await_kernel(self):
        until(self.settled, f"{self.process.name} is ready and its kernel as planned", 120, 0.05)

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
        received = re.compile(r"bytes_received:(\d+)|$")  # left out while there are none
        return {line.split()[2]: int(received.search(line)[1] or 0) for line in text.splitlines()}

    def cpu(self):
        return process.cpu_seconds(self.process.pid)

    def figures(self):
        return {"connections": len(self.connections()), "start_seconds": self.start_seconds,
                "start_bytes": self.start_bytes, "resident_mib": self.process.rss() / 2**20,
                "peak_mib": process.peak_mib(self.process.pid)}


def measured(cluster, directory):
    """{gateway, plain}: an agent of a gateway node that takes over the EIPs of another one, and one
    of a node without EIPs that looks on."""
    mine, other, plain = (world.Node(n) for n in (0, 1, cluster.size.nodes - 1))
    with RealAgent(cluster, directory, mine) as gaining, \
            RealAgent(cluster, directory, plain) as watching:
        agents = {"gateway": gaining, "plain": watching}
        if Placement(cluster.api).on(mine.name):
            lose_node(cluster, mine.name, other.name)
        before = {}
        for name, agent in agents.items():
            agent.await_kernel()
            before[name] = agent.connections(), agent.cpu()
        moved = lose_node(cluster, other.name, mine.name)
        result = {"eips": moved["eips"], "objects": moved["objects"],
                  "object_bytes": moved["bytes"]}
        for name, agent in agents.items():
            agent.await_kernel()
            received, cpu = before[name]
            result[name] = agent.figures() | {
                "failover_bytes": sum(count - received.get(connection, 0)
                                      for connection, count in agent.connections().items()),
                "failover_cpu_seconds": agent.cpu() - cpu}
        return result
