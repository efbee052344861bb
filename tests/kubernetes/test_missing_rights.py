# SPDX-License-Identifier: Apache-2.0
"""A kind that the controller may not read, or that is not there: the rest works, a condition says
what is missing, and it comes back by itself."""

import contextlib

import pytest

from childprocess import wait_until
from egress_cluster import GROUP, condition
from faulty_proxy import busiest_second
from kubeapi import ApiError
from witness import Witness

ROLE = "rbac.authorization.k8s.io/v1/clusterroles"
RR = {"egressIP": {"allocatorPolicy": "rr"}}


@contextlib.contextmanager
def denied(cluster, group, resource):
    """The controller's role is without it; its streams end, which have their rights from before."""
    api = cluster.api
    account = cluster.server.service_account_kubeconfig("egw-system", "egw-controller")
    own, path = cluster.server.api_for(account), f"{group}/{resource}" if group else resource
    before = api.get(ROLE, "egw-controller")["rules"]

    def allows(allowed):
        try:
            own.list(path)
        except ApiError as error:
            return not allowed and error.code == 403
        return allowed

    def set_rules(rules, allowed):
        api.patch(ROLE, "egw-controller", {"rules": rules})
        wait_until(lambda: allows(allowed), 10, f"the role is in force ({resource}: {allowed})")

    without = [{**rule, "resources": [r for r in rule["resources"] if r != resource]}
               for rule in before]
    cluster.controller.restarted = True  # it is refused on purpose
    set_rules(without, False)
    try:
        cluster.proxy.cut_streams(f"/{resource}$")
        yield
    finally:
        set_rules(before, True)


def watching(cluster, what, timeout=20):
    """The message of EgressClusterInfo's condition when it is that."""
    info = cluster.api.wait_for(
        f"{GROUP}/egressclusterinfos", "default", timeout=timeout,
        condition=lambda i: condition(i, "Watching") == what)
    [message] = [c.get("message") for c in info["status"]["conditions"] if c["type"] == "Watching"]
    return message


def policy_gets_an_eip(cluster, name):
    cluster.policy(name, **RR)
    cluster.policy_when(name, lambda p: condition(p, "Ready") == "True")


@pytest.mark.parametrize("group, resource, kind", [
    ("", "pods", "Pod"), ("", "nodes", "Node"),
    (GROUP, "egressclusterpolicies", "EgressClusterPolicy")])
def test_a_kind_that_may_not_be_read(steady, group, resource, kind):
    cluster, api = steady, steady.api
    cluster.create("EgressClusterPolicy", "wide", {
        "egressGatewayName": "eg1", **RR,
        "appliedTo": {"podSelector": {"matchLabels": {"app": "wide"}}}})
    policy_gets_an_eip(cluster, "before")
    cluster.kubelet.create_pod("default", "pod-1", "c-node1", {"app": "web"}, ["10.244.1.5"])
    cluster.await_policies_ready()
    with Witness(api) as witness:
        with denied(cluster, group, resource):
            message = watching(cluster, "False Refused")
            assert f"{kind}: " in message and f'cannot watch resource "{resource}"' in message
            assert "rbac.yaml" in message
            before = cluster.holders()
            policy_gets_an_eip(cluster, "during")
            cluster.policy("nowhere", gateway="missing")
            cluster.policy_when("nowhere",
                                lambda p: condition(p, "Accepted") == "False GatewayNotFound")
            api.delete(f"{GROUP}/egresspolicies", "nowhere", "default")
            metrics = cluster.controller.get("/metrics")[1]
            assert f'egw_watch_up{{kind="{kind}"}} 0\n' in metrics
            # A new leader has never seen that kind: what there is, it leaves.
            cluster.controller.await_quiet()
            slices = [(p["metadata"]["name"], p["endpoints"])
                      for p in api.list(f"{GROUP}/egressendpointslices", "default")]
            assert slices and cluster.restart().ready()
            cluster.controller.restarted = True
            assert f"{kind}: " in watching(cluster, "False Refused")
            cluster.controller.await_quiet()
            assert before.items() <= cluster.holders().items()
            assert slices == [(p["metadata"]["name"], p["endpoints"])
                              for p in api.list(f"{GROUP}/egressendpointslices", "default")]
            api.delete(f"{GROUP}/egressclusterpolicies", "wide")
            cluster.kubelet.create_pod("default", "pod-2", "c-node2", {"app": "web"},
                                       ["10.244.2.5"])
        watching(cluster, "True")
        cluster.await_policies_ready()
        # What happened meanwhile is seen: the EIP of the policy that was deleted is free.
        cluster.gateway_when(lambda g: sum(len(n.get("eips", [])) for n in
                                           g["status"]["nodeList"]) == 2)
        asked = cluster.proxy.requests(f"/{resource}$", ("watch", "list"))
        assert busiest_second(asked) <= 10
        cluster.check_settled()
        witness.check()


def test_a_kind_that_is_not_there_yet(steady):
    cluster, api = steady, steady.api
    name = "egressgatewaypolicies.egressgateway.spidernet.io"
    definitions = "apiextensions.k8s.io/v1/customresourcedefinitions"
    policy_gets_an_eip(cluster, "before")
    before = cluster.holders()
    try:
        api.delete(definitions, name)
        api.wait_for(definitions, name, condition=lambda d: d is None)
        assert "EgressGatewayPolicy: " in watching(cluster, "False Refused")
        cluster.restart()
        message = watching(cluster, "False Refused")
        assert "EgressGatewayPolicy: " in message and "manifests/crds" in message
        policy_gets_an_eip(cluster, "during")
        assert before.items() <= cluster.holders().items()
    finally:
        cluster.server.install_egw()
    watching(cluster, "True", timeout=40)
    cluster.create("EgressGatewayPolicy", "late", {
        "egressGatewayName": "eg1", **RR,
        "appliedTo": {"podSelector": {"matchLabels": {"app": "web"}}}}, "default")
    api.wait_for(f"{GROUP}/egressgatewaypolicies", "late", "default",
                 lambda p: condition(p, "Ready") == "True")
    cluster.check_settled()
