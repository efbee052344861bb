# SPDX-License-Identifier: Apache-2.0
"""Everything that can be changed is changed under traffic: the outside servers never see a selected
pod by another address than they should. One lab, few flows, the cases one after the other."""

import contextlib
import os

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
                until(lambda: scene.placed(gateway) not in (holder, None), "another holder")
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


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_pod_moves_between_policies_of_one_gateway_node(cluster, scene, node):
    """Once a pod was seen by its new address, it never is by the former one again."""
    cluster.label_node("n3", {"egress": None})
    try:
        gateway, pod, srv = scene.gateway(size=2), scene.pod(node), cluster.srv
        turns = [(pod.labels, scene.eip(0)), ({"test": f"else-{scene.number}"}, scene.eip(1))]
        for labels, (four, six) in turns:
            scene.policy(gateway=gateway, pods=labels, ipv4=four, ipv6=six)
        scene.await_eip(pod)
        with contextlib.ExitStack() as stack:
            old, new = (
                [stack.enter_context(pod.flow(kind, a, 0.002)) for a in (srv.ip4, srv.ip6)]
                for kind in ("udp", "connect")
            )
            wait_received(old + new, 50)
            for turn in range(1, 7):
                (_, former), (labels, eip) = turns[(turn - 1) % 2], turns[turn % 2]
                srv.clear()
                until(lambda: set(former) <= set(srv.sources()), f"the pod is seen by {former}")
                cluster.api.patch(
                    "pods", pod.name, {"metadata": {"labels": labels}}, pod.namespace
                )
                await_moved(old, eip)
                until(lambda: set(eip) <= set(srv.sources()), f"the pod is seen by {eip}")
                wait_received(old + new, 50)
                seen = srv.seen()
                for before, after in zip(former, eip):
                    left = max(e["last"] for e in seen if e["src"] == before)
                    came = min(e["first"] for e in seen if e["src"] == after)
                    assert left <= came, f"{before} {1000 * (left - came):.1f} ms after {after}"
    finally:
        cluster.label_node("n3", {"egress": "true"})


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


def can_bind_tables():
    """Whether this kernel keeps others from changing the agent's tables: 6.9 and newer."""
    return tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 9)


@pytest.mark.parametrize("harm", ["delete table {} egw", "flush table {} egw"])
def test_ruleset_deleted_by_hand(cluster, scene, harm):
    """Refused where the kernel can do that; else repaired within a second."""
    gateway, pod, node = scene.gateway(), scene.pod("n1"), cluster.node("n1")
    scene.policy(gateway=gateway)
    scene.await_eip(pod)

    def tables():  # without what stands in sets: some of it goes by itself
        listing = ["nft", "-s", "-t", "list", "table"]
        return [node.netns.run(*listing, f, "egw", check=False) for f in ("ip", "ip6")]

    wanted = tables()
    strict = nobody_but(cluster.srv, *scene.eip())
    allowed = strict if can_bind_tables() else contextlib.nullcontext()
    with live_flows(scene, pod) as flows, allowed:
        for family in ("ip", "ip6"):
            argv = ["nft", *harm.format(family).split()]
            assert (node.netns.popen(argv).wait(10) != 0) == can_bind_tables()
        until(lambda: tables() == wanted, "the tables are as before", timeout=1.0)
        wait_received(datagrams(flows), 20)
        scene.await_eip(pod)


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


def test_tunnel_taken_out_of_its_group(cluster, scene):
    """By which rules know it. On the pods' node nothing goes by the tunnel then, on the gateway
    nothing begins; both are repaired within a second."""
    gateway, pod = scene.gateway(), scene.pod("n1")
    scene.policy(gateway=gateway)
    scene.await_eip(pod)

    def group(node):
        return node.netns.ip_json("link", "show", "dev", "egw0")[0]["group"]

    wanted = {name: group(node) for name, node in cluster.nodes.items()}
    with live_flows(scene, pod) as flows, nobody_but(cluster.srv, *scene.eip()):
        for name, node in cluster.nodes.items():
            for _ in range(20):
                node.netns.ip("link", "set", "egw0", "group", "default")
                until(lambda: group(node) == wanted[name], f"{name}: repaired", timeout=1.0)
            wait_received(datagrams(flows), 20)
        scene.await_eip(pod)
