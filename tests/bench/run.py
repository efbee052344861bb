#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The figures of egw, as a table and as JSON.

run.py [--json FILE] [--parts latency,datapath,memory,startup] [--policies 1,100,1000] ...
All that is measured: --policies 1,100,1000,5000,10000 --rules 100,1000,5000 --shapes 10000"""

import argparse
import concurrent.futures
import itertools
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]

import beside  # noqa: E402
import datapath  # noqa: E402
import latency  # noqa: E402
import tables  # noqa: E402
from facts import machine, version  # noqa: E402
from lab import objects  # noqa: E402
from lab.control import TOP, Cluster  # noqa: E402
from lab.process import cpu_seconds  # noqa: E402
from lab.wait import until  # noqa: E402

PARTS = ("latency", "datapath", "memory", "startup")
PODS_A_POLICY = 3
IDLE_SECONDS = 30
GATEWAY, EIPS = "bench", [f"10.6.1.{n}" for n in range(10, 110)]


def say(text):
    print(text, file=sys.stderr, flush=True)


def policy(number, pods, destinations):
    return objects.policy(
        f"bench-{number:05}",
        gateway=GATEWAY,
        pods=pods,
        ipv4=EIPS[number % 100],
        destinations=destinations,
    )


class Population:
    """Policies and their pods on n1, growing: half with three destination ranges, half with
    none."""

    def __init__(self, cluster, real_pod):
        self.cluster, self.real_pod, self.count = cluster, real_pod, 0
        self.numbers = itertools.count(1)

    def grow(self, wanted):
        first, self.count = self.count, max(self.count, wanted)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(self.add, range(first, self.count)))
        self.await_known([p.ip4 for p in self.cluster.pods.values()])

    def await_known(self, words):
        """Until n1's and the gateway's tables have them all."""

        def known():
            for node in ("n1", "n2"):
                listing = self.cluster.node(node).netns.run("nft", "list", "table", "ip", "egw")
                if not set(words) <= set(listing.replace(",", " ").split()):
                    return False
            return True

        until(known, f"{len(words)} addresses in the kernels", 600, 0.5)

    def add(self, number):
        """A policy and its pods. Number 0 is the one that is measured."""
        label = {"bench": f"p{number}"}
        ranges = [f"10.{20 + number % 200}.{part}.0/24" for part in range(3)] if number % 2 else []
        if number == 0:
            label = self.real_pod.labels
            ranges = ["192.0.2.0/24", "198.51.100.0/24", f"{self.cluster.srv.ip4}/32"]
        self.cluster.api.create(policy(number, label, ranges))
        for one in range(PODS_A_POLICY - (number == 0)):
            self.add_pod(f"bench-{number:05}-{one}", label)

    def add_pod(self, name, labels):
        """One that is in the tables alone. More of them than a node's range has addresses for."""
        number = next(self.numbers)
        ips = f"10.230.{number >> 8}.{number & 255}", f"fd00:230::{number:x}"
        return self.cluster.add_pod(name, "n1", labels, real=False, ips=ips)

    def give_destinations(self, count):
        """To the measured policy, the server's as the last of them."""
        ranges = [f"11.{n >> 8}.{n & 255}.0/24" for n in range(0, 2 * (count - 1), 2)]
        ranges.append(f"{self.cluster.srv.ip4}/32")
        self.cluster.apply(policy(0, self.real_pod.labels, ranges))
        # They are of two lengths, and stand in a hash set for each: without their lengths.
        self.await_known([ranges[-2].split("/", 1)[0]])

    def give_pods(self, count):
        """To the measured policy."""
        names = [f"bench-more-{n:05}" for n in range(count - 1)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            pods = list(pool.map(lambda name: self.add_pod(name, self.real_pod.labels), names))
        self.await_known([pod.ip4 for pod in pods])


def idle_percent(*agents):
    """Of one CPU, the busier one while nothing changes; the clock ticks each 10 ms."""
    before = [cpu_seconds(agent.pid) for agent in agents]
    time.sleep(IDLE_SECONDS)
    used = [cpu_seconds(agent.pid) - was for agent, was in zip(agents, before)]
    return max(used) / IDLE_SECONDS * 100


def memory(cluster):
    """RSS in MiB at rest: of the agents on a plain node and on the gateway, and the larger of the
    controllers. At rest: every status is written, and nobody works. What a burst took is given back
    a second after it."""
    processes = [*cluster.agents.values(), *cluster.controllers.values()]

    def work():
        return [cpu_seconds(p.pid) for p in processes]

    def rests():
        before = work()
        time.sleep(3)
        return all(now - then < 0.02 for now, then in zip(work(), before))

    until(rests, "nobody works any more", 180)
    controllers = max(c.rss() for c in cluster.controllers.values())
    return {
        "idle_percent": idle_percent(cluster.agents["n1"], cluster.agents["n2"]),
        "agent": cluster.agents["n1"].rss() / 2**20,
        "gateway_agent": cluster.agents["n2"].rss() / 2**20,
        "controller": controllers / 2**20,
    }


def measure(options):
    parts, results = options.parts, {"machine": machine(), "egw": version()}
    # Logs of every change would be measured too.
    with Cluster(nodes=2, cni="calico", far_server=False, log_level="info") as cluster:
        cluster.label_node("n2", objects.GATEWAY_LABEL)
        cluster.apply(objects.gateway(GATEWAY, [f"{EIPS[0]}-{EIPS[-1]}"]))
        pod = cluster.add_pod("measured", "n1", {"bench": "measured"})
        if "latency" in parts:
            say(f"latency: {options.repeat} policies")
            results["latency"] = latency.policy_to_packet(
                cluster, pod, GATEWAY, EIPS, options.repeat
            )
        if {"datapath", "memory"} & parts:
            results["states"] = with_policies(cluster, pod, options)
        if "startup" in parts:
            say("start-up")
            results["startup"] = latency.startup(cluster, cluster.node("n1"), options.starts)
            results["startup"]["policies"] = len(cluster.api.list(objects.ALIASES))
    return results


def with_policies(cluster, pod, options):
    found = {}
    population = Population(cluster, pod)
    bare = egw = None
    try:
        if "datapath" in options.parts:
            bare_lab, bare_pod = beside.bare_lab(options.bare == "rules", options.bare_gro)
            cluster.closers.append(bare_lab.stop)
            if options.wires == "hardware":
                for lab in (bare_lab, cluster):
                    lab.wires.like_hardware()
            program = datapath.compile_load(cluster.directory)
            bare = datapath.Side(bare_lab, bare_pod, beside.EIP, program, options.cpu)
        for what, grow in steps(population, options):
            began = time.monotonic()
            grow()
            say(f"{what} after {time.monotonic() - began:.1f} s")
            entry = found[what] = {}
            if "memory" in options.parts:
                entry["memory"] = memory(cluster)
            if bare:
                cluster.await_source(pod, cluster.srv.ip4, EIPS[0])
                egw = egw or datapath.Side(cluster, pod, EIPS[0], program, options.cpu)
                entry["datapath"] = datapath.compare(bare, egw, options.pairs)
                ratios = {name: round(m["ratio"], 3) for name, m in entry["datapath"].items()}
                say(f"{what}: to bare forwarding {ratios}")
        if bare:
            for count in options.rules:
                found[f"{count} rules"] = {"datapath": by_rules(count, bare, program, options)}
    finally:
        if bare:
            bare.lab.stop()
    return found


def steps(population, options):
    """(name, what makes it so) of each state that is measured."""
    for count in options.policies:
        yield f"{count} pol.", lambda count=count: population.grow(count)
    if options.shapes:
        yield f"{options.shapes} CIDRs", lambda: population.give_destinations(options.shapes)
        yield f"{options.shapes} pods", lambda: population.give_pods(options.shapes)


def by_rules(count, bare, program, options):
    say(f"a rule for each of {count} policies")
    lab, pod = beside.rule_for_each_policy_lab(count)
    try:
        if options.wires == "hardware":
            lab.wires.like_hardware()
        side = datapath.Side(lab, pod, beside.EIP, program, options.cpu)
        return datapath.compare(bare, side, options.pairs)
    finally:
        lab.stop()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    numbers = lambda text: sorted(int(n) for n in text.split(",") if n)
    parser.add_argument("--json", metavar="FILE", default=os.path.join(TOP, "build", "bench.json"))
    parser.add_argument(
        "--parts",
        type=lambda text: set(text.split(",")),
        default=set(PARTS),
        help=f"of {','.join(PARTS)} (all)",
    )
    parser.add_argument(
        "--policies", type=numbers, default=[1, 100, 1000], help="counts to measure at (1,100,1000)"
    )
    parser.add_argument(
        "--rules",
        type=numbers,
        default=[1000],
        help="counts of policies of which each has rules and sets of its own, as in egw's\n"
        "predecessor (1000)",
    )
    parser.add_argument(
        "--shapes",
        type=int,
        metavar="COUNT",
        help="at last, also one policy with so many destinations, then with so many pods",
    )
    parser.add_argument("--repeat", type=int, default=100, help="policies for the latency (100)")
    parser.add_argument(
        "--pairs", type=int, default=20, help="measurements of bare and egw in turn (20)"
    )
    parser.add_argument(
        "--bare",
        choices=["rules", "main-table"],
        default="rules",
        help="how the bare gateway routes back to the pod: by a rule and a table of its own, as\n"
        "chosen pods need it, or by a route in the main table (rules)",
    )
    parser.add_argument(
        "--bare-gro",
        choices=["on", "off"],
        default="on",
        help="GRO of the bare tunnel: as the kernel makes it, or off, as egw has it where the\n"
        "parent merges or need not (on)",
    )
    parser.add_argument(
        "--wires",
        choices=["veth", "hardware"],
        default="veth",
        help="veths between the hosts as they are, or such that carry segments and merge what\n"
        "comes, as network cards do (veth)",
    )
    parser.add_argument(
        "--starts", type=int, default=5, help="starts of the agent of each kind (5)"
    )
    parser.add_argument(
        "--cpu", type=int, default=max(os.sched_getaffinity(0)), help="the CPU that forwards (last)"
    )
    options = parser.parse_args()
    if unknown := options.parts - set(PARTS):
        parser.error(f"--parts: {', '.join(sorted(unknown))} is none of {', '.join(PARTS)}")
    results = measure(options)
    print("\n".join(tables.lines(results)))
    with open(options.json, "w", encoding="ascii") as file:
        json.dump(results, file, indent=1)
    say(f"kept in {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
