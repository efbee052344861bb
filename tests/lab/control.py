# SPDX-License-Identifier: Apache-2.0
"""The lab with a control plane and egw in it: `with Cluster() as cluster: ...`.

The real API server with its controller manager runs in the namespace `cp`, the fake kubelet speaks
for nodes and pods, two controllers run in `cp` and an agent in each node, all with the service
accounts and roles of manifests/."""

import json
import os
import subprocess
import sys
import time

from . import objects
from .lab import Lab
from .topology import CONTROL4
from .wait import PATIENCE, until

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOP = os.path.dirname(TESTS)
sys.path.insert(0, os.path.join(TESTS, "kubernetes"))

import kubelet  # noqa: E402
from cluster import ApiServer  # noqa: E402
from kubeapi import ApiError  # noqa: E402

NAMESPACE = "egw-system"
QUICK_ELECTION = "--lease-duration 3s --renew-deadline 2s --retry-period 300ms".split()
LOG_LEVEL = os.environ.get("EGW_LAB_LOG_LEVEL", "debug")


def binary():
    path = os.environ.get("EGW_BIN") or os.path.join(TOP, "build", "egw")
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"{path} is not there: ./dev build, or name another one in EGW_BIN")
    return path


class Cluster(Lab):
    """Options beside the lab's: `controllers` how many, `egw` False for a cluster without egw,
    `start_egw` False when the caller will call start_egw(), `quick_election` for leaders that are
    missed after 3 s instead of 15."""

    def __init__(
        self,
        nodes=3,
        cni="calico",
        controllers=2,
        egw=True,
        start_egw=True,
        quick_election=False,
        log_level=LOG_LEVEL,
        **more,
    ):
        self.egw = binary() if egw else None
        super().__init__(nodes=nodes, cni=cni, **more)
        self.start_at_once = start_egw
        self.election = QUICK_ELECTION if quick_election and PATIENCE == 1 else []
        self.controller_count, self.log_level = controllers, log_level
        self.controllers, self.agents = {}, {}
        self.server = None

    # ---- life ------------------------------------------------------------------------------------

    def start(self):
        if self.server:
            return self
        super().start()
        try:
            self.start_control_plane()
            if self.egw and self.start_at_once:
                self.start_egw()
        except BaseException:
            self.keep_logs()
            self.stop()
            raise
        return self

    def start_control_plane(self):
        began = time.monotonic()
        self.server = ApiServer(
            os.path.join(self.directory, "kubernetes"),
            address=CONTROL4,
            port=6443,
            netns=self.wires.control.name,
            controller_manager=True,
            # As in real clusters: while the API server is away no node may seem lost, else whether
            # its EIPs move afterwards is a race. power_off() says by itself that a node is lost.
            node_monitor_grace=40,
        )
        self.closers.append(self.server.kill)
        self.server.start()
        self.api = self.server.api
        self.timings["API server"] = time.monotonic() - began
        began = time.monotonic()
        self.kubelet = kubelet.Kubelet(self.api)
        self.closers.append(self.kubelet.stop)
        for node in self.nodes.values():
            self.kubelet.register_node(node.name, [node.ip4, node.ip6], [node.pods4, node.pods6])
        if self.egw:
            self.server.install_egw()
        self.timings["objects"] = time.monotonic() - began

    def start_egw(self):
        began = time.monotonic()
        config = {
            name: self.server.service_account_kubeconfig(NAMESPACE, f"egw-{name}")
            for name in ("controller", "agent")
        }
        for number in range(1, self.controller_count + 1):
            name = f"controller-{number}"
            options = f"--namespace {NAMESPACE} --identity {name} --webhook-address=".split()
            options += self.election
            self.controllers[name] = self.start_role(
                self.wires.control, name, "controller", config, 9100 + number, options
            )
        for node in self.nodes.values():
            node.agent = self.agents[node.name] = self.start_role(
                node.netns, f"agent-{node.name}", "agent", config, 9100, ["--node-name", node.name]
            )
        until(self.all_ready, "every EgressNode Ready", 30)
        self.timings["egw ready"] = time.monotonic() - began

    def start_role(self, space, name, role, config, port, options):
        argv = [self.egw, role, "--kubeconfig", config[role], *options]
        argv += ["--metrics-address", f"127.0.0.1:{port}", "--log-level", self.log_level]
        return self.process(space, name, argv).start()

    # ---- egw -------------------------------------------------------------------------------------

    def all_ready(self):
        for process in (*self.controllers.values(), *self.agents.values()):
            if not process.running():
                raise RuntimeError(f"{process.name} has ended:\n{process.tail()}")
        try:
            found = self.api.list(objects.NODES)
        except (ApiError, OSError) as error:
            if isinstance(error, ApiError) and error.code < 429:
                raise
            return False  # it starts, and says "too many requests" for a while
        phases = {o["metadata"]["name"]: o.get("status", {}).get("phase") for o in found}
        wanted = {name: "Ready" for name in self.nodes}
        assert phases == wanted, f"phases of EgressNodes: {phases}"
        return True

    def phase(self, node):
        found = self.api.find(objects.NODES, node)
        return found and found.get("status", {}).get("phase")

    def leader(self):
        """The name of the controller that holds the lease; None when nobody does."""
        for lease in self.api.list("coordination.k8s.io/v1/leases", NAMESPACE):
            holder = lease["spec"].get("holderIdentity") or ""
            for name in self.controllers:
                if holder == name or holder.startswith(f"{name}_"):
                    return name
        return None

    def ctl(self, *arguments, check=True):
        """(exit status, output) of `egw ctl ...` as admin."""
        argv = [self.egw, "ctl", *arguments, "--kubeconfig", str(self.server.kubeconfig)]
        done = self.wires.control.call(
            subprocess.run, argv, text=True, capture_output=True, timeout=30
        )
        if check and done.returncode not in (0, 1):
            raise RuntimeError(
                f"egw ctl {' '.join(arguments)}: exit {done.returncode}: {done.stderr}"
            )
        return done.returncode, done.stdout + done.stderr

    def status(self):
        code, text = self.ctl("status", "-o", "json")
        return code, json.loads(text)

    def cleanup(self, node):
        """`egw agent cleanup` in a node whose agent is stopped."""
        return node.netns.run(self.egw, "agent", "cleanup")

    def metric(self, node, name):
        """The value of a metric without labels of a node's agent."""
        lines = self.metrics(node).splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))

    def metrics(self, node):
        import urllib.request

        read = (
            lambda: urllib.request.urlopen("http://127.0.0.1:9100/metrics", timeout=5)
            .read()
            .decode()
        )
        return node.netns.call(read)

    # ---- objects ---------------------------------------------------------------------------------

    def apply(self, *wanted):
        return [self.api.apply(obj) for obj in wanted]

    def delete(self, resource, name, namespace=None):
        self.api.delete(resource, name, namespace, missing_ok=True)

    def label_node(self, node, labels):
        self.api.patch("nodes", node, {"metadata": {"labels": labels}})

    def namespace(self, name, labels=None):
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": labels or {}},
            }
        )

    def add_pod(self, name, node="n1", labels=None, namespace="default", real=True, ips=None):
        pod = super().add_pod(name, node, labels, namespace, real, ips)
        self.kubelet.create_pod(namespace, name, node, pod.labels, [pod.ip4, pod.ip6])
        return pod

    def wire_pod(self, name, node="n1", labels=None, namespace="default"):
        """A pod that the API server has not heard of."""
        return super().add_pod(name, node, labels, namespace)

    def bind_pod(self, pod):
        """The API server tells its node of a wired pod, and knows no address of it."""
        pod.bound = self.kubelet.bind_pod(pod.namespace, pod.name, pod.node.name, pod.labels)

    def tell_addresses(self, pod):
        self.kubelet.run_bound_pod(pod.bound, [pod.ip4, pod.ip6])

    def remove_pod(self, pod):
        self.kubelet.delete_pod(pod.namespace, pod.name)
        super().remove_pod(pod)

    def await_source(self, pod, address, source, proto="udp", timeout=20.0):
        """Until a new flow of the pod to `address` shows `source` (None: no answer) at the
        server."""
        patience = 0.1 if source is None else 0.25

        def shows():
            seen = pod.seen(address, proto, patience)
            assert seen == source, f"the server saw {seen}"
            return True

        until(shows, f"{pod.name} -> {address} ({proto}) leaves as {source}", timeout)

    # ---- what can go wrong -----------------------------------------------------------------------

    def power_off(self, node):
        """The node is gone: cable dead, agent dead, kubelet silent, and Kubernetes knows at once
        (the real one needs 40 s to give up on a kubelet)."""
        node.cable(up=False)
        node.agent.kill()
        self.kubelet.stop_renewing(node.name)
        self.kubelet.set_ready(node.name, False)

    def power_on(self, node):
        node.cable(up=True)
        node.netns.wait_up("eth0")
        if not node.agent.running():
            node.agent.start()
        self.kubelet.resume_renewing(node.name)


__all__ = ["ApiError", "Cluster", "binary"]
