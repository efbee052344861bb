# SPDX-License-Identifier: Apache-2.0
"""egw's manifests in a real Kubernetes, and where the traffic of its pods then leaves."""

import contextlib
import itertools
import json
import time

import pytest

from checks import (
    EIP,
    GATEWAY_NODES,
    await_eip,
    await_forgotten,
    check_eip,
    check_node_address,
    check_source,
    spread,
    targets,
)
from lab import objects
from lab.wait import until
from real_cluster import EGW_PARTS
from workload import ANSWERS, PROTOS, SERVICE


@pytest.fixture(autouse=True)
def nothing_of_egw_crashed(cluster):
    yield
    for obj in cluster.api.list("pods", "egw-system"):
        for status in obj["status"].get("containerStatuses", []):
            assert status["restartCount"] == 0, (obj["metadata"]["name"], status["lastState"])


def test_controllers_and_agents_are_ready(cluster):
    get = cluster.api.get
    deployment = get("apps/v1/deployments", "egw-controller", "egw-system")["status"]
    assert deployment["readyReplicas"] == deployment["replicas"] == 2
    agents = get("apps/v1/daemonsets", "egw-agent", "egw-system")["status"]
    assert agents["numberReady"] == agents["desiredNumberScheduled"] == 3

    def told():
        arguments = "-n egw-system exec deploy/egw-controller -- /egw ctl status -o json".split()
        status = json.loads(cluster.server.kubectl(*arguments))
        assert status["ok"], status
        return status

    until(told, "all is well", 20, 0.2)


def test_pods_without_a_policy_leave_by_their_node(cluster, billing, other):
    for pod in spread(other):
        check_node_address(cluster, pod)


def test_selected_pods_leave_by_the_eip(cluster, billing):
    for pod in spread(billing):
        check_eip(cluster, pod)
    assert cluster.srv.foreign(EIP) == []


def test_traffic_inside_the_cluster_keeps_its_addresses(cluster, billing, other):
    """From selected pods to pods, Services and the API server."""
    there = [(address, ANSWERS) for pod in spread(other) for address in pod.addresses]
    there += [(address, SERVICE) for address in other.service]
    for pod in spread(billing):
        for (address, port), proto in itertools.product(there, PROTOS):
            # kube-proxy may be a second behind a Service's pods.
            found = until(
                lambda: pod.answered_by(address, proto, port),
                f"an answer to {pod.name} from {address} port {port} ({proto})",
            )
            assert found.name.startswith("other-") and found.source == pod.address(address), found
        api = cluster.api.get("services", "kubernetes", "default")["spec"]["clusterIP"]
        pod.flow(api, "tcp", 443).close()
    assert cluster.srv.seen() == []
    holders = objects.placement(cluster.api.get(objects.GATEWAYS, "partners"))
    assert holders[EIP[0]] == holders[EIP[1]] in GATEWAY_NODES


class Watcher:
    """Asks pods again and again, and takes no answer but the EIP for one."""

    def __init__(self, cluster, workload):
        self.cluster, self.workload = cluster, workload
        self.pods = {}

    def turn(self):
        """Every pod that there is, in both families by both protocols. A pod that is new is waited
        for; one that ends while it is asked may leave the question open."""
        for pod in self.workload.pods():
            if pod.name not in self.pods:
                await_eip(self.cluster, pod)
                self.pods[pod.name] = pod
            for address, proto, eip in targets(self.cluster):
                try:
                    check_source(self.cluster, pod, address, proto, eip)
                except AssertionError:
                    if pod.name in {p.name for p in self.workload.pods()}:
                        raise
                    break


def rolled_out(cluster, what, namespace):
    """Whether all of a Deployment's or DaemonSet's pods are new and ready."""
    kind, name = what.split("/")
    obj = cluster.api.get(f"apps/v1/{kind}s", name, namespace)
    status = obj["status"]
    if status.get("observedGeneration") != obj["metadata"]["generation"]:
        return False
    if kind == "daemonset":
        wanted = status["desiredNumberScheduled"]
        counts = ("updatedNumberScheduled", "numberAvailable")
    else:
        wanted = obj["spec"]["replicas"]
        counts = ("replicas", "updatedReplicas", "availableReplicas")
    return all(status.get(count) == wanted for count in counts)


def restart(cluster, what, namespace, meanwhile, timeout=60):
    """A rollout restart of all pods; `meanwhile` is called again and again until it is done."""
    cluster.server.kubectl("-n", namespace, "rollout", "restart", what)
    end = time.monotonic() + timeout
    while not rolled_out(cluster, what, namespace):
        meanwhile()
        assert time.monotonic() < end, f"{what} not rolled out within {timeout} s"
    meanwhile()


def test_a_rollout_of_the_pods_keeps_the_eip(cluster, billing):
    old = spread(billing)
    watcher = Watcher(cluster, billing)
    restart(cluster, "deployment/billing", "default", watcher.turn)
    new = spread(billing)
    assert not {a for p in old for a in p.addresses} & {a for p in new for a in p.addresses}
    assert {p.name for p in old + new} <= set(watcher.pods)
    assert cluster.srv.foreign(EIP) == [], "every packet of old and new pods"


@contextlib.contextmanager
def flows_that_last(cluster, billing):
    """Connections of all pods. Yields a function that asks them, and each pod anew; at the end
    nobody but the EIP was seen."""
    watcher = Watcher(cluster, billing)
    with contextlib.ExitStack() as stack:
        flows = [
            (stack.enter_context(pod.flow(address, proto)), eip)
            for pod in spread(billing)
            for address, proto, eip in targets(cluster)
        ]

        def ask():
            watcher.turn()
            for flow, eip in flows:
                assert flow.source() == eip

        yield ask
        ask()
    assert cluster.srv.foreign(EIP) == []


@pytest.mark.parametrize("what", EGW_PARTS)
def test_a_restart_of_egw_changes_nothing(cluster, billing, what):
    def pods():
        found = [obj["metadata"] for obj in cluster.api.list("pods", "egw-system")]
        return {metadata["uid"] for metadata in found if "deletionTimestamp" not in metadata}

    before = pods()
    with flows_that_last(cluster, billing) as ask:
        restart(cluster, what, "egw-system", ask)
    assert len(before - pods()) == (2 if what.endswith("controller") else 3)


@pytest.mark.parametrize("what", ["kubelet", "kube-proxy", "flanneld"])
def test_a_restart_of_kubernetes_changes_nothing(cluster, billing, what):
    with flows_that_last(cluster, billing) as ask:
        for node in cluster.nodes.values():
            node.restart(what)
            ask()
        end = time.monotonic() + 3  # what they do after a start takes them a second or two
        while time.monotonic() < end:
            ask()


def test_without_the_policy_they_leave_by_their_node_again(cluster, billing):
    cluster.api.delete(objects.ALIASES, "billing", "default")
    for pod in spread(billing):
        for address, proto, _ in targets(cluster):
            until(
                lambda: pod.seen(address, proto, 0.5) == pod.node.address(address),
                f"{proto} of {pod.name} to {address} leaves by {pod.node.name}",
            )
        await_forgotten(pod)
        check_node_address(cluster, pod)
