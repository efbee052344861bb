# SPDX-License-Identifier: Apache-2.0
"""What single changes cost: how long until the controller's answer is seen, and how much of the
CPU."""

import itertools
import json
import time

from kubeapi import path_of
from lab import objects
from latency import WatchedConfigMaps, percentiles

from . import process, world
from .phases import settle
from .watching import CLUSTER_SLICES, EVENTS, OURS, Watcher, version_now

BURST = 2000  # pod events in a row
MOVES = 500  # of those that change a slice
LEASES = "coordination.k8s.io/v1/leases"
STRATEGIC, MERGE = "application/strategic-merge-patch+json", "application/merge-patch+json"


def pod_to_slice(cluster, count):
    """{pod_to_slice, write_to_watch}: a pod's addresses change, until a watch of slices tells it;
    and beside each a bare write until a watch tells it."""
    seen, wanted = {}, set()

    def look(resource, kind, obj, at):
        if resource == objects.SLICES and kind != "DELETED":
            for endpoint in obj["endpoints"]:
                if endpoint["ipv4"] and endpoint["ipv4"][0] in wanted:
                    seen[endpoint["ipv4"][0]] = at

    found, bare = [], []
    maps = WatchedConfigMaps(cluster.api)
    with Watcher(cluster.api, (objects.SLICES, CLUSTER_SLICES), look) as watcher:
        for number, pod in enumerate(cluster.one_pod_a_policy(count)):
            bare.append(maps.round_trip(f"scale-{number}"))
            _, new = cluster.other_ips(pod)
            wanted.add(new[0])
            body = {"status": {"podIP": new[0], "podIPs": [{"ip": ip} for ip in new]}}
            began = time.monotonic()
            cluster.api.request("PATCH", path_of("pods", pod.namespace, pod.name, "status"), body,
                                MERGE, {"fieldManager": "kubelet"})
            watcher.wait_for(lambda new=new: new[0] in seen, 30, f"{new[0]} in a slice")
            found.append(seen[new[0]] - began)
    maps.watch.stop()
    return {"pod_to_slice": percentiles(found), "write_to_watch": percentiles(bare)}


class Placement:
    """Where the EIPs of the first gateways stand, as a listener of a Watcher."""

    def __init__(self, api):
        listed = api.list_object(objects.GATEWAYS)
        self.since = {objects.GATEWAYS: listed["metadata"]["resourceVersion"]}
        self._names = {world.gateway_name(n) for n in range(world.SPARE_GATEWAYS)}
        self._nodes, self.last, self.bytes, self.counts = {}, None, {}, {}
        self.phases = {}  # of EgressNodes that changed
        for obj in listed["items"]:
            self._take(obj)

    def __call__(self, resource, kind, obj, at):
        if resource == objects.GATEWAYS and self._take(obj):
            self.last = at
        if resource == objects.NODES:
            self.phases[obj["metadata"]["name"]] = obj["status"].get("phase")
        size = len(json.dumps(obj, separators=(",", ":")))
        self.bytes[resource] = self.bytes.get(resource, 0) + size
        self.counts[resource] = self.counts.get(resource, 0) + 1

    def _take(self, obj):
        name, before = obj["metadata"]["name"], None
        if name in self._names:
            before = self._nodes.get(name)
            self._nodes[name] = {node["name"]: len(node.get("eips", []))
                                 for node in obj.get("status", {}).get("nodeList", [])}
        return before is not None and before != self._nodes[name]

    def on(self, node):
        return sum(nodes.get(node, 0) for nodes in self._nodes.values())


def set_ready(api, node, ready):
    """As the node lifecycle controller does it, or the kubelet of a node that is back."""
    status, reason = ("True", "KubeletReady") if ready else ("Unknown", "NodeStatusUnknown")
    api.request("PATCH", path_of("nodes", None, node, "status"), {"status": {"conditions": [
        {"type": "Ready", "status": status, "reason": reason, "message": "",
         "lastTransitionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}]}},
        STRATEGIC, {"fieldManager": "kubelet" if ready else "kube-controller-manager"})


def lose_node(cluster, lost, spare):
    """The node `lost` goes, its EIPs go to `spare`, the node comes back and gets nothing. Returns
    the EIPs that moved, seconds until the last gateway, and until the last write at all; and what a
    watch of everything got meanwhile."""
    place = Placement(cluster.api)
    with Watcher(cluster.api, (*OURS, EVENTS), place, place.since) as watcher:
        moved, there = place.on(lost), place.on(spare)
        began = time.monotonic()
        set_ready(cluster.api, lost, False)
        watcher.wait_for(lambda: place.on(lost) == 0 and place.on(spare) == moved + there, 60,
                         f"{moved} EIPs of {lost} on {spare}")
        gateways = place.last - began
        settle(cluster.controller, watcher, lambda _: True, 120)
        everything = watcher.last - began
        result = {"eips": moved, "gateways_seconds": gateways, "all_seconds": everything,
                  "objects": dict(place.counts), "bytes": dict(place.bytes)}
        set_ready(cluster.api, lost, True)
        watcher.wait_for(lambda: place.phases.get(lost) == "Ready", 60, f"{lost} is Ready again")
        settle(cluster.controller, watcher, lambda _: True, 120)
    return result


def node_loss(cluster, rounds):
    """Two nodes share the first gateways. The first round brings all EIPs to one of them."""
    one, other = (world.Node(number).name for number in range(2))
    lose_node(cluster, one, other)
    found = []
    for _ in range(rounds):
        one, other = other, one
        found.append(lose_node(cluster, one, other))
    return {"eips": found[-1]["eips"], "objects": found[-1]["objects"],
            "bytes": found[-1]["bytes"],
            "to_gateways": percentiles([entry["gateways_seconds"] for entry in found]),
            "to_last_write": percentiles([entry["all_seconds"] for entry in found])}


def idle(cluster, seconds):
    """Writes while nothing happens but heartbeats: each node's Node and Lease every ten seconds."""
    controller, size = cluster.controller, cluster.size
    rate = 2 * size.nodes / 10
    beats = (cluster.heartbeat(number, lease)
             for number in _cycle(size.nodes, int(rate * seconds / 2)) for lease in (False, True))
    process.quiet_cpu(controller.process)
    with Watcher(cluster.api, (*OURS, EVENTS)) as watcher:
        version = version_now(cluster.api, LEASES)
        before, cpu = controller.samples(), controller.cpu
        done = cluster.store(beats, rate)
        cpu = process.quiet_cpu(controller.process) - cpu
        after = controller.samples()
        writes = sum(_gain(before, after, "egw_writes_total").values())
        return {"seconds": done["seconds"], "heartbeats": done["changes"],
                "heartbeats_per_second": done["changes"] / done["seconds"],
                "writes": int(writes), "seen_by_watch": watcher.total(),
                "kubernetes_events": watcher.counts[EVENTS],
                "lease_renewals": own_renewals(cluster.api, version),
                "node_events": int(_gain(before, after, "egw_watch_events_total", 'kind="Node"')
                                   ['kind="Node"']),
                "cpu_percent": 100 * cpu / done["seconds"]}


def own_renewals(api, since):
    """Writes of the controllers' Lease since that version."""
    found = 0
    api.apply({"apiVersion": "v1", "kind": "ConfigMap",
               "metadata": {"name": "end", "namespace": "egw-system"}})
    until = api.get(LEASES, "egw-controller", "egw-system")["metadata"]["resourceVersion"]
    with api.watch(LEASES, "egw-system", since, idle_timeout=10) as watch:
        for _, lease in watch:
            found += 1
            if int(lease["metadata"]["resourceVersion"]) >= int(until):
                return found
    raise RuntimeError("the watch of Leases ended")


def heartbeat_cpu(cluster):
    """CPU seconds of the controller for one heartbeat of a node."""
    size = cluster.size
    beats = [cluster.heartbeat(number) for number in _cycle(size.nodes, max(size.nodes, BURST))]
    return _cpu_of(cluster, beats, "Node")


def pod_event_cpu(cluster):
    """CPU seconds of the controller for one event of a pod: one that changes nothing for it, and
    one that changes a slice, with the write."""
    pods = list(cluster.pods(cluster.size.nodes))
    step = max(1, len(pods) // BURST)
    restarts = [cluster.restart_of(pod) for pod in itertools.islice(
        itertools.cycle(pods[::step]), BURST)]
    result = {"pods": cluster.pod_count(), "unchanged": _cpu_of(cluster, restarts, "Pod")}
    moves = [cluster.move_of(pod) for pod in cluster.one_pod_a_policy(MOVES)]
    with Watcher(cluster.api, (objects.SLICES,)) as watcher:
        result["moved"] = _cpu_of(
            cluster, moves, "Pod",
            lambda: watcher.wait_for(lambda: watcher.counts[objects.SLICES] >= len(moves), 60,
                                     f"{len(moves)} slices written"))
    return result


def _cpu_of(cluster, changes, kind, until=lambda: None):
    controller = cluster.controller
    before = controller.samples()
    cpu = process.quiet_cpu(controller.process)
    cluster.store(changes)
    until()
    cpu = process.quiet_cpu(controller.process) - cpu
    label = f'kind="{kind}"'
    came = _gain(before, controller.samples(), "egw_watch_events_total", label)[label]
    if came != len(changes):
        raise RuntimeError(f"{came:.0f} events of {kind} came of {len(changes)}")
    return {"events": len(changes), "cpu_us": 1e6 * cpu / len(changes)}


def _gain(before, after, family, *labels):
    then = process.values(before, family)
    return {name: value - then.get(name, 0)
            for name, value in process.values(after, family).items() if not labels or
            name in labels}


def _cycle(size, count):
    return (number % size for number in range(count))
