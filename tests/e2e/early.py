# SPDX-License-Identifier: Apache-2.0
"""Pods that send from their first instruction on, whatever the cluster knows of them."""

import collections
import socket
import threading

PORT = 8080
PAUSE = 0.005


def send_until(stop, targets, sent):
    """Datagrams and, each fourth time, SYNs of a new connection to all targets, counted."""
    sockets = []
    kinds = {t: socket.AF_INET6 if ":" in t else socket.AF_INET for t in targets}
    datagrams = {t: socket.socket(kinds[t], socket.SOCK_DGRAM) for t in targets}
    while True:
        for target, udp in datagrams.items():
            try:
                sent["udp"] += udp.sendto(b'{"id": "early"}\n', (target, PORT)) > 0
            except OSError:  # a refusal is no packet
                sent["refused"] += 1
            if sent["rounds"] % 4 == 0:
                tcp = socket.socket(kinds[target], socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                tcp.connect_ex((target, PORT))
                sockets.append(tcp)
                sent["tcp"] += 1
        sent["rounds"] += 1
        if stop.wait(PAUSE):
            break
    for sock in (*datagrams.values(), *sockets):
        sock.close()


class Sender:
    """Sends from a pod until stopped."""

    def __init__(self, pod, *targets):
        self.pod, self.targets, self.sent = pod, targets, collections.Counter()
        self.halt = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        self.pod.netns.call(send_until, self.halt, self.targets, self.sent)

    def stop(self):
        self.halt.set()
        self.thread.join()
        return self.sent

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
