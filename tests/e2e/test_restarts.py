# SPDX-License-Identifier: Apache-2.0
"""Agents, controllers and the API server come and go; packets must not notice."""

import contextlib

import pytest

from lab import kernel, objects
from lab.traffic import wait_received
from lab.wait import until


@contextlib.contextmanager
def traffic(scene, pods):
    """UDP every 10 ms and a TCP connection pushed from both ends, in both families, from each
    pod; at the end nothing may be lost and nobody but the egress address seen."""
    srv = scene.cluster.srv
    scene.cluster.srv.clear()
    with contextlib.ExitStack() as stack:
        flows = [
            stack.enter_context(pod.flow(kind, address, 0.01 if kind == "udp" else 0.04))
            for pod in pods
            for kind in ("udp", "tcp")
            for address in (srv.ip4, srv.ip6)
        ]
        wait_received(flows, 10)

        def more(count=20):
            wait_received(flows, count)

        yield more
        more()
        reports = [(flow.kind, flow.stop()) for flow in flows]
    for kind, report in reports:
        assert report["lost"] == 0, (kind, report)
        assert not report["errors"], (kind, report)
        assert set(report["sources"]) <= set(scene.eip()), (kind, report)
        if kind == "tcp":
            assert not report["broken"] and report["wrong"] == 0 and report["pushed"] > 0, report
            arrived = srv.flow(report["id"])
            assert arrived["received"] == report["sent"] and arrived["wrong"] == 0, (
                report,
                arrived,
            )
    assert srv.foreign(scene.eip()) == []


@pytest.fixture
def busy(cluster, scene):
    """A policy in force, a pod on a plain node and one on each gateway node."""
    gateway = scene.gateway()
    pods = [scene.pod(name) for name in cluster.nodes]
    scene.policy(gateway=gateway)
    scene.await_eip(*pods)
    return pods


def works_again(cluster):
    until(cluster.all_ready, "every node Ready", 30)


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_agents_restart_without_a_lost_packet(cluster, scene, busy, how):
    with traffic(scene, busy) as more:
        for agent in cluster.agents.values():
            agent.stop() if how == "SIGTERM" else agent.kill()
            more(12)
            agent.start()
            works_again(cluster)
            more(12)
    later = scene.pod("n1")  # and they do their work
    scene.await_eip(later)


def test_every_rule_is_replaced_without_a_lost_packet(cluster, scene, busy):
    """Agents come back with other bits for their packet marks, and once more with the former ones:
    each rule and route that bears a mark is another."""
    agents = list(cluster.agents.values())
    former = {agent: agent.argv for agent in agents}

    def restart(agent, argv):
        agent.stop()
        agent.argv = argv
        agent.start()
        works_again(cluster)

    def rules():
        return {rule.get("fwmask") for rule in cluster.node("n1").netns.ip_json("rule", "show")}

    with traffic(scene, busy) as more:
        try:
            for agent in agents:
                restart(agent, [*former[agent], "--mark-mask", "0x7e00000"])
                more(12)
            assert "0x7e00000" in rules() and "0x307f" not in rules()
            later = scene.pod("n1")
            # It runs before any agent has heard of it, and would be seen by its node's address.
            known = ("nft", "list", "map", "ip", "egw", "pods")
            until(lambda: later.ip4 in cluster.node("n1").netns.run(*known), "n1 knows the pod")
            scene.await_eip(later)
        finally:
            for agent in agents:
                restart(agent, former[agent])
        more(12)
        assert "0x307f" in rules() and "0x7e00000" not in rules()


def test_controllers_restart_without_a_lost_packet(cluster, scene, busy):
    with traffic(scene, busy) as more:
        for controller in cluster.controllers.values():
            controller.stop()
            more(12)
            controller.start()
            more(12)
        leader = until(cluster.leader, "a leader")
        cluster.controllers[leader].kill()
        more(12)
        cluster.controllers[leader].start()
        for controller in cluster.controllers.values():  # all at once
            controller.kill()
        more()
        for controller in cluster.controllers.values():
            controller.start()
    extra = scene.pod("n1", {"test": "later"})
    scene.policy(gateway=f"gw-{scene.number}", pods={"test": "later"}, wait=False)
    until(
        lambda: extra.seen(cluster.srv.ip4) == scene.eip()[0],
        "a policy made after the restarts works",
        40,
    )


@pytest.mark.parametrize("how", ["stopped", "hung"])
def test_api_server_away_and_back(cluster, scene, busy, how):
    server = cluster.server
    with traffic(scene, busy) as more:
        server.stop() if how == "stopped" else server.pause()
        more(100)
        for agent in cluster.agents.values():  # with nobody to ask
            agent.restart()
        more(50)
        server.start() if how == "stopped" else server.resume()
        works_again(cluster)
        more(12)
    # Until their next attempt watches wait as long as the server was away.
    later = scene.pod("n1")
    cluster.await_source(later, cluster.srv.ip4, scene.eip()[0], timeout=40)
    scene.await_eip(later)


def test_what_happened_while_the_api_server_was_away_counts(cluster, scene, busy):
    """A pod and a policy go while the agent of their node is down: they are gone when it is
    back."""
    gone, home = busy[0], cluster.node("n1")
    cluster.agents["n1"].kill()
    cluster.api.patch("pods", gone.name, {"metadata": {"labels": {"test": "other"}}}, "default")
    cluster.agents["n1"].start()
    cluster.await_source(gone, cluster.srv.ip4, home.ip4)
    cluster.await_source(gone, cluster.srv.ip6, home.ip6)
    scene.await_eip(*busy[1:])


def test_other_tunnel_subnets_without_a_restart_of_agents(cluster, scene, busy):
    """The controllers get other options; agents follow, and meanwhile nobody sees another
    source."""
    before = {name: agent.pid for name, agent in cluster.agents.items()}
    subnets = ["--tunnel-ipv4-subnet=172.29.0.0/24", "--tunnel-ipv6-subnet=fd29::/112"]
    old = {name: list(controller.argv) for name, controller in cluster.controllers.items()}

    def restart(extra):
        for name, controller in cluster.controllers.items():
            controller.stop()
            controller.argv[:] = old[name] + extra
        for controller in cluster.controllers.values():
            controller.start()

    def tunnels_in(prefix):
        nodes = cluster.api.list(objects.NODES)
        return all(n["status"]["tunnel"]["ipv4"].startswith(prefix) for n in nodes)

    cluster.srv.clear()
    try:
        restart(subnets)
        until(lambda: tunnels_in("172.29.0."), "addresses of the new subnet")
        works_again(cluster)
        scene.await_eip(*busy)
        for node in cluster.nodes.values():
            text = kernel.raw(node)
            assert "172.31." not in str(text), "nothing of the old subnet is left"
    finally:
        restart([])
        until(lambda: tunnels_in("172.31."), "addresses of the old subnet")
        works_again(cluster)
    scene.await_eip(*busy)
    assert cluster.srv.foreign(scene.eip()) == []
    assert before == {name: agent.pid for name, agent in cluster.agents.items()}
