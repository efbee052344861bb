# SPDX-License-Identifier: Apache-2.0
"""Which address a policy may leave with, besides a default or named EIP: one in turn, the gateway
node's own; and where it is said so, none at all."""

import pytest

from lab import objects
from lab.wait import until
from test_sentences import PROTOCOLS, check


def status(cluster, policy):
    meta = policy["metadata"]
    return cluster.api.get(objects.ALIASES, meta["name"], meta["namespace"])["status"]


def test_policies_take_addresses_in_turn(cluster, scene):
    gateway = scene.gateway(size=2)
    pods = [scene.pod("n1", {"test": f"turn-{scene.number}-{i}"}) for i in range(3)]
    in_turn = {"allocatorPolicy": "rr"}
    made = [scene.policy(gateway=gateway, pods=pod.labels, egressIP=in_turn) for pod in pods]
    given = [(s["ipv4"], s["ipv6"]) for s in (status(cluster, p)["eip"] for p in made)]
    assert set(given[:2]) == {scene.eip(0), scene.eip(1)}, "each its own while there is one"
    assert given[2] in given[:2], "then the least used"
    for pod, eip in zip(pods, given):
        for address, wanted in zip((cluster.srv.ip4, cluster.srv.ip6), eip):
            cluster.await_source(pod, address, wanted)
        check(pod, cluster.srv, *eip)


def test_the_gateway_nodes_own_address(cluster, scene):
    """From a pod beside the gateway and from pods on both gateway nodes: the holder's address,
    also after the holder is lost."""
    name = f"gw-{scene.number}"
    cluster.apply(objects.gateway(name))
    pods = [scene.pod(node) for node in cluster.nodes]
    policy = scene.policy(gateway=name, egressIP={"useNodeIP": True})

    def await_holder():
        holder = cluster.node(status(cluster, policy)["node"])
        for pod in pods:
            if pod.node.name in cluster.nodes:
                cluster.await_source(pod, cluster.srv.ip4, holder.ip4)
                cluster.await_source(pod, cluster.srv.ip6, holder.ip6)
                check(pod, cluster.srv, holder.ip4, holder.ip6)
        return holder

    holder = await_holder()
    assert holder.name in ("n2", "n3")
    assert not status(cluster, policy).get("eip", {}).get("ipv4")
    # Others reach the node as ever: its address is no EIP.
    stranger = scene.pod("n1", {"test": "stranger"})
    check(stranger, cluster.srv, cluster.node("n1").ip4, cluster.node("n1").ip6)
    cluster.power_off(holder)
    try:
        until(lambda: status(cluster, policy).get("node") not in (None, "", holder.name), "moved")
        pods = [pod for pod in pods if pod.node.name != holder.name]
        assert await_holder().name != holder.name
    finally:
        cluster.power_on(holder)


def test_bypass_opens_without_a_gateway_and_closes_again(cluster, scene):
    gateway = scene.gateway(whenNoGateway="Bypass")
    pod, home = scene.pod("n1"), cluster.node("n1")
    scene.policy(gateway=gateway)
    scene.await_eip(pod)
    for name in ("n2", "n3"):
        cluster.power_off(cluster.node(name))
    try:
        cluster.await_source(pod, cluster.srv.ip4, home.ip4)
        cluster.await_source(pod, cluster.srv.ip6, home.ip6)
        check(pod, cluster.srv, home.ip4, home.ip6)
    finally:
        for name in ("n2", "n3"):
            cluster.power_on(cluster.node(name))
    scene.await_eip(pod)
    cluster.srv.clear()
    check(pod, cluster.srv, *scene.eip())
    assert cluster.srv.foreign(scene.eip()) == []


@pytest.mark.parametrize("served", ["ipv4", "ipv6"])
@pytest.mark.parametrize("allow", [True, False])
def test_a_family_without_an_eip(cluster, scene, allow, served):
    pod, home, srv = scene.pod("n1"), cluster.node("n1"), cluster.srv
    pair = scene.eip()
    name, more = f"gw-{scene.number}", {"unservedFamily": "Allow"} if allow else {}
    cluster.apply(objects.gateway(name, **{served: pair[served == "ipv6":][:1]}, **more))
    scene.policy(gateway=name)
    wanted = [home.ip4 if allow else None, home.ip6 if allow else None]
    wanted[served == "ipv6"] = pair[served == "ipv6"]
    for address, source in zip((srv.ip4, srv.ip6), wanted):
        cluster.await_source(pod, address, source)
        for proto in PROTOCOLS if source else ():
            assert pod.seen(address, proto) == source


def test_pods_by_subnet_and_destinations_left_out(cluster, scene):
    gateway, srv, home = scene.gateway(), cluster.srv, cluster.node("n1")
    chosen, other = scene.pod("n1", {"test": "x"}), scene.pod("n1", {"test": "x"})
    wanted = objects.policy(f"policy-{scene.number}", gateway=gateway)
    wanted["spec"]["appliedTo"] = {"podSubnet": [f"{chosen.ip4}/32"]}
    wanted["spec"]["excludedSubnet"] = [srv.addresses[1], srv.addresses[3]]
    cluster.apply(wanted)
    scene.await_policy(wanted)
    scene.await_eip(chosen)
    check(other, srv, home.ip4, home.ip6)
    for proto in PROTOCOLS:
        assert chosen.seen(srv.addresses[1], proto) == home.ip4
        assert chosen.seen(srv.addresses[3], proto) == home.ip6
