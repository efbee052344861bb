# SPDX-License-Identifier: Apache-2.0
"""Manifests written for the project that coined the API do what they say; and its controller's
defects, as far as they are known, are none here."""

from pathlib import Path

import pytest
import yaml

from acceptance import (  # noqa: F401
    GATEWAYS,
    INFOS,
    KINDS,
    NODES,
    POLICIES,
    SLICES,
    accepted,
    scene,
)
from childprocess import wait_until
from egress_cluster import condition

ORIGINAL = Path(__file__).resolve().parents[1] / "manifests" / "original.yaml"


@pytest.fixture
def original(scene):
    """All of the manifests, applied as they stand, and nodes as they name them."""
    for node, number in (("node1", 11), ("node2", 12)):
        scene.kubelet.register_node(node, [f"10.5.2.{number}"], [f"10.244.{number}.0/24"],
                                    {"egress": "true", "egressgateway": "true"})
        scene.agent(node)
    scene.server.kubectl("apply", "-f", str(ORIGINAL))
    manifests = [m for m in yaml.safe_load_all(ORIGINAL.read_text()) if m]
    yield manifests
    scene.api.patch(INFOS, "default", {"spec": {"extraCidr": []}})
    scene.end()
    for pod in scene.api.list("pods", "default"):
        scene.kubelet.delete_pod("default", pod["metadata"]["name"])
    for node in ("node1", "node2"):
        scene.kubelet.delete_node(node)


def test_original_manifests_do_what_they_say(scene, original):
    pods = {name: scene.kubelet.create_pod("default", name, "node1", labels, ips)
            for name, labels, ips in (
                ("shop", {"app": "shopping"}, ["10.244.11.5"]),
                ("by-subnet", {"app": "other"}, ["172.29.16.9"]),
                ("elsewhere", {"app": "other"}, ["10.244.11.6"]))}
    assert len(pods) == 3
    for manifest in original:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if kind == "EgressClusterInfo":
            continue
        namespace = manifest["metadata"].get("namespace")
        scene.api.wait_for(KINDS[kind], name, namespace,
                           lambda o: condition(o, "Ready") == "True", 10)

    def eip(name):
        return scene.api.get(POLICIES, name, "default")["status"]["eip"]
    assert (eip("original-selector")["ipv4"], eip("original-selector")["ipv6"]) == (
        "10.6.1.55", "fd00::55"), "the default EIP"
    assert (eip("original-explicit")["ipv4"], eip("original-explicit")["ipv6"]) == (
        "10.6.1.60", "fd00::60")
    in_turn = eip("original-subnet")["ipv4"]
    assert in_turn != "10.6.1.55" and in_turn.startswith("10.6.1."), "rr: not one with users"
    assert not eip("original-node-ip").get("ipv4")
    full = scene.get_gateway("original-full")
    assert [n["name"] for n in full["status"]["nodeList"]] == ["node1", "node2"]
    assert full["status"]["ipUsage"]["ipv4Total"] == 1 + 6 + 13, "10.6.1.65 twice"

    def endpoints(policy):
        return scene.endpoints(policy, space="default")
    for policy, wanted in (("original-selector", ["shop"]), ("original-subnet", ["by-subnet"]),
                           ("original-explicit", ["shop"]), ("original-node-ip", ["shop"])):
        wait_until(lambda: endpoints(policy) == wanted, 10, f"{policy} has the pods {wanted}")
    assert scene.endpoints("original-cluster", cluster=True) == []
    # Lower numbers win: the selector's priority is 100, the others have 1000.
    told = scene.api.wait_for(POLICIES, "original-explicit", "default",
                              lambda p: condition(p, "Overlapped") == "True", 10)
    assert "original-selector (priority 100)" in str(told["status"]["conditions"])
    info = scene.api.wait_for(INFOS, "default", condition=lambda i: i and "10.10.10.1" in str(
        i["status"].get("extraCidr")))
    assert "10.96.0.0/12" in str(info["status"]["extraCidr"])


# ---- defects ------------------------------------------------------------------------------------


def test_B_in_turn_without_a_ready_node(scene):
    """There: an index of -1, and the process ends."""
    gateway = scene.gateway([f"{scene.four(1)}-{scene.four(3)}"], selector={
        "matchLabels": {"kubernetes.io/hostname": "a-node1"}})
    scene.agent("a-node1", ready="False")
    scene.gateway_when(lambda g: condition(g, "Ready") == "False NoReadyNode", gateway)
    policy = scene.make_policy(gateway, egressIP={"allocatorPolicy": "rr"})
    told = scene.when(policy, lambda p: condition(p, "Ready") == "False NoReadyNode")
    eip = told["status"]["eip"]
    wait_until(lambda: set(scene.eips(gateway).values()) == {None}, 10, "it waits for a node")
    scene.agent("a-node1")
    back = scene.when(policy, lambda p: condition(p, "Ready") == "True")
    assert back["status"]["eip"] == eip and back["status"]["node"] == "a-node1"


def test_B_more_than_127_eips_on_one_node(scene):
    """There: nodes with as many were skipped for explicit EIPs."""
    gateway = scene.gateway([f"{scene.four(1)}-{scene.four(150)}"], selector={
        "matchLabels": {"kubernetes.io/hostname": "a-node2"}})
    names = [scene.make_policy(gateway, egressIP={"ipv4": scene.four(i)}) for i in range(1, 141)]
    for name in names:
        scene.when(name, lambda p: condition(p, "Ready") == "True")
    assert set(scene.eips(gateway).values()) == {"a-node2"}
    assert len(scene.eips(gateway)) == 140


def test_B_useNodeIP_of_a_lost_node(scene):
    """There: an index was not reset between nodes, and the wrong entry moved or the process ended
    (also issue 2116)."""
    gateway = scene.gateway([scene.four(1)])
    own = {"useNodeIP": True}
    made = [scene.ready_policy(gateway, egressIP=own) for _ in range(6)]
    before = {p["metadata"]["name"]: p["status"]["node"] for p in made}
    assert sorted(set(before.values())) == scene.nodes[:3], "spread over the nodes"
    scene.kubelet.set_ready("a-node2", False)
    for name, node in before.items():
        moved = scene.when(name, lambda p: p["status"]["node"] != "a-node2")
        if node != "a-node2":
            assert moved["status"]["node"] == node
    scene.kubelet.set_ready("a-node2", True)


def test_B_a_node_whose_EgressNode_goes(scene):
    """There: the gateway dropped the node, and wrote Pending over its phase."""
    gateway = scene.gateway([scene.four(1)])
    policy = scene.ready_policy(gateway)
    node = policy["status"]["node"]
    before = scene.api.get(NODES, node)
    scene.api.delete(NODES, node)
    again = scene.api.wait_for(NODES, node, condition=lambda n: n and (
        n["metadata"]["uid"] != before["metadata"]["uid"] and n.get("status", {}).get("tunnel")))
    assert again["status"]["tunnel"]["ipv4"] == before["status"]["tunnel"]["ipv4"]
    assert again["status"]["tunnel"]["mac"] == before["status"]["tunnel"]["mac"]
    listed = scene.get_gateway(gateway)["status"]["nodeList"]
    assert [n["name"] for n in listed] == scene.nodes[:3]
    moved = scene.when(policy["metadata"]["name"], lambda p: p["status"].get("node") != node)
    assert moved["status"]["eip"] == policy["status"]["eip"]
    scene.agent(node)
    scene.gateway_when(lambda g: all(n["status"] == "Ready" for n in g["status"]["nodeList"]),
                       gateway)


def test_B_eips_of_a_lost_node_spread(scene):
    """There: all of them went to one node."""
    gateway = scene.gateway([f"{scene.four(1)}-{scene.four(12)}"])
    for i in range(1, 13):
        scene.make_policy(gateway, egressIP={"ipv4": scene.four(i)})
    wait_until(lambda: len(scene.eips(gateway)) == 12, 10, "twelve EIPs")
    before = scene.eips(gateway)
    scene.kubelet.set_ready("a-node1", False)
    wait_until(lambda: "a-node1" not in scene.eips(gateway).values(), 10, "moved")
    after = scene.eips(gateway)
    assert sorted(after.values()) == ["a-node2"] * 6 + ["a-node3"] * 6
    assert all(after[e] == node for e, node in before.items() if node != "a-node1")


def test_B_a_policy_comes_back_under_its_name(scene):
    """Slices of the one before are not taken for its own."""
    gateway = scene.gateway([scene.four(1)])
    pod = scene.pod()
    scene.ready_policy(gateway, name="again")
    scene.await_endpoints("again", [pod])
    [before] = scene.api.list(SLICES, scene.space)
    scene.api.delete(POLICIES, "again", scene.space)
    scene.ready_policy(gateway, name="again")

    def renewed():
        pieces = scene.api.list(SLICES, scene.space)
        return len(pieces) == 1 and pieces[0]["metadata"]["uid"] != before["metadata"]["uid"]
    wait_until(renewed, 10, "a slice of its own")
    scene.await_endpoints("again", [pod])
    assert scene.api.get(GATEWAYS, gateway)
