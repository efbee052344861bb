# SPDX-License-Identifier: Apache-2.0
"""README's "Remove", after all other tests: egw is gone then."""

from checks import EIP, check_node_address, spread


def test_nothing_of_egw_is_left(cluster, billing):
    pods = spread(billing)
    for node in cluster.nodes.values():
        assert traces(node)
    cluster.remove_egw()
    for pod in pods:
        check_node_address(cluster, pod)
    for node in cluster.nodes.values():
        assert traces(node) == []


def traces(node):
    """Lines of the kernel's tables with a name of egw's, or the number of its routes' protocol."""
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
    return [line.strip() for line in lines if any(mark in line for mark in marks)]
