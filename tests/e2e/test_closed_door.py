# SPDX-License-Identifier: Apache-2.0
"""No packet of a selected pod leaves by another address: the sniffer at the outside servers is
the judge."""

import contextlib

import pytest
from packets import send_udp, udp_packet, vxlan_payload

from lab import kernel, objects
from lab.traffic import wait_received
from lab.wait import until


def pod_addresses(*pods):
    return {a for pod in pods for a in (pod.ip4, pod.ip6)}


@contextlib.contextmanager
def live_flows(scene, *pods):
    srv = scene.cluster.srv
    with contextlib.ExitStack() as stack:
        flows = [
            stack.enter_context(pod.flow(kind, address, 0.01))
            for pod in pods
            for kind in ("udp", "tcp")
            for address in (srv.ip4, srv.ip6)
        ]
        wait_received(flows, 20)
        yield flows


def mentions(cluster, *words):
    """Lines of all nodes' rulesets, rules, routes, addresses and neighbours that hold one of the
    words."""
    return [
        f"{node.name} {what}: {line.strip()}"
        for node in cluster.nodes.values()
        for what, text in kernel.raw(node).items()
        for line in text.splitlines()
        if any(word in line.replace(",", " ").replace("/", " ").split() for word in words)
    ]


def test_policy_deleted_under_a_live_flow(cluster, scene):
    """The server sees no raw pod address, and nothing of the policy is left in any kernel."""
    gateway = scene.gateway()
    pods = [scene.pod(name) for name in cluster.nodes]
    until(cluster.all_ready, "every node Ready")
    before = {name: kernel.ruleset(node) for name, node in cluster.nodes.items()}
    wanted = scene.policy(
        gateway=gateway, destinations=[f"{cluster.srv.ip4}/32", f"{cluster.srv.ip6}/128"]
    )
    scene.await_eip(*pods)
    cluster.srv.clear()
    with live_flows(scene, *pods) as flows:
        scene.delete(wanted)
        for pod in pods:
            cluster.await_source(pod, cluster.srv.ip4, pod.node.ip4)
            cluster.await_source(pod, cluster.srv.ip6, pod.node.ip6)
        for flow in flows:
            if flow.kind == "udp":
                flow.wait_sent(50)
        seen = set(cluster.srv.sources())
    nodes = {a for n in cluster.nodes.values() for a in (n.ip4, n.ip6)}
    assert not seen & pod_addresses(*pods), "a raw pod address came out"
    assert seen <= nodes | set(scene.eip())

    def clean():
        for name, node in cluster.nodes.items():
            left = kernel.difference(before[name], kernel.ruleset(node))
            assert not left, (name, left)
        return True

    until(clean, "the rulesets are as before the policy")
    cluster.delete(objects.GATEWAYS, gateway)
    until(lambda: not mentions(cluster, *scene.eip()), "the egress addresses stand nowhere")


def test_every_gateway_gone_means_no_packet(cluster, scene):
    gateway = scene.gateway()
    pods = [scene.pod(name) for name in cluster.nodes]
    scene.policy(gateway=gateway)
    scene.await_eip(*pods)
    with live_flows(scene, *pods) as flows:
        for name in ("n2", "n3"):
            cluster.power_off(cluster.node(name))
        try:
            until(lambda: scene.placed(gateway) is None, "the address has no holder")
            cluster.await_source(pods[0], cluster.srv.ip4, None)
            cluster.srv.clear()
            sending = [flow for flow in flows if flow.kind == "udp"][:2]  # of the pod on n1
            for flow in sending:
                flow.wait_sent(100)
            for proto in ("udp", "tcp"):
                for address in (cluster.srv.ip4, cluster.srv.ip6):
                    assert pods[0].seen(address, proto, 0.1) is None
            assert cluster.srv.seen() == []
        finally:
            for name in ("n2", "n3"):
                cluster.power_on(cluster.node(name))
    scene.await_eip(*pods)


def test_gateway_object_deleted_means_no_packet(cluster, scene):
    gateway, pod = scene.gateway(), scene.pod("n1")
    scene.policy(gateway=gateway)
    scene.await_eip(pod)
    cluster.delete(objects.GATEWAYS, gateway)
    for address in (cluster.srv.ip4, cluster.srv.ip6):
        cluster.await_source(pod, address, None)
    cluster.srv.clear()
    with pod.flow("udp", cluster.srv.ip4, 0.005) as flow:
        flow.wait_sent(100)
    assert cluster.srv.seen() == []


def test_one_family_policy_does_not_leak_by_the_other(cluster, scene):
    pod = scene.pod("n1")
    four, _ = scene.eip()
    cluster.apply(objects.gateway(f"gw-{scene.number}", [four]))
    scene.policy(gateway=f"gw-{scene.number}", wait=False)
    cluster.await_source(pod, cluster.srv.ip4, four)
    cluster.await_source(pod, cluster.srv.ip6, None)
    cluster.srv.clear()
    with pod.flow("udp", cluster.srv.ip6, 0.005) as flow:
        flow.wait_sent(100)
    assert [e for e in cluster.srv.seen() if ":" in e["src"]] == []


@pytest.mark.parametrize("broken", ["rules flushed", "tunnel down", "tunnel deleted"])
def test_damaged_kernel_leaks_nothing_and_is_repaired(cluster, scene, broken):
    gateway, pod = scene.gateway(), scene.pod("n1")
    scene.policy(gateway=gateway)
    scene.await_eip(pod)
    node = cluster.node("n1")
    cluster.srv.clear()
    with live_flows(scene, pod):
        if broken == "rules flushed":
            for family in ("-4", "-6"):
                for rule in node.netns.ip_json(family, "rule", "show"):
                    if rule["priority"] in (98, 99, 100):
                        node.netns.ip(
                            family, "rule", "del", "pref", str(rule["priority"]), check=False
                        )
        elif broken == "tunnel down":
            node.netns.ip("link", "set", "egw0", "down")
        else:
            node.netns.ip("link", "del", "egw0")
        scene.await_eip(pod)
    assert cluster.srv.foreign(scene.eip()) == []


@pytest.mark.parametrize("ipv", [4, 6])
@pytest.mark.parametrize("sender", ["a stranger", "a selected pod"])
def test_forged_vxlan_from_a_pod_is_refused(cluster, scene, ipv, sender):
    """A pod wraps a packet of a selected pod in VXLAN and sends it to the gateway's port. The
    same bytes sent by the node itself get through: so it is not the bytes that are wrong."""
    gateway, victim, stranger = scene.gateway(), scene.pod("n1"), scene.pod("n1", {"test": "other"})
    scene.policy(gateway=gateway)
    scene.await_eip(victim)
    holder = cluster.node(scene.holder(gateway))
    mac = {
        name: link["address"]
        for name, node in cluster.nodes.items()
        for link in node.netns.ip_json("link", "show", "egw0")
    }
    target = cluster.srv.ip4 if ipv == 4 else cluster.srv.ip6
    eip = scene.eip()[0 if ipv == 4 else 1]

    def forged(port):
        inner = udp_packet(victim.address(target), target, 40000 + port, port, b'{"id": "forged"}')
        return vxlan_payload(mac["n1"], mac[holder.name], inner)

    cluster.srv.clear()
    send_udp(cluster.node("n1").netns, holder.ip4, forged(8088))
    until(
        lambda: eip in cluster.srv.sources(dport=8088),
        "the bytes are right when the node sends them",
    )
    pod = stranger if sender == "a stranger" else victim
    for address in (holder.ip4, holder.ip6):
        send_udp(pod.netns, address, forged(8089))
    send_udp(pod.netns, cluster.node("n1").ip4, forged(8089))  # and to the tunnel of its own node
    # A later packet on the same ways has arrived: so would the forged ones have.
    assert victim.seen(target) == eip
    assert stranger.seen(target) == (cluster.node("n1").ip4 if ipv == 4 else cluster.node("n1").ip6)
    assert cluster.srv.seen(dport=8089) == []


@pytest.mark.parametrize("ipv", [4, 6])
@pytest.mark.parametrize(
    "sender", ["a stranger outside", "a node for a pod of another", "a node for no pod"]
)
def test_forged_vxlan_that_no_pod_node_sent_is_refused(cluster, scene, ipv, sender):
    """The same bytes for a pod of the sending node come out: so it is not they that are wrong."""
    gateway, here, far = scene.gateway(), scene.pod("n1"), scene.pod("n2")
    scene.policy(gateway=gateway)
    scene.await_eip(here, far)
    holder = cluster.node(scene.holder(gateway))
    mac = {
        name: link["address"]
        for name, node in cluster.nodes.items()
        for link in node.netns.ip_json("link", "show", "egw0")
    }
    target = cluster.srv.ip4 if ipv == 4 else cluster.srv.ip6
    nobody = "10.244.31.9" if ipv == 4 else "fd00:244:0:1::dead"

    def forged(source, port):
        inner = udp_packet(source, target, 41000 + port, port, b'{"id": "forged"}')
        return vxlan_payload(mac["n1"], mac[holder.name], inner)

    cluster.srv.clear()
    node = cluster.node("n1").netns
    source = {"a stranger outside": here.address(target), "a node for no pod": nobody}.get(
        sender, far.address(target)
    )
    origin = cluster.srv.netns if sender == "a stranger outside" else node
    send_udp(origin, holder.ip4, forged(source, 8091))
    send_udp(node, holder.ip4, forged(here.address(target), 8090))
    until(lambda: cluster.srv.sources(dport=8090), "the bytes are right for a pod of n1")
    assert here.seen(target) == scene.eip()[0 if ipv == 4 else 1]
    assert cluster.srv.seen(dport=8091) == []
