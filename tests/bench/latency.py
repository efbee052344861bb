# SPDX-License-Identifier: Apache-2.0
"""How long a policy takes to become packets, beside what the API server alone takes."""

import concurrent.futures
import http.client
import statistics
import threading
import time

from lab import kernel, objects
from lab.wait import until


# Seconds. The Events that tell of a change and the look-up of its connections follow it by up to
# 0.2 s, and the garbage collector's work has no end that could be awaited.
REST = 0.3


def percentiles(seconds):
    order = sorted(seconds)
    pick = lambda q: 1000 * order[min(len(order) - 1, int(q * len(order)))]
    return {
        "p50_ms": pick(0.5),
        "p90_ms": pick(0.9),
        "p99_ms": pick(0.99),
        "max_ms": 1000 * order[-1],
        "mean_ms": 1000 * statistics.fmean(order),
        "count": len(order),
    }


class WatchedConfigMaps:
    """Time from the request that creates a ConfigMap to its event on an open watch."""

    def __init__(self, api):
        self.api, self.arrived = api, {}
        self.changed = threading.Condition()
        version = api.list_object("configmaps", "default")["metadata"]["resourceVersion"]
        self.watch = api.watch("configmaps", "default", version)
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        for kind, obj in self.watch:
            if kind == "ADDED":
                with self.changed:
                    self.arrived[obj["metadata"]["name"]] = time.monotonic()
                    self.changed.notify()

    def round_trip(self, name):
        start = time.monotonic()
        self.api.create(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": "default"},
            }
        )
        with self.changed:
            if not self.changed.wait_for(lambda: name in self.arrived, 10):
                raise TimeoutError(f"no event for ConfigMap {name} within 10 s")
        self.api.delete("configmaps", name, "default")
        return self.arrived[name] - start


def policy_to_packet(cluster, pod, gateway, eips, count):
    """{policy_to_packet, policy_deleted, write_to_watch}, each with percentiles, taken in turn:
    `count` policies for one pod, each created, seen on the wire and deleted. The clock runs from
    before the request until the first answer to a datagram that the server saw with the egress IP.
    """
    target, home = cluster.srv.ip4, pod.node.ip4
    created, deleted, bare = [], [], []
    watch = WatchedConfigMaps(cluster.api)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:

        def timed(source, action):
            sending = threading.Event()

            def look():
                sending.set()
                return pod.first_seen(target, source, interval=0.001)

            answer = pool.submit(look)
            sending.wait()
            start = time.monotonic()
            action()
            return answer.result()[1] - start

        for n in range(count):
            eip = eips[n % len(eips)]
            policy = objects.policy(f"latency-{n}", gateway=gateway, pods=pod.labels, ipv4=eip)
            bare.append(watch.round_trip(f"latency-{n}"))
            created.append(timed(eip, lambda: cluster.api.create(policy)))
            deleted.append(
                timed(home, lambda: cluster.delete(objects.ALIASES, f"latency-{n}", "default"))
            )
            # All have to be done with the last one before the next: an idle cluster is measured.
            until(lambda: idle(cluster, pod, eip), "the cluster is at rest")
            time.sleep(REST)
    watch.watch.stop()
    return {
        "policy_to_packet": percentiles(created),
        "policy_deleted": percentiles(deleted),
        "write_to_watch": percentiles(bare),
    }


def idle(cluster, pod, eip):
    """Nothing of the last policy is left: no slice, no address, no pod in any ruleset."""
    if cluster.api.list(objects.SLICES, "default") or kernel.holders(cluster, eip):
        return False
    return not any(
        pod.ip4 in node.netns.run("nft", "list", "map", "ip", "egw", "pods")
        for node in cluster.nodes.values()
    )


def startup(cluster, node, count):
    """Time from starting the agent to its answer 200 on /readyz, with the kernel as it was left (a
    restart), and after `egw agent cleanup` (a first start)."""
    found = {"restart": [], "first_start": []}
    for _ in range(count):
        for kind in found:
            node.agent.stop()
            if kind == "first_start":
                cluster.cleanup(node)
            start = time.monotonic()
            node.agent.start()
            until(
                lambda: node.netns.call(ready),
                f"agent of {node.name} answers 200 on /readyz",
                20,
                0.001,
            )
            found[kind].append(time.monotonic() - start)
    return {kind: percentiles(values) for kind, values in found.items()}


def ready():
    connection = http.client.HTTPConnection("127.0.0.1", 9100, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
