# SPDX-License-Identifier: Apache-2.0
"""What stands in the kernels is a function of the objects, not of what happened before."""

import os
import random
import time

from lab import kernel, objects
from lab.control import Cluster
from lab.wait import until


def kernels(cluster):
    return {name: kernel.portable(kernel.snapshot(node)) for name, node in cluster.nodes.items()}


def settled(cluster, quiet=1.0, timeout=30.0):
    """The kernels' states once nothing has changed in any for `quiet` seconds."""
    until(cluster.all_ready, "every node Ready", 30)
    last, since, end = kernels(cluster), time.monotonic(), time.monotonic() + timeout
    while time.monotonic() - since < quiet:
        if (now := kernels(cluster)) != last:
            last, since = now, time.monotonic()
        assert time.monotonic() < end, "the kernels do not come to rest"
    return last


def await_kernels(cluster, wanted, what):
    """Until every kernel is as in `wanted`; the error shows each difference."""

    def equal():
        now = kernels(cluster)
        lines = [
            f"{name}{line}"
            for name in cluster.nodes
            for line in kernel.difference(wanted[name], now[name])
        ]
        assert not lines, f"{len(lines)} differences\n" + "\n".join(
            line[:300] for line in lines[:20]
        )
        return True

    until(equal, what, 15, 0.1)


def await_policies(cluster):
    def ready():
        for path in (objects.ALIASES, objects.CLUSTER_POLICIES):
            for obj in cluster.api.list(path):
                assert objects.is_true(obj, "Ready"), obj
        return True

    until(ready, "every policy Ready", 30)


class Changes:
    """A random series: policies, pods and labels come and go, gateway nodes too. The seed is in
    the error."""

    def __init__(self, cluster, scene, seed, gateway):
        self.cluster, self.scene, self.gateway = cluster, scene, gateway
        self.random = random.Random(seed)
        self.policies, self.pods = {}, []
        self.count = 0

    def step(self):
        self.random.choice(
            [
                self.add_policy,
                self.add_policy,
                self.drop_policy,
                self.add_pod,
                self.add_pod,
                self.drop_pod,
                self.relabel,
                self.turn_gateway_node,
            ]
        )()

    def labels(self):
        return {"random": str(self.random.randrange(4))}

    def add_policy(self):
        self.count += 1
        four, six = self.scene.eip(self.random.randrange(5))
        kind = self.random.choice(["EgressPolicy", "EgressClusterPolicy"])
        ranges = self.random.choice(
            [
                [],
                [f"{self.cluster.srv.ip4}/32", f"{self.cluster.srv.ip6}/128"],
                ["192.0.2.0/24", "198.51.100.0/25", "2001:db8::/32"],
            ]
        )
        made = objects.policy(
            f"random-{self.count}",
            gateway=self.gateway,
            pods=self.labels(),
            kind=kind,
            destinations=ranges,
            ipv4=four,
            ipv6=six,
            priority=self.random.randrange(100, 1000),
        )
        self.cluster.apply(made)
        self.policies[self.count] = made

    def drop_policy(self):
        if self.policies:
            self.scene.delete(self.policies.pop(self.random.choice(sorted(self.policies))))

    def add_pod(self):
        node = self.random.choice(sorted(self.cluster.nodes))
        self.pods.append(self.scene.pod(node, self.labels(), real=False))

    def drop_pod(self):
        if self.pods:
            self.cluster.remove_pod(self.pods.pop(self.random.randrange(len(self.pods))))

    def relabel(self):
        if self.pods:
            pod = self.random.choice(self.pods)
            self.cluster.api.patch(
                "pods", pod.name, {"metadata": {"labels": self.labels()}}, pod.namespace
            )

    def turn_gateway_node(self):
        node = self.random.choice(["n2", "n3"])
        value = self.random.choice(["true", None])
        other = "n3" if node == "n2" else "n2"
        self.cluster.label_node(node, {"egress": value})
        if value is None:  # one always stays
            self.cluster.label_node(other, {"egress": "true"})


def test_random_changes_end_where_a_fresh_start_ends(cluster, scene):
    seed = int(os.environ.get("EGW_SEED", "1"))
    gateway = scene.gateway(size=5)
    changes = Changes(cluster, scene, seed, gateway)
    try:
        for _ in range(60):
            changes.step()
        changes.add_policy()
        changes.add_pod()
    finally:
        for name in ("n2", "n3"):
            cluster.label_node(name, {"egress": "true"})
    await_policies(cluster)
    grown = settled(cluster)
    for node in cluster.nodes.values():
        node.agent.stop()
        cluster.cleanup(node)
        node.agent.start()
    await_kernels(cluster, grown, f"a fresh start ends where the changes of seed {seed} ended")


def test_restart_changes_nothing_that_is_right(cluster, scene):
    gateway, pod = scene.gateway(), scene.pod("n1")
    scene.policy(gateway=gateway)
    scene.await_eip(pod)
    handles = {}

    def tables(node):
        return node.netns.run("nft", "-a", "-s", "list", "table", "ip", "egw")

    settled(cluster)
    for name, node in cluster.nodes.items():
        handles[name] = tables(node)
        node.agent.restart()
    settled(cluster)
    for name, node in cluster.nodes.items():
        assert tables(node) == handles[name], "rules keep their handles: none was made anew"


def test_cleanup_leaves_every_byte_as_it_was(request):
    """On a cluster of its own, because only there is a time before the first start."""
    kind = (request.config.getoption("--cni") or ["calico"])[0]
    with Cluster(nodes=2, cni=kind, start_egw=False) as cluster:
        pod = cluster.add_pod("web", "n1", {"app": "web"})
        cluster.label_node("n2", objects.GATEWAY_LABEL)
        before = {name: kernel.raw(node) for name, node in cluster.nodes.items()}
        cluster.start_egw()
        cluster.apply(objects.gateway("gw", ["10.6.1.55"], ["fd06::1:55"]))
        cluster.apply(objects.policy("web", gateway="gw", pods={"app": "web"}))
        cluster.await_source(pod, cluster.srv.ip4, "10.6.1.55")
        cluster.await_source(pod, cluster.srv.ip6, "fd06::1:55")
        for node in cluster.nodes.values():
            assert node.agent.stop() == 0, "SIGTERM is a clean end"
        assert pod.seen(cluster.srv.ip4) == "10.6.1.55", "the datapath stands without its agent"
        for name, node in cluster.nodes.items():
            assert "egw" in kernel.raw(node)["nft"]
            cluster.cleanup(node)
            cluster.cleanup(node)  # nothing left to do is no error
            assert kernel.raw(node) == before[name], name
        assert pod.seen(cluster.srv.ip4) == cluster.node("n1").ip4
