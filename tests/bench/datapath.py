# SPDX-License-Identifier: Apache-2.0
"""The datapath beside bare forwarding: the same VXLAN hop with one SNAT rule and nothing else.

By hand, too, a chosen pod's packets go there and back by a routing rule and a table of their own
on each node: a route in the gateway's main table would take the CNI's and the node's own traffic to
that pod as well. The kernel's way of looking up routes is longer once a namespace has had a rule,
so this counts: bare_lab(reply_rule=False) has that route instead of the gateway's rule.
"""

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys

from lab import Lab
from lab.wait import until

HERE = os.path.dirname(os.path.abspath(__file__))
UDP_PORT, TCP_PORT, IPERF_PORT = 9000, 9001, 9002
BARE_EIP = "10.6.1.200"


def compile_load(directory):
    program = os.path.join(directory, "load")
    subprocess.run(
        ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, os.path.join(HERE, "load.c")],
        check=True,
    )
    return program


class Side:
    """One lab with a sender (a pod) and the outside server as the sink."""

    def __init__(self, lab, pod, eip, program, cpu):
        self.lab, self.pod, self.eip, self.program, self.cpu = lab, pod, eip, program, cpu
        self.target = lab.srv.ip4
        sink = lab.srv.netns
        # Dropped before the socket: what is measured is forwarding, not the server.
        sink.run(
            "nft",
            "-f",
            "-",
            stdin=(
                "table ip bench {\ncounter arrived { }\n"
                "chain prerouting { type filter hook prerouting priority raw;\n"
                f"udp dport {UDP_PORT} counter name arrived drop\n}}\n}}\n"
            ),
        )
        for name, argv in (
            ("accept", [program, "accept", self.target, TCP_PORT]),
            ("iperf3", ["iperf3", "-s", "-p", IPERF_PORT, "-B", self.target]),
        ):
            before_others(lab.process(sink, name, argv).start().pid)
        until(
            lambda: all(str(port) in sink.run("ss", "-Hltn") for port in (TCP_PORT, IPERF_PORT)),
            "servers listen",
        )
        assert (
            pod.seen(self.target) == eip
        ), f"{pod.seen(self.target)} is not {eip}: nothing to measure"
        lab.srv.stop_sniffing()

    def arrived(self):
        text = self.lab.srv.netns.run("nft", "list", "counter", "ip", "bench", "arrived")
        return int(re.search(r"packets (\d+)", text).group(1))

    def run(self, *argv):
        """A command in the pod, on one CPU (softirq work then stays on that CPU as well)."""

        def start():
            os.sched_setaffinity(0, {self.cpu})  # of this thread and its child alone
            return subprocess.Popen(
                [str(a) for a in argv],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

        done = self.pod.netns.call(start)
        before_others(done.pid)
        said, _ = done.communicate(timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, argv))}: {said}")
        return json.loads(said)

    def udp(self, seconds):
        """(packets a second that arrived, CPU seconds a packet)."""
        before, idle = self.arrived(), softirq_seconds(self.cpu)
        said = self.run(self.program, "udp", self.target, UDP_PORT, seconds)
        busy = said["cpu"] + softirq_seconds(self.cpu) - idle
        packets = self.arrived() - before
        if packets < 0.5 * said["count"]:
            raise RuntimeError(f"only {packets} of {said['count']} datagrams arrived")
        return packets / said["seconds"], busy / packets

    def connections(self, seconds):
        said = self.run(self.program, "connect", self.target, TCP_PORT, seconds)
        if said["count"] == 0:
            raise RuntimeError(f"no connection to {self.target}: {said}")
        return said["count"] / said["seconds"]

    def tcp(self, seconds):
        said = self.run("iperf3", "-c", self.target, "-p", IPERF_PORT, "-t", seconds, "-J")
        return said["end"]["sum_received"]["bits_per_second"]


def before_others(pid):
    """The scheduler prefers this process and its session: a busy machine disturbs less."""
    os.setpriority(os.PRIO_PROCESS, pid, -20)
    with contextlib.suppress(FileNotFoundError), open(
        f"/proc/{pid}/autogroup", "w", encoding="ascii"
    ) as file:
        file.write("-20")


def softirq_seconds(cpu):
    """Time of ksoftirqd on that CPU: what did not fit into the sender's own context."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/comm", encoding="ascii", errors="replace") as file:
                    if file.read().strip() == f"ksoftirqd/{cpu}":
                        with open(f"/proc/{entry}/schedstat", encoding="ascii") as stat:
                            return int(stat.read().split()[0]) * 1e-9
            except OSError:
                continue
    return 0.0


def bare_lab(reply_rule=True):
    """A lab without egw, whose n1 sends one pod's packets through a VXLAN to n2, where one rule
    sets the source; what Calico's rules do to such packets is switched off."""
    lab = Lab(nodes=2, cni="calico", far_server=False).start()
    try:
        pod = lab.add_pod("bare", "n1")
        one, two = lab.node("n1"), lab.node("n2")
        vxlan = "type vxlan id 101 dstport 7790 nolearning dev eth0"
        for node, own, peer, peer_node in ((one, 1, 2, two), (two, 2, 1, one)):
            node.netns.run("iptables", "-t", "nat", "-F", "cali-nat-outgoing")
            for side in ("-i", "-o"):
                node.netns.run("iptables", "-I", "FORWARD", "1", side, "bare0", "-j", "ACCEPT")
            node.netns.batch(f"""
                link add bare0 address 66:00:00:00:00:0{own} {vxlan} local {node.ip4}
                addr add 172.30.0.{own}/32 dev bare0
                link set bare0 up
                neigh add 172.30.0.{peer} lladdr 66:00:00:00:00:0{peer} dev bare0 nud permanent""")
            entry = f"66:00:00:00:00:0{peer} dev bare0 dst {peer_node.ip4} self permanent"
            node.netns.run("bridge", "fdb", "add", *entry.split())
            node.netns.sysctl({"net.ipv4.conf.bare0.rp_filter": 2})
        one.netns.batch(
            "route add default via 172.30.0.2 dev bare0 onlink table 500\n"
            f"rule add pref 99 from {pod.ip4} lookup 500"
        )
        back = f"route add {pod.ip4}/32 via 172.30.0.1 dev bare0 onlink"
        if reply_rule:
            back += f" table 500\nrule add pref 99 to {pod.ip4} lookup 500"
        two.netns.batch(f"addr add {BARE_EIP}/32 dev eth0\n{back}")
        two.netns.run(
            "nft",
            "-f",
            "-",
            stdin=(
                "table ip bare {\nchain postrouting { type nat hook postrouting priority 90;\n"
                f"ip saddr {pod.ip4} oifname eth0 snat to {BARE_EIP}\n}}\n}}\n"
            ),
        )
        return lab, pod
    except BaseException:
        lab.stop()
        raise


MEASURES = {  # name -> (method, which of its results, seconds, share of the repeats)
    "cpu_per_packet": ("udp", 1, 0.3, 1),
    "packets_per_second": ("udp", 0, 0.3, 1),
    "connections_per_second": ("connections", None, 0.3, 1),
    "tcp_bits_per_second": ("tcp", None, 1, 0.25),
}


def compare(bare, egw, repeats):
    """{measure: {bare, egw, ratio, low, high}}: medians over `repeats` pairs; ratio is egw over
    bare of a pair, low and high are its quartiles."""
    found = {}
    for method in ("udp", "connections", "tcp"):
        mine = {name: m for name, m in MEASURES.items() if m[0] == method}
        _, _, seconds, share = next(iter(mine.values()))
        pairs = {name: {"bare": [], "egw": []} for name in mine}
        for side in (bare, egw):
            getattr(side, method)(seconds)  # neighbours and caches
        for repeat in range(max(4, int(repeats * share))):
            for name, side in (("bare", bare), ("egw", egw))[:: 1 if repeat % 2 else -1]:
                result = getattr(side, method)(seconds)
                for measure, (_, which, _, _) in mine.items():
                    pairs[measure][name].append(result if which is None else result[which])
        for measure, values in pairs.items():
            ratios = [e / b for e, b in zip(values["egw"], values["bare"])]
            low, middle, high = statistics.quantiles(ratios, n=4)
            found[measure] = {
                "bare": statistics.median(values["bare"]),
                "egw": statistics.median(values["egw"]),
                "ratio": middle,
                "low": low,
                "high": high,
                "pairs": len(ratios),
            }
        print(".", end="", flush=True, file=sys.stderr)
    return found
