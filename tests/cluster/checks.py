# SPDX-License-Identifier: Apache-2.0
"""What the outside server should see of pods."""

import time

from lab import kernel
from lab.wait import until
from workload import PROTOS

GATEWAY_NODES = ("n2", "n3")
EIP = ("10.6.1.55", "fd06::1:55")


def targets(cluster):
    """(address of the outside server, protocol, EIP of that family)."""
    for address, eip in zip((cluster.srv.ip4, cluster.srv.ip6), EIP):
        for proto in PROTOS:
            yield address, proto, eip


def check_node_address(cluster, pod):
    for address, proto, _ in targets(cluster):
        check_source(cluster, pod, address, proto, pod.node.address(address))


def check_eip(cluster, pod):
    for address, proto, eip in targets(cluster):
        check_source(cluster, pod, address, proto, eip)


def check_source(cluster, pod, address, proto, expected):
    began = time.monotonic()
    seen = pod.seen(address, proto)
    if seen == expected:
        return
    lines = [
        f"{proto} of {pod.name} on {pod.node.name} to {address}: the server saw {seen}, not "
        f"{expected}, after {time.monotonic() - began:.3f} s"
    ]
    lines += [f"the server has packets of {entry}" for entry in cluster.srv.seen(proto=proto)]
    for node in cluster.nodes.values():
        lines += [f"{node.name}: {e}" for e in kernel.conntrack(node, pod.address(address), proto)]
    lines.append(f"asked again: {pod.seen(address, proto)}")
    raise AssertionError("\n".join(lines))


def await_forgotten(pod):
    """Until no connection of the pod is left that a policy had. Until then its packets are dropped,
    and a new socket may happen to get the port of an old one."""

    def forgotten():
        for address in pod.addresses:
            entries = kernel.conntrack(pod.node, f"src={address} ", "mark=")
            left = [entry for entry in entries if "mark=0 " not in entry]
            assert left == []
        return True

    until(forgotten, f"{pod.node.name} has forgotten the connections of {pod.name}")


def spread(workload):
    """Its pods, when there is one on each node."""

    def found():
        pods = workload.pods()
        assert sorted(pod.node.name for pod in pods) == ["n1", "n2", "n3"]
        return pods

    return until(found, f"a pod of {workload.name} on each node")


def await_eip(cluster, pod):
    """Until it leaves by the EIP in both families."""
    pod.wait_known()
    for target, eip in zip((cluster.srv.ip4, cluster.srv.ip6), EIP):
        what = f"{pod.name} to {target} leaves as {eip}"
        until(lambda: pod.seen(target, "udp", 0.5) == eip, what)
