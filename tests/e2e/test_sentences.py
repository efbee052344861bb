# SPDX-License-Identifier: Apache-2.0
"""Each sentence of the demo, in both families, TCP and UDP."""

import contextlib
import json
import socket

import pytest

from lab import objects
from lab.wait import until

PROTOCOLS = ("tcp", "udp")


def check(pod, server, wanted4, wanted6):
    for address, wanted in ((server.ip4, wanted4), (server.ip6, wanted6)):
        for proto in PROTOCOLS:
            assert pod.seen(address, proto) == wanted, f"{proto} from {pod.name} to {address}"


def test_without_a_policy_the_node_is_the_source(cluster, scene):
    scene.gateway()
    for node in cluster.nodes.values():
        check(scene.pod(node.name), cluster.srv, node.ip4, node.ip6)


@pytest.mark.parametrize("kind", ["EgressPolicy", "EgressGatewayPolicy", "EgressClusterPolicy"])
def test_policy_gives_the_egress_address(cluster, scene, kind):
    gateway = scene.gateway()
    pods = [scene.pod(name) for name in cluster.nodes]  # on gateway nodes and beside them
    scene.policy(gateway=gateway, kind=kind)
    scene.await_eip(*pods)
    for pod in pods:
        check(pod, cluster.srv, *scene.eip())
        check(pod, cluster.srv2, *scene.eip())


def test_pod_that_comes_later_and_label_that_goes(cluster, scene):
    gateway = scene.gateway()
    scene.policy(gateway=gateway)
    pod, stranger = scene.pod("n1"), scene.pod("n1", {"test": "other"})
    scene.await_eip(pod)
    home = cluster.node("n1")
    check(stranger, cluster.srv, home.ip4, home.ip6)
    cluster.api.patch("pods", stranger.name, {"metadata": {"labels": pod.labels}}, "default")
    scene.await_eip(stranger)
    cluster.api.patch("pods", pod.name, {"metadata": {"labels": {"test": "other"}}}, "default")
    cluster.await_source(pod, cluster.srv.ip4, home.ip4)
    cluster.await_source(pod, cluster.srv.ip6, home.ip6)
    check(stranger, cluster.srv, *scene.eip())


def test_pod_made_again_under_its_name(cluster, scene):
    """As a StatefulSet does: on the same node, then on another, each time with other addresses."""
    scene.policy(gateway=scene.gateway())
    name = f"web-{scene.number}-0"
    labels = {"test": f"t{scene.number}"}
    for node in ("n1", "n1", "n2", "n1"):
        pod = cluster.add_pod(name, node, labels)
        scene.pods.append(pod)
        scene.await_eip(pod)
        check(pod, cluster.srv, *scene.eip())
        cluster.remove_pod(pod)


def test_destination_that_is_not_named(cluster, scene):
    gateway, pod, home = scene.gateway(), scene.pod("n1"), cluster.node("n1")
    srv = cluster.srv
    scene.policy(gateway=gateway, destinations=[f"{srv.ip4}/32", f"{srv.ip6}/128"])
    scene.await_eip(pod)
    for proto in PROTOCOLS:
        assert pod.seen(srv.addresses[1], proto) == home.ip4
        assert pod.seen(srv.addresses[3], proto) == home.ip6
    check(pod, cluster.srv2, home.ip4, home.ip6)


def test_second_namespace_by_its_default_gateway(cluster, scene):
    gateway = scene.gateway(size=2)
    space = f"space-{scene.number}"
    cluster.namespace(space, {objects.DEFAULT_LABEL: gateway})
    first, second = scene.pod("n1"), scene.pod("n1", namespace=space)
    scene.policy(gateway=gateway)
    four, six = scene.eip(1)
    wanted = scene.policy(namespace=space, ipv4=four, ipv6=six)
    scene.await_eip(first)
    scene.await_eip(second, which=1)
    found = cluster.api.get(objects.ALIASES, wanted["metadata"]["name"], space)
    assert found["spec"]["egressGatewayName"] == gateway
    check(first, cluster.srv, *scene.eip(0))
    check(second, cluster.srv, *scene.eip(1))


def test_clusters_default_gateway(cluster, scene):
    gateway = scene.gateway(default=True)
    pod = scene.pod("n1")
    wanted = scene.policy()
    scene.await_eip(pod)
    found = cluster.api.get(objects.ALIASES, wanted["metadata"]["name"], "default")
    assert found["spec"]["egressGatewayName"] == gateway


def test_smaller_priority_wins_where_both_hold(cluster, scene):
    gateway, pod, srv = scene.gateway(size=2), scene.pod("n1"), cluster.srv
    one, two = scene.eip(0), scene.eip(1)
    scene.policy(gateway=gateway, ipv4=one[0], ipv6=one[1], priority=200)
    scene.policy(
        gateway=gateway, ipv4=two[0], ipv6=two[1], priority=100, destinations=[f"{srv.ip4}/32"]
    )
    cluster.await_source(pod, srv.ip4, two[0])
    assert pod.seen(srv.addresses[1]) == one[0]
    assert pod.seen(srv.ip6) == one[1]


def test_inside_the_cluster_nothing_changes(cluster, scene):
    """Also under a policy for 0.0.0.0/0: other pods see the pod's own address, nodes see what
    they saw."""
    gateway = scene.gateway()
    pod, peers = scene.pod("n1"), [scene.pod(n, {"test": "peer"}) for n in ("n1", "n2")]
    scene.policy(gateway=gateway, destinations=["0.0.0.0/0", "::/0"])
    scene.await_eip(pod)
    for peer in peers:
        with listener(peer.netns, peer.ip4, peer.ip6) as seen:
            for address in (peer.ip4, peer.ip6):
                assert seen(pod, address) == pod.address(address)


@contextlib.contextmanager
def listener(netns, *addresses):
    """TCP sockets in a namespace; yields a function that connects a pod to one and tells who
    came."""
    sockets = {}
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sockets[address] = netns.call(socket.create_server, (address, 8081), family=family)
        sockets[address].settimeout(5)

    def seen(pod, address):
        client = pod.netns.call(socket.create_connection, (address, 8081), 5)
        with client, sockets[address].accept()[0] as arrived:
            return arrived.getpeername()[0]

    try:
        yield seen
    finally:
        for sock in sockets.values():
            sock.close()


def test_gateway_lost_same_address_from_another_node(cluster, scene):
    gateway = scene.gateway()
    pod = scene.pod("n1")
    scene.policy(gateway=gateway)
    scene.await_eip(pod)
    lost = scene.holder(gateway)
    cluster.srv.clear()
    cluster.power_off(cluster.node(lost))
    try:
        until(lambda: scene.placed(gateway) not in (None, lost), "another holder")
        scene.await_eip(pod)
        check(pod, cluster.srv, *scene.eip())
        assert cluster.srv.foreign(scene.eip()) == []
    finally:
        cluster.power_on(cluster.node(lost))
    until(cluster.all_ready, "the lost node is Ready again", 30)
    assert scene.holder(gateway) != lost, "a node that comes back takes nothing back"
    check(pod, cluster.srv, *scene.eip())


def test_kubectl_get(cluster, scene):
    gateway, pod = scene.gateway(), scene.pod("n1")
    wanted = scene.policy(gateway=gateway)
    scene.await_eip(pod)
    four, six = scene.eip()
    holder = scene.holder(gateway)
    heads, row = [
        line.split()
        for line in cluster.server.kubectl(
            "get", "egresspolicies", wanted["metadata"]["name"]
        ).splitlines()
    ]
    for word in ("NAME", "GATEWAY", "IPV4", "IPV6", "NODE", "READY"):
        assert word in heads
    for word in (gateway, four, six, holder, "True"):
        assert word in row
    text = cluster.server.kubectl("get", "egw")
    assert gateway in text
    nodes = cluster.server.kubectl("get", "egn")
    assert all(name in nodes for name in cluster.nodes) and "Ready" in nodes


def test_ctl_status(cluster, scene):
    gateway, pod = scene.gateway(), scene.pod("n1")
    wanted = scene.policy(gateway=gateway)
    scene.await_eip(pod)
    code, text = cluster.ctl("status")
    assert code == 0, text
    for word in (gateway, wanted["metadata"]["name"], *scene.eip(), *cluster.nodes):
        assert word in text
    assert max(map(len, text.splitlines())) <= 100
    code, data = cluster.status()
    assert code == 0 and gateway in json.dumps(data)
    broken = scene.policy(gateway="not-there", wait=False)

    def told():
        code, text = cluster.ctl("status")
        return code == 1 and broken["metadata"]["name"] in text and "not-there" in text

    until(told, "egw ctl status tells of the policy without a gateway")


def test_a_hundred_policies(cluster, scene):
    gateway = scene.gateway(size=10)
    srv, home = cluster.srv, cluster.node("n1")
    pods = [scene.pod("n1", {"test": f"many-{n}"}) for n in range(10)]
    wanted = []
    for n in range(100):  # ten a pod: nine for elsewhere, one for the server
        four, six = scene.eip(n % 10)
        here = n // 10 == n % 10
        wanted.append(
            scene.policy(
                gateway=gateway,
                pods={"test": f"many-{n // 10}"},
                ipv4=four,
                ipv6=six,
                wait=False,
                destinations=(
                    [f"{srv.ip4}/32", f"{srv.ip6}/128"]
                    if here
                    else [f"192.0.2.{n}/32", f"2001:db8::{n:x}/128"]
                ),
            )
        )
    for policy in wanted:
        scene.await_policy(policy)
    for n, pod in enumerate(pods):
        scene.await_eip(pod, which=n)
        check(pod, srv, *scene.eip(n))
    holders = [scene.holder(gateway, n) for n in range(10)]
    assert sorted(holders.count(node) for node in ("n2", "n3")) == [5, 5], "placed evenly"
    for policy in wanted:
        scene.delete(policy)
    for pod in pods:
        cluster.await_source(pod, srv.ip4, home.ip4)
        cluster.await_source(pod, srv.ip6, home.ip6)
