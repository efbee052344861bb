# SPDX-License-Identifier: Apache-2.0
"""A node gets other addresses, as by another DHCP lease, while its pods, and pods whose gateway it
is, send. An EIP moves if its holder's tunnel is gone for long enough to be seen."""

import contextlib

import pytest

from lab import objects
from lab.traffic import wait_received
from lab.wait import until
from test_changes import nobody_but
from test_closed_door import live_flows


def readdress(cluster, node, ip4, ip6):
    """What DHCP, the kubelet and the CNI do: addresses, Node object, routes of the others."""
    old4, old6, node.ip4, node.ip6 = node.ip4, node.ip6, ip4, ip6
    # Else the kernel takes the second address of a subnet away with the first.
    node.netns.sysctl({"net.ipv4.conf.eth0.promote_secondaries": 1})
    node.netns.batch(
        f"addr add {ip4}/16 dev eth0\naddr add {ip6}/64 dev eth0 nodad\n"
        f"addr del {old4}/16 dev eth0\naddr del {old6}/64 dev eth0"
    )
    for other in cluster.nodes.values():
        if other is not node:
            other.netns.batch(cluster.cni.peer(other, node))
    cluster.kubelet.resume_renewing(node.name, [ip4, ip6])

    def told():
        tunnel = cluster.api.get(objects.NODES, node.name)["status"]["tunnel"]
        parent = tunnel.get("parent", {})  # none while the agent knows no address of its node
        assert (parent.get("ipv4"), parent.get("ipv6")) == (ip4, ip6), tunnel
        return True

    until(told, f"the EgressNode of {node.name} has {ip4}")


@contextlib.contextmanager
def other_addresses(cluster, node):
    old = node.ip4, node.ip6
    try:
        readdress(cluster, node, f"10.6.0.{100 + node.index}", f"fd06::{100 + node.index:x}")
        yield
    finally:
        readdress(cluster, node, *old)


@pytest.mark.parametrize("whose", ["pods", "gateway"])
def test_a_node_gets_other_addresses(cluster, scene, whose):
    gateway = scene.gateway()
    pods = [scene.pod(name) for name in cluster.nodes]
    scene.policy(gateway=gateway)
    scene.await_eip(*pods)
    node = cluster.node("n1" if whose == "pods" else scene.holder(gateway))
    with live_flows(scene, *pods) as flows, nobody_but(cluster.srv, *scene.eip()):
        with other_addresses(cluster, node):
            scene.await_eip(*pods)
            wait_received(flows, 10)
        scene.await_eip(*pods)
        wait_received(flows, 10)
