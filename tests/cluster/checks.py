# SPDX-License-Identifier: Apache-2.0
"""What the outside server should see of pods."""

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
        assert pod.seen(address, proto) == pod.node.address(address), (pod.name, address, proto)


def check_eip(cluster, pod):
    for address, proto, eip in targets(cluster):
        assert pod.seen(address, proto) == eip, f"{proto} of {pod.name} on {pod.node.name}"


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
