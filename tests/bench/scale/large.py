# SPDX-License-Identifier: Apache-2.0
"""A real API server with a large cluster in it, and the controller as a process of its own. All of
it lives in a network namespace that this process makes for itself."""

import concurrent.futures
import itertools
import os
import time

from cluster import ApiServer
from kubeapi import path_of
from lab.netns import run
from store import store

from . import world
from .process import MeasuredController
from .templates import HEARTBEAT, LEASE_NAMESPACE, RENEWED, Templates

SERVER4, SERVER6 = "10.100.0.1", "fd00:100::1"


def missing_memory(size):
    """What to say when the API server will not fit; nothing when it will."""
    need = 1 << 30
    need += size.pods * (100 << 10)  # as seen: etcd, its mapped file, the caches of kube-apiserver
    with open("/proc/meminfo", encoding="ascii") as file:
        free = next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))
    if free < need:
        return (f"--size: {size.pods} pods take {need >> 20} MiB in the API server, and "
                f"{free >> 20} MiB are free: give fewer")
    return None


def enter_own_network():
    """Before there is a second thread: those that come inherit the namespace."""
    os.unshare(os.CLONE_NEWNET)
    run("ip", "link", "set", "lo", "up")
    run("ip", "addr", "add", f"{SERVER4}/32", "dev", "lo")
    run("ip", "addr", "add", f"{SERVER6}/128", "dev", "lo")


class LargeCluster:
    def __init__(self, size, directory):
        self.size, self.directory = size, directory
        self.server = ApiServer(directory / "kubernetes", address="0.0.0.0", server=SERVER4)
        self.started = 0
        self.controller = None
        self._restarts, self._moved, self._beats = {}, set(), {}
        self.kept = 1  # every so many-th pod is there

    def __enter__(self):
        self.server.start()
        self.api = self.server.api
        self.server.install_egw()
        return self

    def __exit__(self, *_):
        if self.controller:
            self.controller.process.stop()
        self.server.stop()

    # Objects

    def load_kubernetes(self):
        """Namespaces, Nodes, their Leases, and Pods. Returns the seconds of each."""
        templates, size = Templates(self.api), self.size
        self._in_parallel(self.api.create, world.namespaces(size))
        nodes = (world.Node(number) for number in range(size.nodes))
        found = {
            "nodes": self._store(itertools.chain.from_iterable(
                templates.copies_of_node(node) for node in nodes)),
            "pods": self._store(templates.copy_of_pod(pod) for pod in self.pods())}
        templates.remove()
        for number in range(size.gateway_nodes):
            label = {world.GROUP_LABEL: world.node_group(size, number)}
            self.api.patch("nodes", world.Node(number).name, {"metadata": {"labels": label}})
        self._check_encoding()
        return found

    def _check_encoding(self):
        """What was written to etcd is what the API server would have: a PUT of what it reads from
        there leaves the object as it is, with its version."""
        last = next(self.pods(self.size.pods - 1))
        for path in (path_of("nodes", None, world.Node(self.size.nodes - 1).name),
                     path_of("pods", last.namespace, last.name)):
            before = self.api.request("GET", path)
            after = self.api.request("PUT", path, before)
            if after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
                raise RuntimeError(f"{path}: the API server encodes it in another way")

    def load_gateways(self):
        return self._timed(lambda: self._in_parallel(self.api.create, world.gateways(self.size)))

    def load_policies(self):
        policies = (world.policy(self.size, number) for number in range(self.size.policies))
        return self._timed(lambda: self._in_parallel(self.api.create, policies))

    def pods(self, first=0):
        """Those that are there."""
        first += -first % self.kept
        return (world.Pod(number, self.size) for number in range(first, self.size.pods, self.kept))

    def thin_out(self, factor):
        """Of each `factor` pods one is left."""
        self.kept *= factor
        gone = (pod for number in range(0, self.size.pods, self.kept // factor)
                if number % self.kept for pod in [world.Pod(number, self.size)])
        return self._store({"key": pod.key, "delete": True} for pod in gone)

    def pod_count(self):
        return len(range(0, self.size.pods, self.kept))

    def endpoints(self):
        """How many the slices of all policies hold together."""
        return world.endpoints(self.size, self.pods())

    def one_pod_a_policy(self, count):
        """Pods of different namespaced policies, spread over all of them."""
        size, found = self.size, {}
        for pod in self.pods(size.nodes):
            if pod.app_number < size.policies - size.cluster_policies:
                found.setdefault(pod.app_number, pod)
        step = max(1, len(found) // count)
        return list(found.values())[::step][:count]

    # Changes, as lines for store()

    def restart_of(self, pod):
        """A container of the pod was restarted: nothing that concerns a policy."""
        count = self._restarts.get(pod.number, 0)
        self._restarts[pod.number] = count + 1
        return {"key": pod.key,
                "replace": [[f'"restartCount":{count}', f'"restartCount":{count + 1}']]}

    def other_ips(self, pod):
        """(the addresses that the pod has, others), and it has the others from now on."""
        slots = [pod.slot, pod.slot + 100]
        if pod.number in self._moved:
            slots.reverse()
        self._moved ^= {pod.number}
        return [[str(world.PODS4 + 256 * pod.node.number + slot),
                 str(world.PODS6 + (pod.node.number << 64) + slot)] for slot in slots]

    def move_of(self, pod):
        texts = zip(*self.other_ips(pod))
        return {"key": pod.key, "replace": [[quote(old), quote(new)] for old, new in texts
                                            for quote in ('"{}"'.format, '\\"{}\\"'.format)]}

    def heartbeat(self, number, lease=False):
        """What the kubelet of that node writes: its Node, or its Lease."""
        name = world.Node(number).name
        count = self._beats.get((number, lease), 0)
        self._beats[number, lease] = count + 1
        key, first = (f"/registry/leases/{LEASE_NAMESPACE}/{name}", RENEWED) if lease else (
            f"/registry/minions/{name}", HEARTBEAT)
        return {"key": key, "replace": [[_later(first, count), _later(first, count + 1)]]}

    def store(self, changes, rate=0):
        return store(self.server, changes, rate)

    # The controller

    def start_controller(self):
        self.started += 1
        account = self.server.service_account_kubeconfig("egw-system", "egw-controller")
        self.controller = MeasuredController(
            f"controller-{self.started}", self.directory, f"--kubeconfig={account}")
        return self.controller

    def stop_controller(self):
        """In order: it gives its Lease back."""
        self.controller.process.stop()
        self.controller = None

    def occupy_lease(self):
        """Somebody else leads: a controller that is started stands by."""
        found = self.api.get("coordination.k8s.io/v1/leases", "egw-controller", "egw-system")
        found["spec"] |= {"holderIdentity": "somebody", "leaseDurationSeconds": 3600}
        self.api.replace(found)

    def free_lease(self):
        self.api.patch("coordination.k8s.io/v1/leases", "egw-controller",
                       {"spec": {"holderIdentity": None}}, "egw-system")

    # Helpers

    def _store(self, changes):
        done = self.store(changes)
        return {"objects": done["changes"], "seconds": done["seconds"]}

    @staticmethod
    def _in_parallel(call, objects):
        count = 0
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for _ in pool.map(call, objects):
                count += 1
        return count

    @staticmethod
    def _timed(work):
        began = time.monotonic()
        return {"objects": work(), "seconds": time.monotonic() - began}


def _later(time, seconds):
    """An RFC 3339 time of a first of a month at midnight, plus up to a month."""
    days, seconds = divmod(seconds, 86400)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{time[:8]}{1 + days:02}T{hours:02}:{minutes:02}:{seconds:02}{time[19:]}"
