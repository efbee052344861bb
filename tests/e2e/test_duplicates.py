# SPDX-License-Identifier: Apache-2.0
"""Another host on the segment uses an egress IP as well: it is told of in a condition, an Event, a
metric and `egw ctl status`, and the gateway serves on."""

import pytest

from lab.wait import until
from reports import await_told, condition


def mac_of(host):
    return host.ip_json("link", "show", "dev", "eth0")[0]["address"]


def await_conflict(cluster, node, eip, mac):
    used = f"egress IP {eip} is used on eth0"
    await_told(cluster, node, "EIPsUnique", "DuplicateAddress", used, mac, "pool")
    metrics = cluster.metrics(cluster.node(node))
    assert f'egw_node_eip_conflicts{{eip="{eip}",mac="{mac}"}} 1' in metrics


def await_unique(cluster, node):
    until(
        lambda: condition(cluster, node, "EIPsUnique")["status"] == "True",
        f"{node} is alone again",
        20,
    )


@pytest.mark.parametrize("family", (4, 6))
def test_before_use(cluster, scene, family):
    """It has the address when the gateway takes it."""
    eip, host = scene.eip()[family == 6], cluster.srv.netns
    bits, nodad = (32, []) if family == 4 else (128, ["nodad"])
    mac = mac_of(host)
    host.ip("addr", "add", f"{eip}/{bits}", "dev", "eth0", *nodad)
    try:
        gateway = scene.gateway()
        pod = scene.pod()
        policy = scene.policy(gateway=gateway)
        holder = scene.holder(gateway)
        await_conflict(cluster, holder, eip, mac)
        # The other family's address is nobody else's.
        other = (cluster.srv.ip4, cluster.srv.ip6)[family == 4]
        cluster.await_source(pod, other, scene.eip()[family == 4])
    finally:
        host.ip("addr", "del", f"{eip}/{bits}", "dev", "eth0")
    scene.delete(policy)
    await_unique(cluster, holder)


def test_during_use(cluster, scene):
    """It comes later, and says so."""
    gateway, pod = scene.gateway(), scene.pod()
    policy = scene.policy(gateway=gateway)
    scene.await_eip(pod)
    holder, eip = scene.holder(gateway), scene.eip()[0]
    assert condition(cluster, holder, "EIPsUnique")["status"] == "True"
    host = cluster.srv.netns
    mac = mac_of(host)
    host.ip("addr", "add", f"{eip}/32", "dev", "eth0")
    try:
        # Whoever uses an address asks for neighbours in its name; here for one that nobody is.
        host.run("ping", "-c", "1", "-W", "1", "-I", eip, "10.6.255.254", check=False)
        await_conflict(cluster, holder, eip, mac)
    finally:
        host.ip("addr", "del", f"{eip}/32", "dev", "eth0")
    scene.delete(policy)
    await_unique(cluster, holder)
