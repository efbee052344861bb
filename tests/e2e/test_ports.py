# SPDX-License-Identifier: Apache-2.0
"""More connections to one destination than an EIP has ports: what is dropped is told of."""

import socket

from packets import udp_packet
from reports import await_told, condition

DISCARD, FIRST, LAST = 9, 1024, 65535


def send_from_every_port(pod, target):
    """A datagram from each port, as so many flows, by one socket."""

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            for port in range(FIRST, LAST + 1):
                sock.sendto(udp_packet(pod.ip4, target, port, DISCARD, b"?"), (target, 0))

    pod.netns.call(send)


def test_an_eip_without_a_free_port_is_told_of(cluster, scene):
    gateway, pods = scene.gateway(), [scene.pod("n1"), scene.pod("n1")]
    scene.policy(gateway=gateway)
    scene.await_eip(*pods)
    holder, eip, srv = scene.holder(gateway), scene.eip()[0], cluster.srv
    assert condition(cluster, holder, "PortsAvailable")["status"] == "True"
    srv.clear()
    for pod in pods:
        send_from_every_port(pod, srv.ip4)
    to = f"{srv.ip4} port {DISCARD} (protocol 17)"
    await_told(cluster, holder, "PortsAvailable", "PortsExhausted", f"egress IP {eip} has", to)
    metrics = cluster.metrics(cluster.node(holder))
    assert f'destination="{srv.ip4}",port="{DISCARD}"' in metrics
    scene.await_eip(*pods)  # to other destinations, and to other ports of this one
    assert srv.foreign(scene.eip()) == []
