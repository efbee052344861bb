#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The controller in a large cluster, as a table and as JSON.

run.py [--size NODES/PODS/POLICIES/GATEWAYS] [--json FILE] ..."""

import argparse
import dataclasses
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "bench"), str(TESTS / "kubernetes")]

from facts import CpuShare, machine, version  # noqa: E402
from lab.control import TOP  # noqa: E402
from scale import agent, events, large, phases, tables, world  # noqa: E402
from scale.agents import PlayedAgents  # noqa: E402


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Results(dict):
    """Kept in the file whenever something is added: a run takes long, and may fail at its end."""

    def __init__(self, path, **first):
        super().__init__(first)
        self.path = path

    def __setitem__(self, name, value):
        super().__setitem__(name, value)
        with open(self.path, "w", encoding="ascii") as file:
            json.dump(self, file, indent=1)


def measure(options, directory):
    size, share = options.size, CpuShare()
    results = Results(options.json, machine=machine(), egw=version(),
                      size=dataclasses.asdict(size))
    addresses = {node.name: (str(node.ip4), str(node.ip6))
                 for node in map(world.Node, range(size.nodes))}
    with large.LargeCluster(size, directory) as cluster:
        say(f"loading {size.nodes} nodes and {size.pods} pods")
        load = {**cluster.load_kubernetes(), "gateways": cluster.load_gateways()}
        say("first start: an EgressNode for each node")
        with PlayedAgents(cluster.api, addresses) as agents:
            results["install"] = phases.install(cluster, agents)
        cluster.stop_controller()
        say(f"loading {size.policies} policies")
        results["load"] = {**load, "policies": cluster.load_policies()}
        say("start: all policies have to be placed")
        results["scratch"] = phases.scratch(cluster)
        say("restarts: nothing has to change")
        restarts = []
        for _ in range(options.restarts):
            cluster.stop_controller()
            restarts.append(phases.restart(cluster))
        results["restarts"] = restarts
        cluster.stop_controller()
        results["takeover"] = phases.restart(cluster, standby=True)
        results["connections"] = cluster.controller.connections(cluster.server.port)
        say(f"{options.repeat} events of pods, one at a time")
        results["pod_events"] = events.pod_to_slice(cluster, options.repeat)
        say(f"heartbeats for {options.idle} s")
        results["idle"] = events.idle(cluster, options.idle)
        results["heartbeat"] = events.heartbeat_cpu(cluster)
        say(f"loss of a node with {size.failover_eips} EIPs")
        results["node_loss"] = events.node_loss(cluster, options.rounds)
        say("a real agent")
        results["agent"] = agent.measured(cluster, directory)
        results["by_pods"] = by_pods(cluster, results["takeover"], options.thin)
    results["others_percent"] = share.of_others()
    return results


def by_pods(cluster, memory, times):
    """The cost of a pod event, and memory, with ever fewer pods."""
    found = [{**events.pod_event_cpu(cluster), "memory": memory}]
    for _ in range(times):
        say(f"of {cluster.pod_count()} pods every tenth stays")
        phases.thinned(cluster, 10)
        cluster.stop_controller()
        memory = phases.restart(cluster, standby=True)
        found.append({**events.pod_event_cpu(cluster), "memory": memory})
    return found


def keep_logs(directory):
    """They outlive a run that failed."""
    target = Path(TOP, "build", "scale-logs")
    target.mkdir(parents=True, exist_ok=True)
    for log in directory.rglob("*.log"):
        shutil.copy(log, target / log.name)
    say(f"logs of all processes: {target}")


def size_of(text):
    try:
        return world.Size.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", type=size_of, default=world.Size(), metavar="N/P/P/G",
                        help="nodes, pods, policies, gateways (5000/100000/10000/200)")
    parser.add_argument("--json", metavar="FILE", default=os.path.join(TOP, "build", "scale.json"))
    parser.add_argument("--restarts", type=int, default=3, help="of the controller (3)")
    parser.add_argument("--repeat", type=int, default=200, help="pod events, one at a time (200)")
    parser.add_argument("--rounds", type=int, default=5, help="losses of a node (5)")
    parser.add_argument("--thin", type=int, default=2, help="times that of ten pods one stays (2)")
    parser.add_argument("--idle", type=int, default=30, help="seconds of heartbeats alone (30)")
    parser.add_argument("--smoke", action="store_true",
                        help="a small cluster and few repetitions: whether it works, in a minute")
    options = parser.parse_args()
    if options.smoke:
        options.size = world.Size.parse("100/2000/200/10")
        options.restarts = options.rounds = options.thin = 1
        options.repeat, options.idle = 20, 3
    if missing := large.missing_memory(options.size):
        parser.error(missing)
    large.enter_own_network()
    with tempfile.TemporaryDirectory(prefix="egw-scale-") as directory:
        try:
            results = measure(options, Path(directory))
        except BaseException:
            keep_logs(Path(directory))
            raise
    print("\n".join(tables.lines(results)))
    say(f"kept in {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
