# SPDX-License-Identifier: Apache-2.0
"""Cases G of the original's suite; where egw decides otherwise, docs/compatibility.md says why."""

import pytest

from acceptance import (  # noqa: F401
    CLUSTER_POLICIES,
    GATEWAYS,
    POLICIES,
    accepted,
    scene,
)
from childprocess import wait_until
from egress_cluster import condition


@pytest.mark.parametrize("pool", ["10.6.0.300", "10.6.0.9-10.6.0.1", "10.6.0.1-10.6.0", "a/24",
                                  "fd00::1"])
def test_G1_bad_pools_are_refused(scene, pool):
    message = scene.refusal("gateway", [pool])
    assert "ippools" in message and "ipv4" in message and pool in message


@pytest.mark.parametrize("selector", [{}, {"matchLabels": {}}, {"matchExpressions": []}])
def test_G2_an_empty_selector_is_refused(scene, selector):
    assert "must not be empty" in scene.refusal("gateway", [scene.four(1)], selector=selector)


def test_G3_a_default_outside_of_the_pool_is_refused(scene):
    outside = {"ipv4DefaultEIP": scene.four(99)}
    message = scene.refusal("gateway", [scene.four(1)], pools=outside)
    assert f"spec.ippools.ipv4DefaultEIP: {scene.four(99)} is not in the pool" in message
    assert "empty" in scene.refusal("gateway", [scene.four(1)],
                                    pools={"ipv6DefaultEIP": scene.six(1)})


def test_G4_families_need_not_have_as_many_addresses(scene):
    """Differs: here the numbers need not be equal. A pair that can't be had is told."""
    gateway = scene.gateway([f"{scene.four(1)}-{scene.four(9)}"], [scene.six(1)])
    first = scene.ready_policy(gateway)
    assert first["status"]["eip"]["ipv6"] == scene.six(1)
    second = scene.make_policy(gateway, egressIP={"ipv4": scene.four(2)})
    told = scene.when(second, lambda p: condition(p, "Allocated") is not None)
    assert condition(told, "Allocated") == "False PoolExhausted"


def test_G5_the_default_is_the_lowest_address(scene):
    """Differs: not a random one."""
    name = scene.gateway([scene.four(9), f"{scene.four(3)}-{scene.four(5)}"],
                         [scene.six(9), scene.six(4)])
    pools = scene.get_gateway(name)["spec"]["ippools"]
    assert (pools["ipv4DefaultEIP"], pools["ipv6DefaultEIP"]) == (scene.four(3), scene.six(4))


@pytest.mark.parametrize("entry, addresses", [("{}.7", 1), ("{}.60-{}.65", 6), ("{}.64/28", 14),
                                              ("{}.8/31", 2)])
def test_G6_G7_G8_addresses_ranges_and_cidrs(scene, entry, addresses):
    gateway = scene.gateway([entry.replace("{}", f"10.6.{scene.number}")])
    status = scene.gateway_when(lambda g: g["status"].get("ipUsage"), gateway)["status"]
    assert status["ipUsage"]["ipv4Total"] == addresses
    assert status["ipUsage"]["ipv4Free"] == addresses


def test_G8_an_ipv6_prefix_costs_nothing(scene):
    gateway = scene.gateway([scene.four(1)], [f"fd06:{scene.number:x}::/64"])
    assert scene.ready_policy(gateway)["status"]["eip"]["ipv6"] == f"fd06:{scene.number:x}::"
    usage = scene.gateway_when(lambda g: g["status"]["ipUsage"]["ipv4Free"] == 0, gateway)
    assert usage["status"]["ipUsage"]["ipv6Total"] == 2**63 - 1  # as many as the field can say


def test_G9_an_edit_with_a_bad_pool_is_refused(scene):
    gateway = scene.gateway([scene.four(1)])
    message = scene.refusal("edit", "EgressGateway", gateway,
                            lambda s: s["ippools"]["ipv4"].append("nonsense"))
    assert "nonsense" in message
    assert scene.get_gateway(gateway)["spec"]["ippools"]["ipv4"] == [scene.four(1)]


def test_G10_an_address_in_use_cannot_be_removed(scene):
    gateway = scene.gateway([f"{scene.four(1)}-{scene.four(5)}"],
                            [f"{scene.six(1)}-{scene.six(5)}"])
    scene.ready_policy(gateway, egressIP={"ipv4": scene.four(3)})

    def shrink(spec):
        spec["ippools"]["ipv4"] = [f"{scene.four(1)}-{scene.four(2)}"]
    message = scene.refusal("edit", "EgressGateway", gateway, shrink)
    assert f"{scene.four(3)} is in use and can't leave the pool" in message

    def keep(spec):
        spec["ippools"]["ipv4"] = [scene.four(1), scene.four(3)]
    scene.edit("EgressGateway", gateway, keep)


def test_G11_G12_G13_more_addresses_of_one_or_both_families(scene):
    """G11 differs: unequal numbers are taken."""
    gateway = scene.gateway([scene.four(1)], [scene.six(1)])

    def more(spec):
        spec["ippools"]["ipv4"].append(f"{scene.four(10)}-{scene.four(14)}")
    scene.edit("EgressGateway", gateway, more)
    scene.gateway_when(lambda g: g["status"]["ipUsage"]["ipv4Total"] == 6, gateway)

    def both(spec):
        spec["ippools"]["ipv4"].append(scene.four(20))
        spec["ippools"]["ipv6"].append(scene.six(20))
    scene.edit("EgressGateway", gateway, both)
    scene.gateway_when(lambda g: g["status"]["ipUsage"]["ipv6Total"] == 2, gateway)


def test_a_family_that_comes_later_completes_the_eips(scene):
    """Refused there: 'cannot add a family that was empty'."""
    gateway = scene.gateway([f"{scene.four(1)}-{scene.four(5)}"])
    policy = scene.ready_policy(gateway)
    eip = policy["status"]["eip"]

    def add(spec):
        spec["ippools"]["ipv6"] = [f"{scene.six(1)}-{scene.six(5)}"]
    scene.edit("EgressGateway", gateway, add)
    both = scene.when(policy["metadata"]["name"], lambda p: p["status"]["eip"].get("ipv6"))
    assert both["status"]["eip"] == {**eip, "ipv6": scene.six(1)}, "and its number is the same"


def test_G14_another_selector_moves_the_eips(scene):
    gateway = scene.gateway([f"{scene.four(1)}-{scene.four(3)}"], selector={
        "matchLabels": {"kubernetes.io/hostname": "a-node1"}})
    policy = scene.ready_policy(gateway)
    assert policy["status"]["node"] == "a-node1"

    def other(spec):
        spec["nodeSelector"]["selector"] = {"matchLabels": {"kubernetes.io/hostname": "a-node2"}}
    scene.edit("EgressGateway", gateway, other)
    moved = scene.when(policy["metadata"]["name"], lambda p: p["status"]["node"] == "a-node2")
    assert moved["status"]["eip"] == policy["status"]["eip"]
    # Written side by side with the policy's status.
    scene.gateway_when(lambda g: [n["name"] for n in g["status"]["nodeList"]] == ["a-node2"],
                       gateway)


def test_G17_one_default_gateway_of_the_cluster(scene):
    first = scene.gateway([scene.four(1)], clusterDefault=True)
    message = scene.refusal("gateway", [scene.four(2)], clusterDefault=True)
    assert f"EgressGateway {first} is the cluster's default" in message
    second = scene.gateway([scene.four(2)])
    assert "is the cluster's default" in scene.refusal(
        "edit", "EgressGateway", second, lambda s: s.update(clusterDefault=True))
    scene.edit("EgressGateway", first, lambda s: s.update(clusterDefault=False))
    scene.edit("EgressGateway", second, lambda s: s.update(clusterDefault=True))


def test_G18_G19_an_empty_pool_serves_useNodeIP_alone(scene):
    gateway = scene.gateway()
    assert "has no addresses" in scene.refusal("make_policy", gateway)
    policy = scene.ready_policy(gateway, egressIP={"useNodeIP": True})
    assert policy["status"]["node"] in scene.nodes[:3]
    assert not policy["status"]["eip"].get("ipv4") and policy["status"]["eip"]["id"] > 0


def test_G20_a_gateway_in_use_cannot_be_deleted(scene):
    """Differs: refused by the webhook, there is no finalizer."""
    gateway = scene.gateway([scene.four(1)])
    policy = scene.make_policy(gateway)
    wide = scene.make_policy(gateway, kind="EgressClusterPolicy")
    assert not scene.get_gateway(gateway)["metadata"].get("finalizers")
    message = None

    def refused():
        nonlocal message
        message = scene.refusal("delete_gateway", gateway)
        return "and others" in message
    wait_until(refused, 5, "the deletion is refused")
    assert f"EgressGateway {gateway} is in use by" in message
    scene.api.delete(POLICIES, policy, scene.space)
    assert f"EgressClusterPolicy {wide}" in scene.refusal("delete_gateway", gateway)
    scene.api.delete(CLUSTER_POLICIES, wide)
    scene.delete_gateway(gateway)  # at once, however late the watch is


def test_usage_with_no_matching_node(scene):
    gateway = scene.gateway([scene.four(1)], selector={"matchLabels": {"no": "such"}}, ready=False)
    found = scene.gateway_when(lambda g: condition(g, "Ready") == "False NoNode", gateway)
    assert found["status"]["ipUsage"]["ipv4Total"] == 1
    policy = scene.make_policy(gateway)
    told = scene.when(policy, lambda p: condition(p, "Ready") is not None)
    assert condition(told, "Allocated") == "True" and condition(told, "Ready").startswith("False")
    # Both statuses are under way at once, and either may be the first to arrive.
    used = scene.gateway_when(lambda g: g["status"]["ipUsage"]["ipv4Free"] == 0, gateway)
    assert condition(used, "Ready") == "False NoNode"
    assert scene.eips(gateway) == {(scene.four(1), ""): None}


def test_pools_of_gateways_nodes_pods_and_services_do_not_overlap(scene):
    first = scene.gateway([f"{scene.four(1)}-{scene.four(9)}"])
    message = scene.refusal("gateway", [f"{scene.four(9)}-{scene.four(12)}"])
    assert f"{scene.four(9)} is in the pool of EgressGateway {first} too" in message
    for inside in ("10.5.1.1", "10.244.1.9", "10.96.0.1"):
        wait_until(lambda: "belongs to a node, to pods or to services" in scene.refusal(
            "gateway", [inside]), 10, f"{inside} is known as inside")
    assert "tunnel subnet" in scene.refusal("gateway", ["172.31.0.9"])


def test_dry_run_leaves_nothing_behind(scene):
    gateway = {"apiVersion": "egressgateway.spidernet.io/v1beta1", "kind": "EgressGateway",
               "metadata": {"name": "dry"}, "spec": scene.gateway_spec([scene.four(1)])}
    answer = scene.api.create(gateway, dry_run=True)
    assert answer["spec"]["ippools"]["ipv4DefaultEIP"] == scene.four(1), "defaults are shown"
    assert scene.api.find(GATEWAYS, "dry") is None
    name = scene.gateway([scene.four(1)])  # and the pool is free
    assert scene.get_gateway(name)
