# SPDX-License-Identifier: Apache-2.0
"""Everything that can be changed is changed under traffic: the outside servers never see a selected
pod by another address than they should. One lab, few flows, the cases one after the other."""

import contextlib

import pytest

from lab import kernel, objects
from lab.traffic import wait_received
from lab.wait import until
from test_closed_door import live_flows, pod_addresses


@contextlib.contextmanager
def nobody_but(server, *allowed):
    """At the end, whoever the server saw meanwhile is one of these."""
    server.clear()
    yield
    seen = [f"{e['src']} {e['proto']} {e['dst']} x{e['packets']}" for e in server.foreign(allowed)]
    assert not seen, seen


def nodes_of(cluster):
    return [a for node in cluster.nodes.values() for a in (node.ip4, node.ip6)]


def datagrams(flows):
    return [flow for flow in flows if flow.kind == "udp"]


def await_moved(flows, eip):
    """Until each of the datagram flows, which are older than a change, is seen by this address: its
    gateway forgets an older connection when it has heard of the change itself, a moment after the
    pod's node."""

    def answers(flow):
        sources = flow.stats()["sources"]
        return sum(sources.get(address, 0) for address in eip)

    for flow, before in [(flow, answers(flow)) for flow in datagrams(flows)]:
        until(lambda: answers(flow) > before, f"{flow.process.name} leaves by {eip}")


def test_changes_under_traffic(cluster, scene):
    gateway, srv = scene.gateway(size=2), cluster.srv
    pods = [scene.pod("n1"), scene.pod("n2")]
    one, two = scene.eip(0), scene.eip(1)
    mine = scene.policy(name=f"mine-{scene.number}", gateway=gateway, ipv4=one[0], ipv6=one[1])
    scene.policy(
        gateway=gateway, pods={"test": f"other-{scene.number}"}, ipv4=two[0], ipv6=two[1]
    )
    scene.await_eip(*pods)
    with live_flows(scene, *pods) as flows:
        answered = datagrams(flows)

        with nobody_but(srv, *one):  # edited, again and again
            for turn in range(20):
                mine["spec"]["priority"] = 500 + turn
                mine["spec"]["excludedSubnet"] = [f"192.0.2.{turn}/32"]
                mine["spec"]["destSubnet"] = [] if turn % 2 else ["0.0.0.0/0", "::/0"]
                cluster.apply(mine)
            scene.await_policy(mine)
            wait_received(answered, 20)

        with nobody_but(srv, *one):  # the address moves from node to node
            for _ in range(2):
                holder = scene.holder(gateway)
                cluster.label_node(holder, {"egress": None})
                until(lambda: scene.holder(gateway) not in (holder, None), "another holder")
                scene.await_eip(*pods)
                cluster.label_node(holder, {"egress": "true"})
            scene.await_eip(*pods)

        with nobody_but(srv, *one):  # no gateway node is left, and they come back
            for name in ("n2", "n3"):
                cluster.label_node(name, {"egress": None})
            cluster.await_source(pods[0], srv.ip4, None)
            for flow in answered:
                flow.wait_sent(20)
            for name in ("n2", "n3"):
                cluster.label_node(name, {"egress": "true"})
            scene.await_eip(*pods)

        with nobody_but(srv, *one, *two):  # other labels, another policy
            for pod in pods:
                labels = {"test": f"other-{scene.number}"}
                cluster.api.patch("pods", pod.name, {"metadata": {"labels": labels}}, "default")
            for pod in pods:
                for target, eip in zip((srv.ip4, srv.ip6), two):
                    cluster.await_source(pod, target, eip)
            await_moved(flows, two)
        with nobody_but(srv, *two):
            for flow in answered:
                flow.wait_sent(20)
        with nobody_but(srv, *one, *two):
            for pod in pods:
                cluster.api.patch(
                    "pods", pod.name, {"metadata": {"labels": pod.labels}}, "default"
                )
            scene.await_eip(*pods)
            await_moved(flows, one)

        with nobody_but(srv, *one, *nodes_of(cluster)):  # deleted and made again
            scene.delete(mine)
            cluster.await_source(pods[0], srv.ip4, pods[0].node.ip4)
            cluster.apply(mine)
            scene.await_policy(mine)
            scene.await_eip(*pods)
            await_moved(flows, one)
        with nobody_but(srv, *one):
            wait_received(answered, 20)

        with nobody_but(srv, *one, *nodes_of(cluster)):  # the server becomes a part of the cluster
            extra = {"spec": {"extraCidr": [f"{srv.ip4}/32", f"{srv.ip6}/128"]}}
            cluster.api.patch(objects.CLUSTER_INFO, "default", extra)
            try:
                for pod in pods:
                    cluster.await_source(pod, srv.ip4, pod.node.ip4)
                    cluster.await_source(pod, srv.ip6, pod.node.ip6)
            finally:
                cluster.api.patch(
                    objects.CLUSTER_INFO, "default", {"spec": {"extraCidr": []}}
                )
            scene.await_eip(*pods)
            await_moved(flows, one)
        with nobody_but(srv, *one):
            wait_received(answered, 20)


def test_connections_older_than_the_policy(cluster, scene):
    """Datagrams go on with the new source; a TCP connection, which the server knows by the old
    one, is reset. Until the policy is in force they leave by the node, never by the pod."""
    gateway, srv = scene.gateway(), cluster.srv
    pods = [scene.pod("n1"), scene.pod("n2")]
    with live_flows(scene, *pods) as flows:
        with nobody_but(srv, *scene.eip(), *nodes_of(cluster)):
            scene.policy(gateway=gateway)
            scene.await_eip(*pods)
            for flow in flows:
                if flow.kind == "tcp":
                    until(lambda: flow.stats()["broken"], "the old connection has ended")
            await_moved(flows, scene.eip())
        with nobody_but(srv, *scene.eip()):
            wait_received(datagrams(flows), 20)
    assert not set(srv.sources()) & pod_addresses(*pods)


def damage_routes(node):
    for family in ("-4", "-6"):
        tables = {
            route.get("table")
            for route in node.netns.ip_json(family, "route", "show", "table", "all")
        }
        for table in tables:
            if str(table).startswith("77"):
                node.netns.ip(family, "route", "flush", "table", str(table), check=False)


def damage_address(node):
    for link in node.netns.ip_json("addr", "show", "dev", "egw0"):
        for address in link["addr_info"]:
            if address["scope"] == "global":
                where = f"{address['local']}/{address['prefixlen']}"
                node.netns.ip("addr", "del", where, "dev", "egw0", check=False)


@pytest.mark.parametrize("damage", [damage_routes, damage_address])
def test_routes_and_address_deleted_by_hand(cluster, scene, damage):
    """Repaired within a second, and never open meanwhile."""
    gateway, pod, node = scene.gateway(), scene.pod("n1"), cluster.node("n1")
    scene.policy(gateway=gateway)
    scene.await_eip(pod)
    parts = ("route", "addr", "rule", "fdb", "neigh")

    def state():
        text = kernel.raw(node)
        return {part: sorted(text[part].splitlines()) for part in parts}

    wanted = state()
    with live_flows(scene, pod) as flows, nobody_but(cluster.srv, *scene.eip()):
        damage(node)
        until(lambda: state() == wanted, "the kernel is as before", timeout=1.0)
        wait_received(datagrams(flows), 20)
        scene.await_eip(pod)
