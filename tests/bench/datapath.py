# SPDX-License-Identifier: Apache-2.0
"""Packets and connections that a lab forwards, beside those of another lab (beside.py)."""

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys

from lab.wait import until

HERE = os.path.dirname(os.path.abspath(__file__))
UDP_PORT, TCP_PORT, IPERF_PORT = 9000, 9001, 9002


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

    def tcp(self, seconds, flows=1):
        said = self.run(
            *("iperf3", "-c", self.target, "-p", IPERF_PORT, "-t", seconds, "-P", flows, "-J")
        )
        return said["end"]["sum_received"]["bits_per_second"]

    def tcp_eight(self, seconds):
        return self.tcp(seconds, 8)


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


MEASURES = {  # name -> (method, which of its results, seconds, share of the repeats)
    "cpu_per_packet": ("udp", 1, 0.3, 1),
    "packets_per_second": ("udp", 0, 0.3, 1),
    "connections_per_second": ("connections", None, 0.3, 1),
    "tcp_bits_per_second": ("tcp", None, 1, 0.25),
    "tcp_eight_bits_per_second": ("tcp_eight", None, 1, 0.25),
}


def compare(bare, other, repeats):
    """{measure: {bare, other, ratio, low, high}}: medians over `repeats` pairs; ratio is other over
    bare of a pair, low and high are its quartiles."""
    found = {}
    for method in dict.fromkeys(m[0] for m in MEASURES.values()):
        mine = {name: m for name, m in MEASURES.items() if m[0] == method}
        _, _, seconds, share = next(iter(mine.values()))
        pairs = {name: {"bare": [], "other": []} for name in mine}
        for side in (bare, other):
            getattr(side, method)(seconds)  # neighbours and caches
        for repeat in range(max(4, int(repeats * share))):
            for name, side in (("bare", bare), ("other", other))[:: 1 if repeat % 2 else -1]:
                result = getattr(side, method)(seconds)
                for measure, (_, which, _, _) in mine.items():
                    pairs[measure][name].append(result if which is None else result[which])
        for measure, values in pairs.items():
            ratios = [o / b for o, b in zip(values["other"], values["bare"])]
            low, middle, high = statistics.quantiles(ratios, n=4)
            found[measure] = {
                "bare": statistics.median(values["bare"]),
                "other": statistics.median(values["other"]),
                "ratio": middle,
                "low": low,
                "high": high,
                "pairs": len(ratios),
            }
        print(".", end="", flush=True, file=sys.stderr)
    return found
