# SPDX-License-Identifier: Apache-2.0
"""README's "Remove", after all other tests: egw is gone then, and inside the cluster all is as it
was with it."""

import itertools

from checks import EIP, check_node_address, spread
from lab.wait import until
from workload import ANSWERS, PROTOS, SERVICE, ask


def test_nothing_of_egw_is_left(cluster, billing, other):
    pods = spread(billing)
    for node in cluster.nodes.values():
        assert traces(node)
    with_egw = inside(cluster, billing, other)
    cluster.remove_egw()
    for pod in pods:
        check_node_address(cluster, pod)
    for node in cluster.nodes.values():
        assert traces(node) == []
    assert with_egw == inside(cluster, billing, other), "inside the cluster egw changes nothing"


def traces(node):
    """Lines of the kernel's tables with a name of egw's, or the number of its routes' protocol.
    Not what kube-proxy named after egw's Services: it takes such chains away in its own time."""
    commands = (
        "nft list ruleset",
        "ip -d link",
        "ip rule",
        "ip -6 rule",
        "ip route show table all",
        "ip -6 route show table all",
        "ip addr",
    )
    lines = [line for c in commands for line in node.netns.run(*c.split()).splitlines()]
    marks = ("egw", "proto 217", *EIP)
    lines = [line.strip() for line in lines if "egw-system/" not in line]
    return [line for line in lines if any(mark in line for mark in marks)]


def inside(cluster, billing, other):
    """Who sees whom: of every pair of a selected pod, a pod of no policy, a node and the host
    outside with pods, Services and node ports, in both families by TCP and UDP, the source that the
    asked one saw. Where kube-proxy may choose, it is only told that there was an answer."""
    askers = {pod.name: pod.answered_by for pod in (*spread(billing), *spread(other))}
    hosts = {**{node.name: node.netns for node in cluster.nodes.values()},
             "outside": cluster.srv.netns}
    for name, netns in hosts.items():
        askers[name] = lambda *where, netns=netns: netns.call(ask, *where)
    found = {}
    for (name, answer), proto in itertools.product(askers.items(), PROTOS):
        for what, address, port, certain in targets_of(cluster, other, proto, name):
            got = until(
                lambda: answer(address, proto, port), f"{name} asks {what} at {address} ({proto})"
            )
            found[name, what, address, proto] = got.source if certain else bool(got)
    return found


def targets_of(cluster, other, proto, asker):
    outside = asker == "outside"
    for pod in spread(other):
        for address in pod.addresses:
            # From outside a pod is reached by its node alone; one that asks itself is no pair.
            if not outside and asker != pod.name:
                yield "pod", address, ANSWERS, True
    for address in [] if outside else other.service:
        yield "Service", address, SERVICE, False
    for node in cluster.nodes.values():
        for address in (node.ip4, node.ip6):
            yield f"port of {node.name}", address, other.node_ports[proto], outside
