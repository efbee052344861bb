# SPDX-License-Identifier: Apache-2.0
"""Handles for the outside servers and for flows of pods."""

import json
import os
import socket
import subprocess
import sys

from .process import Process
from .wait import until

HERE = os.path.dirname(os.path.abspath(__file__))


class Server:
    """An outside server with its sniffer; the addresses are ipv4 first."""

    def __init__(self, lab, netns, name, addresses):
        self.netns, self.name, self.addresses = netns, name, addresses
        self.ip4 = next(a for a in addresses if ":" not in a)
        self.ip6 = next(a for a in addresses if ":" in a)
        self.requests = os.path.join(lab.directory, f"{name}.requests")
        self.socket = os.path.join(lab.directory, f"{name}.sock")
        argv = [
            sys.executable,
            f"{HERE}/server.py",
            "--control",
            self.socket,
            "--log",
            self.requests,
        ]
        for address in addresses:
            argv += ["--address", address]
        self.process = lab.process(netns, name, argv).start()
        self.connection = None

    def ready(self):
        self.process.wait_for_log("ready")
        return self

    def ask(self, **request):
        if self.connection is None:
            link = socket.socket(socket.AF_UNIX)
            link.settimeout(10)
            link.connect(self.socket)
            self.connection = link.makefile("rwb")
        self.connection.write(json.dumps(request).encode() + b"\n")
        self.connection.flush()
        answer = json.loads(self.connection.readline())
        if answer and "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer

    def clear(self):
        self.ask(do="clear")

    def stop_sniffing(self):
        """For good: where packets are counted by the hundred thousand, waking the sniffer for each
        would be most of what is measured."""
        self.ask(do="stop sniffing")

    def seen(self, proto=None, dst=None, dport=None):
        """What arrived since `clear`: a list of {src, proto, dst, dport, packets, syn, first,
        last}. Packets that the sniffer lost would make an absence worthless, so they are an error.
        """
        answer = self.ask(do="sources")
        if answer["lost"]:
            raise RuntimeError(f"{self.name}: the sniffer lost {answer['lost']} packets")
        return [
            e
            for e in answer["seen"]
            if proto in (None, e["proto"])
            and dst in (None, e["dst"])
            and dport in (None, e["dport"])
        ]

    def sources(self, **which):
        """{source address: packets} since `clear`."""
        total = {}
        for entry in self.seen(**which):
            total[entry["src"]] = total.get(entry["src"], 0) + entry["packets"]
        return total

    def foreign(self, allowed, **which):
        """What arrived since `clear` from any address that is not in `allowed`."""
        return [entry for entry in self.seen(**which) if entry["src"] not in allowed]

    def flow(self, ident):
        """What the server got of a pushing TCP flow: {received, next, wrong}."""
        return self.ask(do="flow", id=ident)


def wait_received(flows, more, timeout=30.0):
    """Until each of the flows has had `more` further answers."""
    goals = [(flow, flow.stats()["received"] + more) for flow in flows]
    for flow, goal in goals:
        until(
            lambda: flow.stats()["received"] >= goal,
            f"{more} more answers on {flow.process.name}",
            timeout,
            0.02,
        )


class Flow:
    """A running client.py flow in a namespace."""

    def __init__(self, lab, netns, name, kind, address, interval, port):
        self.kind = kind
        self.process = Process(
            netns,
            name,
            [
                sys.executable,
                f"{HERE}/client.py",
                "flow",
                kind,
                address,
                "--interval",
                interval,
                "--port",
                port,
            ],
            lab.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ).start()
        self.ended = None

    def stats(self):
        """Statistics so far (client.py says what they hold)."""
        if self.ended:
            return self.ended
        pipe = self.process.popen
        pipe.stdin.write(b"\n")
        pipe.stdin.flush()
        line = pipe.stdout.readline()
        if not line:
            raise RuntimeError(f"flow {self.process.name} ended: {self.process.tail()}")
        return json.loads(line)

    def wait_received(self, more, timeout=20.0):
        """Until `more` further answers have come; so a test waits for traffic, not for time."""
        wait_received([self], more, timeout)

    def wait_sent(self, more, timeout=20.0):
        goal = self.stats()["sent"] + more
        until(
            lambda: self.stats()["sent"] >= goal,
            f"{more} more requests on {self.process.name}",
            timeout,
            0.02,
        )

    def stop(self):
        """End the flow; answers still on their way get a few seconds."""
        if not self.ended:
            pipe = self.process.popen
            pipe.stdin.close()
            line = pipe.stdout.readline()
            pipe.wait(timeout=10)
            pipe.stdout.close()
            if not line:
                raise RuntimeError(f"flow {self.process.name} ended: {self.process.tail()}")
            self.ended = json.loads(line)
        return self.ended

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.ended is None:
            self.process.kill()
            self.process.popen.stdin.close()
            self.process.popen.stdout.close()
