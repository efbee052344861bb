# SPDX-License-Identifier: Apache-2.0
"""A cluster in which a controller works: nodes whose agents are played, a gateway, and what must
hold for them at any time."""

import contextlib
import json

import pytest

from childprocess import wait_until
from controller_process import Controller
from faulty_proxy import FaultyProxy
from kubeapi import ApiError
from kubelet import Kubelet

GROUP = "egressgateway.spidernet.io/v1beta1"
POLICIES = ("egresspolicies", "egressclusterpolicies", "egressgatewaypolicies")
DECIDED = (*POLICIES, "egressgateways", "egressnodes", "egressclusterinfos",
           "egressendpointslices", "egressclusterendpointslices")


def tunnel_of(node):
    return node.get("status", {}).get("tunnel", {})


def condition(obj, kind):
    """"True", "False Reason", or None."""
    for c in (obj or {}).get("status", {}).get("conditions", []):
        if c["type"] == kind:
            return c["status"] if c["status"] == "True" else f"{c['status']} {c['reason']}"
    return None


def ids_of(gateway):
    status = gateway.get("status", {})
    held = [n.get("eips", []) for n in status.get("nodeList", [])]
    return [entry["id"] for entries in (*held, status.get("unplaced", [])) for entry in entries]


class Cluster:
    """Three nodes whose agents say that all is well, and a gateway."""

    def __init__(self, server, kubelet):
        self.server, self.api, self.kubelet = server, server.api, kubelet
        self.nodes = ["c-node1", "c-node2", "c-node3"]

    def set_up(self):
        for i, name in enumerate(self.nodes, 1):
            self.kubelet.register_node(name, [f"10.6.1.{i}"], [f"10.244.{i}.0/24"],
                                       {"egress": "true"})
            self.agent(name)
        self.create("EgressGateway", "eg1", {
            "ippools": {"ipv4": ["10.6.2.10-10.6.2.99"], "ipv6": ["fd00::10-fd00::99"]},
            "nodeSelector": {"selector": {"matchLabels": {"egress": "true"}}}})
        self.gateway_when(lambda g: condition(g, "Ready") == "True")

    def agent(self, node, ready="True", reason="Test"):
        found = self.api.wait_for(f"{GROUP}/egressnodes", node, timeout=10,
                                  condition=lambda n: n and tunnel_of(n).get("ipv4"))
        [address] = [a["address"] for a in self.api.get("nodes", node)["status"]["addresses"]
                     if a["type"] == "InternalIP"]
        self.api.apply({
            "apiVersion": GROUP, "kind": "EgressNode", "metadata": {"name": node},
            "status": {"tunnel": {"parent": {"name": "eth0", "ipv4": address}},
                       "conditions": [{"type": "DatapathReady", "status": ready, "reason": reason,
                                       "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
                                       "observedGeneration": found["metadata"]["generation"]}]}},
            manager="egw-agent", subresource="status")

    def create(self, kind, name, spec, namespace=None):
        meta = {"name": name, **({"namespace": namespace} if namespace else {})}
        return self.api.create({"apiVersion": GROUP, "kind": kind, "metadata": meta, "spec": spec})

    def policy(self, name, namespace="default", gateway="eg1", app="web", **spec):
        return self.create("EgressPolicy", name, {
            **({"egressGatewayName": gateway} if gateway else {}),
            "appliedTo": {"podSelector": {"matchLabels": {"app": app}}}, **spec}, namespace)

    def policy_when(self, name, what, namespace="default", timeout=10):
        return self.api.wait_for(f"{GROUP}/egresspolicies", name, namespace,
                                 lambda p: p is not None and what(p), timeout)

    def policy_ready(self, name, namespace="default", timeout=10):
        """Ready, and in its gateway's status too: both are written side by side."""
        policy = self.policy_when(name, lambda p: condition(p, "Ready") == "True", namespace,
                                  timeout)
        eip = policy["status"]["eip"]["id"]
        self.gateway_when(lambda g: eip in ids_of(g), policy["spec"]["egressGatewayName"])
        return policy

    def gateway_when(self, what, name="eg1", timeout=10):
        return self.api.wait_for(f"{GROUP}/egressgateways", name, None,
                                 lambda g: g is not None and what(g), timeout)

    def holders(self, name="eg1"):
        gateway = self.api.get(f"{GROUP}/egressgateways", name)
        return {e["id"]: node["name"] for node in gateway["status"]["nodeList"]
                for e in node.get("eips", [])}

    def list_when_possible(self, kind):
        """An API server that has just started says 429 until it has read what it keeps."""
        found = []

        def listed():
            try:
                found[:] = self.api.list(f"{GROUP}/{kind}")
            except ApiError as error:
                if error.code not in (429, 503):
                    raise
                return False
            return True
        wait_until(listed, 20, f"a list of {kind}", interval=0.2)
        return found

    # What must hold

    def decided(self):
        """All that controllers write, by kind and name: without what each write changes, and
        without the leader's term."""
        objects = {}
        for kind in DECIDED:
            for obj in self.list_when_possible(kind):
                meta = obj["metadata"]
                for name in ("resourceVersion", "managedFields"):
                    meta.pop(name)
                obj.get("status", {}).pop("term", None)
                objects[kind, meta.get("namespace"), meta["name"]] = obj
        return objects

    def check_settled(self):
        """When all is written, a fresh controller finds nothing to do but to write its term. It is
        the cluster's from then on."""
        wait_until(self.controller.leads, 30, "it leads")
        # A watch that failed for long is tried again only after a while, and that it failed is
        # perhaps not written yet.
        watching = [f"{GROUP}/egressclusterinfos", "default"]
        for _ in range(3):
            self.api.wait_for(*watching, timeout=60,
                              condition=lambda i: i and condition(i, "Watching") == "True")
            self.controller.await_quiet()
            if condition(self.api.get(*watching), "Watching") == "True":
                break
        assert self.controller.metric("egw_fruitless_writes_total") == 0
        before = self.decided()
        fresh = self.restart()
        fresh.await_quiet()
        after = self.decided()
        differs = {k: (before.get(k), after.get(k)) for k in {*before, *after}
                   if before.get(k) != after.get(k)}
        assert not differs, json.dumps({str(k): v for k, v in differs.items()}, indent=1)
        assert fresh.metric("egw_writes_total") == len(self.api.list(f"{GROUP}/egressgateways"))

    def restart(self):
        """A fresh controller in the place of the one that was, as that was started."""
        assert self.controller.process.stop() == 0
        self.controller = self.start("fresh")
        wait_until(self.controller.leads, 20, "the fresh one leads")
        return self.controller

    def await_policies_ready(self, timeout=40):
        """Every policy has an EIP that its gateway knows too, and slices that name exactly its
        pods."""
        last = []

        def ready():
            last[:] = [f"{p['metadata']['name']}: {p.get('status')}"
                       for kind in POLICIES for p in self.api.list(f"{GROUP}/{kind}")
                       if condition(p, "Ready") != "True"
                       or p["status"]["eip"]["id"] not in self.holders(
                           p["spec"]["egressGatewayName"])]
            return not last
        try:
            wait_until(ready, timeout, "every policy Ready", interval=0.1)
            wait_until(self._slices_right, timeout, "slices name the pods", interval=0.1)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; {last[:5]}; {self.controller.process.log_tail()}"
                               ) from None

    def _slices_right(self):
        pods = {}
        for pod in self.api.list("pods", "default"):
            pods.setdefault(pod["metadata"]["labels"].get("app"), set()).add(
                pod["metadata"]["name"])
        named = {}
        for piece in self.api.list(f"{GROUP}/egressendpointslices", "default"):
            [owner] = piece["metadata"]["ownerReferences"]
            named.setdefault(owner["name"], []).extend(e["pod"] for e in piece["endpoints"])
        policies = self.api.list(f"{GROUP}/egresspolicies", "default")
        selected = {p["metadata"]["name"]: pods.get(
            p["spec"]["appliedTo"]["podSelector"]["matchLabels"]["app"], set()) for p in policies}
        return ({name: sorted(names) for name, names in named.items()} ==
                {name: sorted(names) for name, names in selected.items() if names})

    def clean(self):
        self.clear((*POLICIES, "egressgateways", "egressnodes"))
        for node in self.nodes:
            self.kubelet.delete_node(node)

    def clear(self, kinds=POLICIES):
        """All of these kinds, and the pods, are gone."""
        for kind in kinds:
            for obj in self.list_when_possible(kind):
                meta = obj["metadata"]
                self.api.delete(f"{GROUP}/{kind}", meta["name"], meta.get("namespace"),
                                missing_ok=True)
        for pod in self.api.list("pods", "default"):
            self.kubelet.delete_pod("default", pod["metadata"]["name"])


@contextlib.contextmanager
def steady_cluster(server, path):
    """A Cluster whose controller reaches the API server through cluster.proxy, and is not deposed
    by what takes seconds."""
    election = ("--lease-duration=15s", "--renew-deadline=10s", "--retry-period=500ms")
    with FaultyProxy(server) as proxy, Kubelet(server.api, renew_seconds=0.5) as kubelet, \
            started_controllers(server, path) as start:
        made = Cluster(server, kubelet)
        made.proxy = proxy
        made.start = lambda name: start(name, proxy, election=election)
        made.controller = made.start("first")
        made.set_up()
        yield made
        made.clean()
        kubelet.check()


@pytest.fixture(scope="module")
def shared_cluster(server, tmp_path_factory):
    with steady_cluster(server, tmp_path_factory.mktemp("steady")) as made:
        yield made


@pytest.fixture
def steady(shared_cluster):
    """The module's steady_cluster(), without policies and pods."""
    if not shared_cluster.controller.process.running():  # a test failed
        shared_cluster.controller = shared_cluster.start("again")
    wait_until(shared_cluster.controller.leads, 20, "it leads")
    yield shared_cluster
    shared_cluster.clear()


@pytest.fixture(scope="module")
def server(api_server):
    api_server.install_egw()
    return api_server


@pytest.fixture
def start(server, tmp_path):
    """start(NAME, proxy=None, ...): a Controller with the account and the rights of its role; the
    rest is Controller's."""
    with started_controllers(server, tmp_path) as one:
        yield one


@contextlib.contextmanager
def started_controllers(server, path):
    started = []

    def one(name, proxy=None, **options):
        if proxy is not None:
            account = proxy.account("egw-system", "egw-controller")
        else:
            account = server.service_account_kubeconfig("egw-system", "egw-controller")
        folder = path / str(len(started))
        folder.mkdir()
        started.append(Controller(name, folder, f"--kubeconfig={account}", **options))
        return started[-1]
    yield one
    for controller in started:
        controller.process.stop()
        log = controller.log()
        # Its role allows all that it does, and it writes what the API server takes.
        assert "is invalid" not in log, log[-3000:]
        assert controller.restarted or "forbidden" not in log, log[-3000:]


@pytest.fixture
def cluster(server, kubelet, start):
    made = Cluster(server, kubelet)
    made.controller = start("first")
    made.set_up()
    yield made
    made.clean()
