# SPDX-License-Identifier: Apache-2.0
"""One cluster for each kind of CNI for the whole session; every test leaves it as it found it."""

import itertools
import os
import re
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lab import kernel, objects  # noqa: E402
from lab.control import TOP, Cluster  # noqa: E402
from lab.netns import CommandError  # noqa: E402
from lab.wait import until  # noqa: E402

GATEWAY_NODES = ("n2", "n3")


def pytest_addoption(parser):
    parser.addoption(
        "--cni", action="append", choices=("calico", "flannel"), help="only this wiring (both)"
    )


def pytest_generate_tests(metafunc):
    if "cluster" in metafunc.fixturenames:
        kinds = metafunc.config.getoption("--cni") or ["calico", "flannel"]
        # With `-n 2 --dist loadgroup` each cluster has a process of its own.
        params = [pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in kinds]
        metafunc.parametrize("cluster", params, indirect=True, scope="session")


@pytest.fixture(scope="session")
def cluster(request):
    with Cluster(nodes=3, cni=request.param, quick_election=True) as made:
        for name in GATEWAY_NODES:
            made.label_node(name, objects.GATEWAY_LABEL)
        yield made


class Scene:
    """What one test builds in the cluster, with egress addresses that no other test used."""

    _numbers = itertools.count(1)

    def __init__(self, cluster):
        self.cluster = cluster
        self.number = next(Scene._numbers)
        self.names = itertools.count(1)
        self.pods = []

    def clear(self):
        """Takes away all policies and gateways, and the pods of this scene."""
        cluster = self.cluster
        for path in (objects.ALIASES, objects.POLICIES, objects.CLUSTER_POLICIES, objects.GATEWAYS):
            for obj in cluster.api.list(path):
                cluster.delete(path, obj["metadata"]["name"], obj["metadata"].get("namespace"))
        for pod in self.pods:
            if (pod.namespace, pod.name) in cluster.pods:
                cluster.remove_pod(pod)

    def eip(self, which=0):
        """The IPv4 and IPv6 egress address number `which` (0..9) of this test's pool."""
        at = 10 * self.number + which
        return f"10.6.{1 + at // 250}.{at % 250 + 1}", f"fd06::1:{at:x}"

    def gateway(self, name=None, size=1, **more):
        """A gateway on n2 and n3 with `size` egress addresses in both families; its name."""
        name = name or f"gw-{self.number}"
        low, high = self.eip(), self.eip(size - 1)
        self.cluster.apply(
            objects.gateway(name, [f"{low[0]}-{high[0]}"], [f"{low[1]}-{high[1]}"], **more)
        )
        until(
            lambda: objects.is_true(self.cluster.api.get(objects.GATEWAYS, name), "Ready"),
            f"gateway {name} Ready",
        )
        return name

    def pod(self, node="n1", labels=None, namespace="default", real=True):
        name = f"pod-{self.number}-{next(self.names)}"
        pod = self.cluster.add_pod(
            name, node, labels or {"test": f"t{self.number}"}, namespace, real
        )
        self.pods.append(pod)
        return pod

    def wired_pod(self, node="n1", labels=None, namespace="default"):
        """One with its wires, which is to be bound and told of by the test."""
        name = f"pod-{self.number}-{next(self.names)}"
        pod = self.cluster.wire_pod(
            name, node, labels or {"test": f"t{self.number}"}, namespace
        )
        self.pods.append(pod)
        return pod

    def policy(self, name=None, resource=None, wait=True, **spec):
        """Applies a policy for this test's pods (unless `pods` says others) and waits until it is
        Ready."""
        name = name or f"policy-{self.number}-{next(self.names)}"
        spec.setdefault("pods", {"test": f"t{self.number}"})
        wanted = objects.policy(name, **spec)
        self.cluster.apply(wanted)
        if wait:
            self.await_policy(wanted)
        return wanted

    def await_policy(self, wanted, timeout=20.0):
        path, meta = plural(wanted), wanted["metadata"]

        def ready():
            found = self.cluster.api.get(path, meta["name"], meta.get("namespace"))
            assert objects.is_true(found, "Ready"), found.get("status")
            return found

        return until(ready, f"{wanted['kind']} {meta['name']} Ready", timeout)

    def delete(self, obj):
        self.cluster.delete(plural(obj), obj["metadata"]["name"], obj["metadata"].get("namespace"))

    def await_eip(self, *pods, which=0, far=False):
        """Until flows of these pods leave by the egress address, in both families."""
        server = self.cluster.srv2 if far else self.cluster.srv
        for pod in pods:
            for target, eip in zip((server.ip4, server.ip6), self.eip(which)):
                self.cluster.await_source(pod, target, eip)

    def placed(self, gateway, which=0):
        """The node that the gateway's status places it on now; None: on none."""
        status = self.cluster.api.get(objects.GATEWAYS, gateway)
        return objects.placement(status).get(self.eip(which)[0])

    def holder(self, gateway, which=0):
        """The same, once there is one. A policy and its gateway are written side by side: for a
        moment the one is Ready and the other does not place the address yet."""
        return until(lambda: self.placed(gateway, which), f"address {which} is placed")


def plural(obj):
    return {
        "EgressPolicy": objects.ALIASES,
        "EgressGatewayPolicy": objects.POLICIES,
        "EgressClusterPolicy": objects.CLUSTER_POLICIES,
        "EgressGateway": objects.GATEWAYS,
    }[obj["kind"]]


def own_addresses(cluster):
    """Every EIP that stands in some kernel."""
    own = re.compile(r"^(10\.6\.[1-8]\.|fd06::1:)")
    return {
        a["local"]
        for node in cluster.nodes.values()
        for a in kernel.addresses(node)
        if own.match(a["local"])
    }


def own_connections(cluster):
    """Every connection that some kernel still translates to an EIP."""
    own = re.compile(r"dst=(10\.6\.[1-8]\.|fd06::1:)")
    return [
        f"{name}: {line}"
        for name, node in cluster.nodes.items()
        for line in kernel.conntrack(node)
        if own.search(line)
    ]


@pytest.fixture
def scene(cluster):
    made = Scene(cluster)
    yield made
    made.clear()
    until(cluster.all_ready, "every node Ready after the test", 30)
    until(lambda: not own_addresses(cluster), "no egress address left after the test", 30)

    def forgotten():
        left = own_connections(cluster)
        assert not left, left
        return True

    until(forgotten, "no connection is translated to an egress address after the test", 10)
    cluster.kubelet.check()


def write_objects(cluster, path):
    kinds = "nodes,pods,egw,egp,egresspolicies,egcp,egn,egep,egcep,egci,leases"
    said = cluster.server.kubectl(
        "get", kinds, "-A", "-o", "yaml", "--request-timeout=5s", check=False
    )
    with open(path, "w", encoding="utf-8") as file:
        file.write(said.stdout + said.stderr)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    cluster = getattr(item, "funcargs", {}).get("cluster")
    # When the cluster itself failed to end there is nothing left to be asked.
    if report.failed and cluster is not None and not cluster.stopped:
        target = os.path.join(TOP, "build", "lab-logs", re.sub(r"[^\w.-]+", "_", item.name))
        cluster.collect_logs(target)
        write_objects(cluster, os.path.join(target, "objects.yaml"))
        for node in cluster.nodes.values():
            with open(os.path.join(target, f"kernel-{node.name}.txt"), "w") as file:
                try:
                    for what, text in kernel.raw(node).items():
                        file.write(f"===== {what}\n{text}\n")
                except CommandError as error:  # the failure of the test must not be lost over it
                    file.write(str(error))
        report.sections.append(("lab", f"logs of all processes and kernels: {target}"))
