# SPDX-License-Identifier: Apache-2.0
"""Cases P and S of the original's suite; where egw decides otherwise, docs/compatibility.md says
why. Whether packets leave so is the matter of tests/e2e."""

import pytest

from acceptance import (  # noqa: F401
    ALL_POLICIES,
    POLICIES,
    SLICES,
    accepted,
    scene,
)
from childprocess import wait_until
from egress_cluster import condition

DEFAULT = "spidernet.io/egressgateway-default"


@pytest.mark.parametrize("eip", [{"ipv4": "nonsense"}, {"ipv4": "fd00::1"}, {"ipv6": "10.6.0.1"}])
def test_P1_a_bad_eip_is_refused(scene, eip):
    gateway = scene.gateway([scene.four(1)], [scene.six(1)])
    message = scene.refusal("make_policy", gateway, egressIP=eip)
    assert "egressIP" in message and next(iter(eip.values())) in message


def test_P2_the_default_gateway_of_the_cluster(scene):
    scene.gateway([scene.four(1)])
    standard = scene.gateway([scene.four(2)], clusterDefault=True)
    for kind in ALL_POLICIES:
        policy = scene.ready_policy(None, kind=kind)
        assert policy["spec"]["egressGatewayName"] == standard


@pytest.mark.parametrize("how", ["labels", "annotations"])
def test_P3_the_default_gateway_of_a_namespace(scene, how):
    scene.gateway([scene.four(2)], clusterDefault=True)
    own = scene.gateway([scene.four(1)])
    scene.namespace(scene.space, **{how: {DEFAULT: own}})
    assert scene.ready_policy(None)["spec"]["egressGatewayName"] == own


def test_P2_a_default_that_comes_later_is_filled_in(scene):
    """Differs: a policy without a gateway is taken with a warning, ignored, and filled in later."""
    name = scene.make_policy(None)
    scene.when(name, lambda p: condition(p, "Accepted") == "False NoDefaultGateway")
    gateway = scene.gateway([scene.four(1)], clusterDefault=True)
    policy = scene.when(name, lambda p: condition(p, "Ready") == "True")
    assert policy["spec"]["egressGatewayName"] == gateway


def test_P4_an_eip_outside_of_the_pool_is_refused(scene):
    gateway = scene.gateway([scene.four(1)])
    message = scene.refusal("make_policy", gateway, egressIP={"ipv4": scene.four(9)})
    assert f"spec.egressIP.ipv4 {scene.four(9)} is not in spec.ippools.ipv4" in message


@pytest.mark.parametrize("kind", ALL_POLICIES)
def test_P5_a_policy_that_selects_nothing_is_refused(scene, kind):
    gateway = scene.gateway([scene.four(1)])
    for applied in ({"podSubnet": []}, {"podSubnet": [], "podSelector": None}):
        assert "selects nothing" in scene.refusal("make_policy", gateway, kind=kind,
                                                  applied=applied)


@pytest.mark.parametrize("selector", [{"matchLabels": {"app": "web"}}, {"matchExpressions": [
    {"key": "app", "operator": "Exists"}]}])
def test_P6_podSubnet_and_podSelector_exclude_each_other(scene, selector):
    gateway = scene.gateway([scene.four(1)])
    message = scene.refusal("make_policy", gateway, applied={
        "podSelector": selector, "podSubnet": ["10.244.0.0/16"]})
    assert "exclude each other" in message


def test_P7_podSubnet(scene):
    gateway = scene.gateway([scene.four(1)])
    inside = scene.pod(ips=["10.244.1.77", "fd44:0:0:1::77"])
    scene.pod(ips=["10.244.1.78", "fd44:0:0:1::78"])
    by_six = scene.pod(ips=["10.244.1.79", "fd44:0:0:1::79"])
    policy = scene.ready_policy(gateway, applied={
        "podSubnet": ["10.244.1.76/31", "fd44:0:0:1::79/128"]})
    scene.await_endpoints(policy["metadata"]["name"], [inside, by_six])


def test_P8_the_default_eip_and_the_statuses(scene):
    gateway = scene.gateway([f"{scene.four(1)}-{scene.four(9)}"],
                            [f"{scene.six(1)}-{scene.six(9)}"],
                            pools={"ipv4DefaultEIP": scene.four(5), "ipv6DefaultEIP": scene.six(7)})
    first, second = scene.ready_policy(gateway), scene.ready_policy(gateway)
    eip = first["status"]["eip"]
    assert (eip["ipv4"], eip["ipv6"]) == (scene.four(5), scene.six(7))
    assert second["status"]["eip"] == eip, "the second one gets it too"
    for policy in (first, second):
        assert all(condition(policy, c) == "True" for c in ("Accepted", "Allocated", "Ready"))
        for entry in policy["status"]["conditions"]:
            assert entry["observedGeneration"] == policy["metadata"]["generation"]

    def users():
        return [p["name"] for n in scene.get_gateway(gateway)["status"]["nodeList"]
                for e in n.get("eips", []) for p in e.get("policies", [])]
    names = sorted(p["metadata"]["name"] for p in (first, second))
    wait_until(lambda: users() == names, 5, "the gateway names its users")
    usage = scene.get_gateway(gateway)["status"]["ipUsage"]
    assert (usage["ipv4Free"], usage["ipv6Free"]) == (8, 8)
    kubectl = scene.server.kubectl
    kubectl("wait", "--for=condition=Ready", "--timeout=5s", f"egw/{gateway}")
    kubectl("wait", "--for=condition=Ready", "--timeout=5s", "-n", scene.space,
            f"egresspolicy/{names[0]}")


def test_P9_in_turn(scene):
    gateway = scene.gateway([f"{scene.four(1)}-{scene.four(3)}"],
                            [f"{scene.six(1)}-{scene.six(3)}"])
    rr = {"allocatorPolicy": "rr"}
    given = [scene.ready_policy(gateway, egressIP=rr)["status"]["eip"] for _ in range(3)]
    assert len({e["ipv4"] for e in given}) == len({e["ipv6"] for e in given}) == 3
    again = scene.ready_policy(gateway, egressIP=rr)["status"]["eip"]
    assert again in given, "exhausted: one that is there, not a failure"
    message = scene.refusal("make_policy", gateway, egressIP={"allocatorPolicy": "random"})
    assert "spec.egressIP.allocatorPolicy" in message and '"random"' in message


def test_P10_an_explicit_eip_comes_before_rr(scene):
    gateway = scene.gateway([f"{scene.four(1)}-{scene.four(3)}"])
    policy = scene.ready_policy(gateway, egressIP={"ipv4": scene.four(2), "allocatorPolicy": "rr"})
    assert policy["status"]["eip"]["ipv4"] == scene.four(2)


def test_P13_destinations_must_be_cidrs(scene):
    gateway = scene.gateway([scene.four(1)])
    scene.ready_policy(gateway, destSubnet=["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"])
    for field in ("destSubnet", "excludedSubnet"):
        message = scene.refusal("make_policy", gateway, **{field: ["192.0.2.0/33"]})
        assert field in message and "192.0.2.0/33" in message


def test_P14_another_selector(scene):
    gateway = scene.gateway([scene.four(1)])
    a, b = scene.pod(app="a"), scene.pod(app="b")
    policy = scene.ready_policy(gateway, "a")["metadata"]["name"]
    scene.await_endpoints(policy, [a])

    def other(spec):
        spec["appliedTo"]["podSelector"]["matchLabels"]["app"] = "b"
    scene.edit("EgressPolicy", policy, other, scene.space)
    scene.await_endpoints(policy, [b])


def test_P15_P16_useNodeIP_and_another_node(scene):
    gateway = scene.gateway([scene.four(1)], selector={
        "matchLabels": {"kubernetes.io/hostname": "a-node1"}})
    policy = scene.ready_policy(gateway, egressIP={"useNodeIP": True})
    assert policy["status"]["node"] == "a-node1"

    def other(spec):
        spec["nodeSelector"]["selector"] = {"matchLabels": {"kubernetes.io/hostname": "a-node3"}}
    scene.edit("EgressGateway", gateway, other)
    moved = scene.when(policy["metadata"]["name"], lambda p: p["status"]["node"] == "a-node3")
    assert moved["status"]["eip"] == policy["status"]["eip"]
    assert set(scene.eips(gateway)) == {("", "")}


def test_P17_useNodeIP_and_an_eip_exclude_each_other(scene):
    gateway = scene.gateway([scene.four(1)])
    assert "exclude each other" in scene.refusal(
        "make_policy", gateway, egressIP={"useNodeIP": True, "ipv4": scene.four(1)})


def test_P18_P19_gateway_and_eip_cannot_change(scene):
    gateway = scene.gateway([f"{scene.four(1)}-{scene.four(3)}"])
    other = scene.gateway([scene.four(9)])
    policy = scene.ready_policy(gateway)["metadata"]["name"]

    def another_gateway(spec):
        spec["egressGatewayName"] = other
    assert "can't change once it is set" in scene.refusal("edit", "EgressPolicy", policy,
                                                          another_gateway, scene.space)
    for change in ({"ipv4": scene.four(2)}, {"useNodeIP": True}, {"allocatorPolicy": "rr"}):
        def another_eip(spec):
            spec["egressIP"].update(change)
        assert "can't change after creation" in scene.refusal(
            "edit", "EgressPolicy", policy, another_eip, scene.space)


def test_P20_deletion_gives_the_eip_back(scene):
    gateway = scene.gateway([scene.four(1)])
    policy = scene.ready_policy(gateway)["metadata"]["name"]
    scene.pod()
    wait_until(lambda: scene.endpoints(policy), 5, "a slice")
    scene.api.delete(POLICIES, policy, scene.space)
    wait_until(lambda: scene.eips(gateway) == {}, 5, "no EIP is held")
    wait_until(lambda: not scene.api.list(SLICES, scene.space), 5, "no slice is left")
    scene.gateway_when(lambda g: g["status"]["ipUsage"]["ipv4Free"] == 1, gateway)


def test_P21_the_scope_of_namespaces(scene):
    gateway = scene.gateway([scene.four(1)], scope={"namespaces": ["elsewhere"]})
    message = scene.refusal("make_policy", gateway)
    assert f"does not admit namespace {scene.space}" in message
    scene.ready_policy(gateway, kind="EgressClusterPolicy")
    scene.namespace(scene.space, {"team": "x"})

    def by_labels(spec):
        spec["scope"]["namespaceSelector"] = {"matchLabels": {"team": "x"}}
    scene.edit("EgressGateway", gateway, by_labels)
    scene.ready_policy(gateway)


def test_P21_a_policy_selects_pods_of_its_namespace_alone(scene):
    """Also two policies of one name and pods of the same labels (issue 1719 there)."""
    other = f"{scene.space}-b"
    scene.namespace(other)
    gateway = scene.gateway([f"{scene.four(1)}-{scene.four(2)}"])
    mine, theirs = scene.pod(), scene.pod(space=other)
    scene.ready_policy(gateway, name="same", egressIP={"ipv4": scene.four(1)})
    scene.ready_policy(gateway, name="same", space=other, egressIP={"ipv4": scene.four(2)})
    scene.await_endpoints("same", [mine])
    scene.await_endpoints("same", [theirs], space=other)
    scene.kubelet.delete_pod(other, theirs)


def test_P22_an_explicit_eip(scene):
    gateway = scene.gateway([f"{scene.four(1)}-{scene.four(9)}"],
                            [f"{scene.six(1)}-{scene.six(9)}"])
    policy = scene.ready_policy(gateway, egressIP={"ipv4": scene.four(4), "ipv6": scene.six(6)})
    eip = policy["status"]["eip"]
    assert (eip["ipv4"], eip["ipv6"]) == (scene.four(4), scene.six(6))
    by_one = scene.ready_policy(gateway, egressIP={"ipv4": scene.four(4)})
    assert by_one["status"]["eip"] == eip
    assert "is not paired with" in scene.refusal(
        "make_policy", gateway, egressIP={"ipv4": scene.four(4), "ipv6": scene.six(7)})


def test_a_cluster_policy_by_namespaces_alone(scene):
    scene.namespace(scene.space, {"team": f"t{scene.number}"})
    gateway = scene.gateway([scene.four(1)])
    pods = [scene.pod(app=app) for app in ("a", "b")]
    policy = scene.ready_policy(gateway, kind="EgressClusterPolicy", applied={
        "namespaceSelector": {"matchLabels": {"team": f"t{scene.number}"}}})["metadata"]["name"]
    scene.await_endpoints(policy, pods, cluster=True)
    scene.namespace(scene.space, {"team": "other"})
    scene.await_endpoints(policy, [], cluster=True)


def test_match_expressions(scene):
    gateway = scene.gateway([scene.four(1)])
    pods = {app: scene.pod(app=app) for app in ("a", "b", "c")}
    policy = scene.ready_policy(gateway, applied={"podSelector": {"matchExpressions": [
        {"key": "app", "operator": "In", "values": ["a", "b"]},
        {"key": "app", "operator": "NotIn", "values": ["b"]}]}})["metadata"]["name"]
    scene.await_endpoints(policy, [pods["a"]])


def test_a_StatefulSets_pod_comes_back_with_another_address(scene):
    """Issue 1935 there: the slice kept the old address."""
    gateway = scene.gateway([scene.four(1)])
    policy = scene.ready_policy(gateway)["metadata"]["name"]

    def addresses():
        return [e["ipv4"] for piece in scene.api.list(SLICES, scene.space)
                for e in piece["endpoints"] if e["pod"] == "db-0"]
    for last in (11, 12):
        scene.kubelet.create_pod(scene.space, "db-0", f"a-node{last - 10}", {"app": "web"},
                                 [f"10.244.9.{last}"])
        wait_until(lambda: addresses() == [[f"10.244.9.{last}"]], 5, "the present address alone")
        scene.kubelet.delete_pod(scene.space, "db-0")
    scene.await_endpoints(policy, [])


def test_an_ipv6_gateway_beside_ipv4_pods(scene):
    gateway = scene.gateway(None, [scene.six(1)])
    policy = scene.ready_policy(gateway)
    assert policy["status"]["eip"]["ipv6"] == scene.six(1)
    assert not policy["status"]["eip"].get("ipv4")


def test_pods_of_the_host_and_ended_ones_are_no_endpoints(scene):
    gateway = scene.gateway([scene.four(1)])
    policy = scene.ready_policy(gateway)["metadata"]["name"]
    pod, done = scene.pod(), scene.pod()
    scene.pod(host_network=True)
    scene.await_endpoints(policy, [pod, done])
    scene.kubelet.finish_pod(scene.space, done)
    scene.await_endpoints(policy, [pod])


def test_two_kinds_may_share_a_name(scene):
    gateway = scene.gateway([f"{scene.four(1)}-{scene.four(2)}"])
    a, b = scene.pod(app="a"), scene.pod(app="b")
    scene.ready_policy(gateway, "a", name="same", egressIP={"ipv4": scene.four(1)})
    scene.ready_policy(gateway, "b", name="same", kind="EgressGatewayPolicy",
                       egressIP={"ipv4": scene.four(2)})
    found = {}

    def both():
        found.clear()
        for piece in scene.api.list(SLICES, scene.space):
            [owner] = piece["metadata"]["ownerReferences"]
            found[owner["kind"]] = [e["pod"] for e in piece["endpoints"]]
        return found == {"EgressPolicy": [a], "EgressGatewayPolicy": [b]}
    wait_until(both, 5, f"a slice of each kind, not {found}")


def test_the_order_of_policies_is_told(scene):
    gateway = scene.gateway([f"{scene.four(1)}-{scene.four(3)}"])
    scene.pod()
    late = scene.ready_policy(gateway, priority=2000)["metadata"]["name"]
    first = scene.ready_policy(gateway, priority=200)["metadata"]["name"]
    told = scene.when(late, lambda p: condition(p, "Overlapped") == "True")
    [entry] = [c for c in told["status"]["conditions"] if c["type"] == "Overlapped"]
    assert f"EgressPolicy {scene.space}/{first} (priority 200)" in entry["message"]
    scene.api.delete(POLICIES, first, scene.space)
    scene.when(late, lambda p: condition(p, "Overlapped") is None)


@pytest.mark.parametrize("kind, priority", [("EgressPolicy", 99), ("EgressPolicy", 0),
                                            ("EgressClusterPolicy", 65537)])
def test_priorities_have_bounds(scene, kind, priority):
    gateway = scene.gateway([scene.four(1)])
    assert "priority" in scene.refusal("make_policy", gateway, kind=kind, priority=priority)


def test_S1_pods_come_and_go(scene):
    gateway = scene.gateway([scene.four(1)])
    policy = scene.ready_policy(gateway)["metadata"]["name"]
    pods = [scene.pod(f"a-node{1 + i % 3}") for i in range(120)]
    scene.await_endpoints(policy, pods)
    pieces = scene.api.list(SLICES, scene.space)
    assert sorted(len(p["endpoints"]) for p in pieces) == [20, 100]
    for piece in pieces:
        [owner] = piece["metadata"]["ownerReferences"]
        assert owner["name"] == policy and owner["controller"]
        assert piece["metadata"]["labels"]["spidernet.io/policy-name"] == policy
    for pod in pods[:90]:
        scene.kubelet.delete_pod(scene.space, pod)
    scene.await_endpoints(policy, pods[90:])
    wait_until(lambda: len(scene.api.list(SLICES, scene.space)) == 1, 5, "merged into one")
    for pod in pods[90:]:
        scene.kubelet.delete_pod(scene.space, pod)
    wait_until(lambda: not scene.api.list(SLICES, scene.space), 5, "no empty slice")
