# SPDX-License-Identifier: Apache-2.0
"""Random changes by other people, made directly at the API server while the controller has trouble
with it; and what must be left of them in the end."""

import random
import time

from egress_cluster import GROUP, tunnel_of

_APPS = ("web", "shop", "mail")
_MOST = 20  # policies and pods each


class Changes:
    """No node is lost and no pool gets smaller: an EIP that a policy has, it keeps."""

    def __init__(self, cluster, seed):
        self._cluster, self._random = cluster, random.Random(seed)
        self._count = 0
        self._policies, self._pods = [], []
        self._own = [f"10.6.2.{n}" for n in range(60, 100)]  # asked for by name
        self._said = {}  # by the agents: reasons by node
        self._default = cluster.api.get(f"{GROUP}/egressgateways", "eg1")["spec"]["clusterDefault"]

    def run(self, seconds, pause=0.05, between=lambda: None):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.step()
            between()
            time.sleep(pause)  # the pace of the changes

    def step(self):
        step = self._random.choice(
            [self._policy] * 4 + [self._no_policy] * 2 + [self._pod] * 4 + [self._no_pod] * 2
            + [self._agent_says, self._gateway])
        step()

    def check_kept(self):
        """Nothing of what others wrote was overwritten."""
        api = self._cluster.api
        gateway = api.get(f"{GROUP}/egressgateways", "eg1")
        assert gateway["spec"]["clusterDefault"] == self._default
        assert {c["observedGeneration"] for c in gateway["status"]["conditions"]} == {
            gateway["metadata"]["generation"]}
        for node, reason in self._said.items():
            status = api.get(f"{GROUP}/egressnodes", node)["status"]
            [said] = [c["reason"] for c in status["conditions"] if c["type"] == "DatapathReady"]
            assert said == reason and tunnel_of({"status": status})["parent"]["name"] == "eth0"
        left = api.list(f"{GROUP}/egresspolicies", "default")
        assert {p["metadata"]["name"] for p in left} == {name for name, _ in self._policies}

    def _name(self, what):
        self._count += 1
        return f"{what}-{self._count}"

    def _policy(self):
        if len(self._policies) >= _MOST:
            return self._no_policy()
        eip, how = {}, self._random.choice(("rr", "rr", "default", "own"))
        own = self._random.choice(self._own) if how == "own" else None
        if own:
            self._own.remove(own)
            eip = {"egressIP": {"ipv4": own}}
        elif how == "rr":
            eip = {"egressIP": {"allocatorPolicy": "rr"}}
        name = self._name("policy")
        self._cluster.policy(name, app=self._random.choice(_APPS), **eip)
        self._policies.append((name, own))

    def _no_policy(self):
        if self._policies:
            name, own = self._policies.pop(self._random.randrange(len(self._policies)))
            self._cluster.api.delete(f"{GROUP}/egresspolicies", name, "default")
            if own:
                self._own.append(own)

    def _pod(self):
        if len(self._pods) >= _MOST:
            return self._no_pod()
        name = self._name("pod")
        number = self._random.randrange(3)
        self._cluster.kubelet.create_pod(
            "default", name, self._cluster.nodes[number], {"app": self._random.choice(_APPS)},
            [f"10.244.{number + 1}.{self._count % 250 + 1}"])
        self._pods.append(name)

    def _no_pod(self):
        if self._pods:
            name = self._pods.pop(self._random.randrange(len(self._pods)))
            self._cluster.kubelet.delete_pod("default", name)

    def _agent_says(self):
        node = self._random.choice(self._cluster.nodes)
        self._said[node] = self._name("Test").replace("-", "")
        self._cluster.agent(node, reason=self._said[node])

    def _gateway(self):
        self._default = not self._default
        self._cluster.api.patch(f"{GROUP}/egressgateways", "eg1",
                                {"spec": {"clusterDefault": self._default}})
