# SPDX-License-Identifier: Apache-2.0
"""Pods send before their address is in the API, and after it has left it. The sniffer at the
outside server is the judge."""

import collections
import contextlib

from early import Sender

from lab.wait import until

PODS = 100


def await_starting(cluster, count, node="n1"):
    """Until the node's agent knows that so many pods of policies start there."""
    until(
        lambda: cluster.metric(cluster.node(node), "egw_node_pods_starting") == count,
        f"the agent of {node} knows that {count} pods start",
        pause=0.002,
    )


def restart(cluster, name="n1"):
    """Until the new agent has read everything, and the kernel is as it plans."""
    node = cluster.node(name)
    node.agent.restart()

    def settled():
        try:
            return cluster.metric(node, "egw_agent_settled") == 1
        except OSError:  # it does not listen yet
            return False

    until(settled, f"the agent of {name} is settled", 30)
    until(cluster.all_ready, "every node Ready", 30)


def start_early(cluster, stack, pod, waiting):
    """Binds the pod and lets it send; kubelets too hear of a pod before it has a network."""
    cluster.bind_pod(pod)
    waiting.append(pod)
    await_starting(cluster, len(waiting), pod.node.name)
    pod.sender = stack.enter_context(Sender(pod, cluster.srv.ip4, cluster.srv.ip6))


def tell(cluster, waiting):
    """The first of those that wait has an address now. It has sent before, however busy we are."""
    pod = waiting.popleft()
    until(lambda: pod.sender.sent["tcp"] >= 4, f"{pod.name} has sent", pause=0.002)
    cluster.tell_addresses(pod)
    await_starting(cluster, len(waiting), pod.node.name)
    return pod


def test_pods_send_before_their_address_is_known(cluster, scene):
    """A hundred pods, one after the other as fast as the API server takes them; five of them
    send unknown at any time, and so does the one before while it becomes known."""
    gateway, srv = scene.gateway(), cluster.srv
    scene.policy(gateway=gateway)
    pods = [scene.wired_pod() for _ in range(PODS)]
    waiting, told = collections.deque(), collections.deque()
    srv.clear()
    with contextlib.ExitStack() as stack:
        for pod in pods:
            start_early(cluster, stack, pod, waiting)
            if len(waiting) == 5:
                told.append(tell(cluster, waiting))
            if len(told) == 3:
                told.popleft().sender.stop()
        while waiting:
            told.append(tell(cluster, waiting))
        scene.await_eip(*told)
    assert srv.foreign(scene.eip()) == []
    assert set(srv.sources()) == set(scene.eip())

    # The same packets do leave by the node where they may: so they are early.
    agent = cluster.node("n1").agent
    before = list(agent.argv)
    agent.argv.append("--unknown-pods=Allow")
    try:
        restart(cluster)
        young = scene.wired_pod()
        with contextlib.ExitStack() as stack:
            start_early(cluster, stack, young, waiting)
            until(lambda: len(srv.foreign(scene.eip())) == 4, "all early packets seen outside")
            tell(cluster, waiting)
    finally:
        agent.argv[:] = before
        restart(cluster)


def test_address_of_a_pod_that_goes_is_anothers_at_once(cluster, scene):
    """The old pod goes on sending when its object has gone; the next one, of another namespace
    and policy, sends with the same address before anybody knows that it has it."""
    gateway, srv, space = scene.gateway(size=2), cluster.srv, f"space-{scene.number}"
    cluster.namespace(space)
    scene.policy(gateway=gateway)
    four, six = scene.eip(1)
    scene.policy(gateway=gateway, namespace=space, ipv4=four, ipv6=six)
    waiting, node = collections.deque(), cluster.node("n1")

    def next_pod(namespace, labels=None):
        node.taken = old.number_on_node - 1
        pod = scene.wired_pod(namespace=namespace, labels=labels)
        assert pod.ip4 == old.ip4, "the address is used again"
        return pod

    old = scene.wired_pod()
    old.number_on_node = node.taken
    cluster.bind_pod(old)
    cluster.tell_addresses(old)
    scene.await_eip(old)
    srv.clear()
    with Sender(old, srv.ip4, srv.ip6) as sender:
        until(lambda: srv.sources(), "the old pod is seen")
        cluster.kubelet.delete_pod(old.namespace, old.name)
        cluster.await_source(old, srv.ip4, None)
        cluster.await_source(old, srv.ip6, None)
        assert sender.stop()["udp"] > 20
    assert srv.foreign(scene.eip()) == []
    cluster.remove_pod(old)
    srv.clear()
    with contextlib.ExitStack() as stack:
        second = next_pod(space)
        start_early(cluster, stack, second, waiting)
        tell(cluster, waiting)
        scene.await_eip(second, which=1)
    assert srv.foreign(scene.eip(1)) == []
    # And one of no policy leaves by its node as soon as it is known.
    cluster.remove_pod(second)
    third = next_pod("default", {"test": "stranger"})
    cluster.bind_pod(third)
    cluster.tell_addresses(third)
    cluster.await_source(third, srv.ip4, node.ip4)
    cluster.await_source(third, srv.ip6, node.ip6)
