# SPDX-License-Identifier: Apache-2.0
"""Where the acceptance cases run: an API server with egw's webhook in it, a controller with the
rights of its role, four nodes with played agents, and objects that every test makes anew."""

import itertools

import pytest

from childprocess import wait_until
from cluster import ApiServer
from egress_cluster import GROUP, Cluster, condition, ids_of
from kubeapi import ApiError
from kubelet import Kubelet
from webhook_objects import Webhook

GATEWAYS, NODES = f"{GROUP}/egressgateways", f"{GROUP}/egressnodes"
POLICIES, CLUSTER_POLICIES = f"{GROUP}/egresspolicies", f"{GROUP}/egressclusterpolicies"
SLICES, CLUSTER_SLICES = f"{GROUP}/egressendpointslices", f"{GROUP}/egressclusterendpointslices"
INFOS = f"{GROUP}/egressclusterinfos"
KINDS = {"EgressGateway": GATEWAYS, "EgressPolicy": POLICIES,
         "EgressClusterPolicy": CLUSTER_POLICIES,
         "EgressGatewayPolicy": f"{GROUP}/egressgatewaypolicies", "EgressClusterInfo": INFOS}
ALL_POLICIES = ("EgressPolicy", "EgressClusterPolicy", "EgressGatewayPolicy")


class Scene(Cluster):
    """One test's objects; names and pools are its own."""

    numbers = itertools.count(1)

    def __init__(self, server, kubelet, controller):
        super().__init__(server, kubelet)
        self.nodes = ["a-node1", "a-node2", "a-node3", "a-node4"]
        self.controller = controller
        self.begin()

    def begin(self):
        self.number = next(self.numbers)
        self.names = itertools.count(1)
        self.space = f"space-{self.number}"
        self.namespace(self.space)

    def set_up(self):
        for i, name in enumerate(self.nodes, 1):
            labels = {"egress": "true"} if i < 4 else {}
            self.kubelet.register_node(name, [f"10.5.1.{i}"], [f"10.244.{i}.0/24"], labels)
            self.agent(name)

    def namespace(self, name, labels=None, annotations=None):
        self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": name, "labels": labels or {}, "annotations": annotations or {}}})

    # Addresses of this test

    def four(self, last):
        return f"10.6.{self.number}.{last}"

    def six(self, last):
        return f"fd06:{self.number:x}::{last:x}"

    def gateway_spec(self, ipv4=None, ipv6=None, selector=None, **more):
        pools = dict(more.pop("pools", {}))
        if ipv4 is not None:
            pools["ipv4"] = ipv4
        if ipv6 is not None:
            pools["ipv6"] = ipv6
        return {"ippools": pools, **more, "nodeSelector": {
            "selector": {"matchLabels": {"egress": "true"}} if selector is None else selector}}

    def gateway(self, ipv4=None, ipv6=None, name=None, ready=True, **more):
        """Made; returns its name."""
        name = name or f"gw-{self.number}-{next(self.names)}"
        self.create("EgressGateway", name, self.gateway_spec(ipv4, ipv6, **more))
        if ready:
            self.gateway_when(lambda g: condition(g, "Ready") == "True", name)
        return name

    def get_gateway(self, name):
        return self.api.get(GATEWAYS, name)

    def delete_gateway(self, name):
        self.api.delete(GATEWAYS, name)

    def edit(self, kind, name, change, namespace=None):
        """A read, a change of the spec and a write, as `kubectl edit` does; again when somebody
        wrote between."""
        while True:
            obj = self.api.get(KINDS[kind], name, namespace)
            change(obj["spec"])
            try:
                return self.api.replace(obj)
            except ApiError as error:
                if error.code != 409:
                    raise

    def make_policy(self, gateway, app="web", kind="EgressPolicy", name=None, space=None,
                    applied=None, **spec):
        name = name or f"p-{self.number}-{next(self.names)}"
        spec = {"appliedTo": applied or {"podSelector": {"matchLabels": {"app": app}}}, **spec}
        if gateway is not None:
            spec["egressGatewayName"] = gateway
        self.create(kind, name, spec, None if kind == "EgressClusterPolicy" else
                    space or self.space)
        return name

    def ready_policy(self, *arguments, kind="EgressPolicy", space=None, **spec):
        """Made, Ready, and in its gateway's status too; returns it."""
        name = self.make_policy(*arguments, kind=kind, space=space, **spec)
        policy = self.when(name, lambda p: condition(p, "Ready") == "True", kind, space)
        eip = policy["status"]["eip"]["id"]
        self.gateway_when(lambda g: eip in ids_of(g), policy["spec"]["egressGatewayName"])
        return policy

    def when(self, name, what, kind="EgressPolicy", space=None, timeout=10):
        namespace = None if kind == "EgressClusterPolicy" else space or self.space
        return self.api.wait_for(KINDS[kind], name, namespace,
                                 lambda p: p is not None and what(p), timeout)

    def pod(self, node="a-node1", app="web", space=None, **more):
        name = f"pod-{self.number}-{next(self.names)}"
        octet = next(self.names)
        ips = more.pop("ips", [f"10.244.{node[-1]}.{octet}", f"fd44:0:0:{node[-1]}::{octet:x}"])
        self.kubelet.create_pod(space or self.space, name, node, {"app": app}, ips, **more)
        return name

    def endpoints(self, policy, space=None, cluster=False):
        """Pods that the policy's slices name, in order."""
        pieces = self.api.list(CLUSTER_SLICES if cluster else SLICES,
                               None if cluster else space or self.space)
        return sorted(e["pod"] for piece in pieces for e in piece["endpoints"]
                      if piece["metadata"]["ownerReferences"][0]["name"] == policy)

    def await_endpoints(self, policy, wanted, **where):
        wait_until(lambda: self.endpoints(policy, **where) == sorted(wanted), 10,
                   f"{policy} has the endpoints {sorted(wanted)}", interval=0.05)

    def refusal(self, *arguments, **more):
        """The message with which `self.<first argument>` is refused."""
        method = getattr(self, arguments[0])
        with pytest.raises(ApiError) as told:
            method(*arguments[1:], **more)
        return told.value.message

    def eips(self, gateway):
        """{(ipv4, ipv6): node or None}"""
        status = self.get_gateway(gateway)["status"]
        found = {(e.get("ipv4", ""), e.get("ipv6", "")): n["name"]
                 for n in status.get("nodeList", []) for e in n.get("eips", [])}
        found.update({(e.get("ipv4", ""), e.get("ipv6", "")): None
                      for e in status.get("unplaced", [])})
        return found

    def end(self):
        """Policies first: a gateway in use can't be deleted."""
        for kind in (*ALL_POLICIES, "EgressGateway"):
            for obj in self.api.list(KINDS[kind]):
                meta = obj["metadata"]
                self.api.delete(KINDS[kind], meta["name"], meta.get("namespace"), missing_ok=True)
        for pod in self.api.list("pods", self.space):
            self.kubelet.delete_pod(self.space, pod["metadata"]["name"])
        for node in self.nodes:
            self.kubelet.set_ready(node, True)
            self.agent(node)


@pytest.fixture(scope="session")
def accepted(tmp_path_factory):
    directory = tmp_path_factory.mktemp("acceptance")
    with ApiServer(directory, controller_manager=True) as server, \
            Kubelet(server.api, renew_seconds=0.5) as kubelet:
        server.install_egw()
        webhook = Webhook(server, directory)
        controller = webhook.start()
        wait_until(lambda: controller.get("/readyz")[0] == 200, 20, "the controller is ready")
        webhook.point_to(controller)
        webhook.await_asked(controller)
        made = Scene(server, kubelet, controller)
        made.set_up()
        yield made
        kubelet.check()
        log = controller.log()
        assert "is invalid" not in log and "forbidden" not in log, log[-3000:]
        assert controller.metric("egw_fruitless_writes_total") == 0
        controller.process.stop()


@pytest.fixture
def scene(accepted):
    accepted.begin()
    yield accepted
    accepted.end()
