#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The pod's side: asks the server which source it saw, once or without end.

As a program (inside a pod's namespace):
  client.py seen ADDRESS [--proto tcp|udp]         prints the source that the server saw
  client.py flow tcp|udp|connect ADDRESS ...       goes on until standard input ends; every line on
                                                   standard input prints the statistics so far
                                                   (JSON)
"""

import argparse
import collections
import itertools
import json
import os
import select
import socket
import sys
import time

PORT = 8080
SO_RCVBUFFORCE = 33
GRACE = (
    3.0  # seconds that answers may still take when a flow ends: a busy machine is slow, not lossy
)
PATIENCE = float(os.environ.get("EGW_PATIENCE", "1"))  # as in wait.py: this is a program, too
_ids = itertools.count()


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def new_id():
    return f"{os.getpid()}-{next(_ids)}"


def seen_source(address, proto="udp", port=PORT, timeout=1.0):
    """(source address, source port) of a new flow as the server saw it; None when there is no
    answer."""
    ident = new_id()
    line = json.dumps({"id": ident}).encode() + b"\n"
    kind = socket.SOCK_DGRAM if proto == "udp" else socket.SOCK_STREAM
    with socket.socket(family(address), kind) as sock:
        sock.settimeout(timeout * PATIENCE)
        try:
            sock.connect((address, port))
            sock.sendall(line)
            data = b""
            while not data.endswith(b"\n"):
                more = sock.recv(4096)
                if not more:
                    return None
                data += more
        except OSError:
            return None
    answer = json.loads(data)
    if answer["id"] != ident:
        raise RuntimeError(f"answer to another question: {answer}")
    return answer["src"], answer["sport"]


def first_seen(address, source, port=PORT, interval=0.001, timeout=20.0):
    """Sends a datagram from a new socket every `interval` seconds until the server answers one with
    `source`; (time sent, time answered) of that one by time.monotonic(). Unanswered ones hold up
    nothing, so the resolution is the interval."""
    poll, open_ones = select.poll(), collections.OrderedDict()
    line = json.dumps({"id": "probe"}).encode()
    due = time.monotonic()
    end = due + timeout
    try:
        while (now := time.monotonic()) < end:
            if now >= due:
                sock = socket.socket(family(address), socket.SOCK_DGRAM)
                sock.setblocking(False)
                try:
                    sock.connect((address, port))
                    sock.send(line)
                    open_ones[sock.fileno()] = (sock, now)
                    poll.register(sock, select.POLLIN)
                except OSError:
                    sock.close()  # no route for now: the next one tells
                due = max(due + interval, now)
                if len(open_ones) > 500:
                    old, (sock, _) = open_ones.popitem(last=False)
                    poll.unregister(old)
                    sock.close()
            for fd, _ in poll.poll(max(0.0, due - time.monotonic()) * 1000):
                sock, sent = open_ones.pop(fd)
                poll.unregister(fd)
                with sock:
                    try:
                        answer = json.loads(sock.recv(4096))
                    except OSError:
                        continue
                if answer["src"] == source:
                    return sent, time.monotonic()
    finally:
        for sock, _ in open_ones.values():
            sock.close()
    raise TimeoutError(f"no answer with source {source} from {address} within {timeout:g} s")


class Statistics:
    def __init__(self):
        self.started = time.monotonic()
        self.sent = self.received = self.pushed = 0
        self.sources = collections.Counter()
        self.errors = collections.Counter()
        self.last = self.last_push = None
        self.gap = self.push_gap = 0.0
        self.latencies = collections.deque(maxlen=100000)

    def arrival(self, source=None, latency=None):
        now = time.monotonic()
        if self.last is not None:
            self.gap = max(self.gap, now - self.last)
        self.last = now
        self.received += 1
        if source:
            self.sources[source] += 1
        if latency is not None:
            self.latencies.append(latency)

    def push(self):
        now = time.monotonic()
        if self.last_push is not None:
            self.push_gap = max(self.push_gap, now - self.last_push)
        self.last_push = now
        self.pushed += 1

    def report(self, **more):
        now = time.monotonic()
        order = sorted(self.latencies)
        pick = lambda q: order[min(len(order) - 1, int(q * len(order)))] * 1000 if order else None
        return {
            "sent": self.sent,
            "received": self.received,
            "pushed": self.pushed,
            "sources": dict(self.sources),
            "errors": dict(self.errors),
            "gap_ms": 1000 * max(self.gap, now - (self.last or self.started)),
            "push_gap_ms": 1000 * max(self.push_gap, now - (self.last_push or self.started)),
            "latency_ms": {"p50": pick(0.5), "p99": pick(0.99)},
            "seconds": now - self.started,
            **more,
        }


class Flow:
    """Common to all kinds: standard input drives the end and the reports."""

    def __init__(self, address, port, interval):
        self.address, self.port, self.interval = address, port, interval
        self.stats = Statistics()
        self.ident = new_id()
        self.commands = b""

    def more(self):
        return {"id": self.ident}

    def answer_commands(self):
        """False when standard input has ended."""
        data = os.read(0, 4096)
        if not data:
            return False
        self.commands += data
        while b"\n" in self.commands:
            _, self.commands = self.commands.split(b"\n", 1)
            print(json.dumps(self.stats.report(**self.more())), flush=True)
        return True

    def run(self):
        due = time.monotonic()
        poll = select.poll()
        poll.register(0, select.POLLIN | select.POLLHUP)
        watched = None
        while True:
            if (sock := self.descriptor()) != watched:
                if watched is not None:
                    poll.unregister(watched)
                if sock is not None:
                    poll.register(sock, select.POLLIN)
                watched = sock
            wait = max(0.0, due - time.monotonic())
            for fd, _ in poll.poll(wait * 1000):
                if fd == 0:
                    if not self.answer_commands():
                        return self.finish()
                else:
                    self.readable()
            if time.monotonic() >= due:
                self.turn()
                due = max(due + self.interval, time.monotonic())

    def finish(self):
        end = time.monotonic() + GRACE
        while (
            self.outstanding()
            and (left := end - time.monotonic()) > 0
            and self.descriptor() is not None
        ):
            if select.select([self.descriptor()], [], [], left)[0]:
                self.readable()
        print(json.dumps(self.stats.report(**self.more())), flush=True)


class UdpFlow(Flow):
    def __init__(self, *args):
        super().__init__(*args)
        self.socket = socket.socket(family(self.address), socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self.socket.connect((self.address, self.port))
        self.socket.setblocking(False)
        self.waiting = {}

    def descriptor(self):
        return self.socket.fileno()

    def outstanding(self):
        return self.waiting

    def more(self):
        return {"id": self.ident, "lost": len(self.waiting), "lost_ids": sorted(self.waiting)[:20]}

    def turn(self):
        n = self.stats.sent
        self.stats.sent += 1
        self.waiting[n] = time.monotonic()
        try:
            self.socket.send(json.dumps({"id": n}).encode())
        except OSError as error:
            self.stats.errors[error.strerror] += 1

    def readable(self):
        try:
            answer = json.loads(self.socket.recv(4096))
        except OSError as error:
            self.stats.errors[error.strerror] += 1
            return
        sent = self.waiting.pop(answer["id"], None)
        if sent is not None:
            self.stats.arrival(answer["src"], time.monotonic() - sent)


class TcpFlow(Flow):
    """One long connection: numbered lines from here, numbered lines pushed by the server."""

    def __init__(self, *args):
        super().__init__(*args)
        self.socket = socket.create_connection((self.address, self.port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(json.dumps({"id": self.ident, "push": self.interval}).encode() + b"\n")
        self.socket.setblocking(False)
        self.buffer = b""
        self.sent_at = {}
        self.acked = 0
        self.wrong = 0
        self.broken = None
        self.unsent = b""

    def descriptor(self):
        return None if self.broken else self.socket.fileno()

    def outstanding(self):
        return self.stats.received < self.stats.sent

    def more(self):
        return {
            "id": self.ident,
            "broken": self.broken,
            "wrong": self.wrong,
            "lost": self.stats.sent - self.stats.received,
            "local_port": None if self.broken else self.socket.getsockname()[1],
        }

    def turn(self):
        if self.broken:
            return
        n = self.stats.sent
        self.stats.sent += 1
        self.sent_at[n] = time.monotonic()
        self.unsent += json.dumps({"id": self.ident, "n": n}).encode() + b"\n"
        try:
            done = self.socket.send(self.unsent)
            self.unsent = self.unsent[done:]
        except BlockingIOError:
            pass
        except OSError as error:
            self.broken = error.strerror

    def readable(self):
        try:
            data = self.socket.recv(65536)
        except OSError as error:
            self.broken = error.strerror
            return
        if not data:
            self.broken = "closed by the server"
            return
        self.buffer += data
        *lines, self.buffer = self.buffer.split(b"\n")
        for line in lines:
            answer = json.loads(line)
            if "pushed" in answer:
                self.wrong += answer["pushed"] != self.stats.pushed
                self.stats.push()
            elif self.acked == 0:
                self.acked = 1  # the answer to the line that asked for pushes
            else:
                sent = self.sent_at.pop(self.stats.received, None)
                self.stats.arrival(answer["src"], sent and time.monotonic() - sent)


class ConnectFlow(Flow):
    """A new connection each time: what a failover looks like to clients that come and go."""

    def descriptor(self):
        return None

    def outstanding(self):
        return False

    def more(self):
        return {"id": self.ident, "lost": self.stats.sent - self.stats.received}

    def turn(self):
        self.stats.sent += 1
        began = time.monotonic()
        seen = seen_source(self.address, "tcp", self.port, timeout=0.25)
        if seen:
            self.stats.arrival(seen[0], time.monotonic() - began)
        else:
            self.stats.errors["no answer"] += 1


FLOWS = {"tcp": TcpFlow, "udp": UdpFlow, "connect": ConnectFlow}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    seen = verbs.add_parser("seen")
    seen.add_argument("address")
    seen.add_argument("--proto", choices=("tcp", "udp"), default="tcp")
    seen.add_argument("--timeout", type=float, default=2.0)
    flow = verbs.add_parser("flow")
    flow.add_argument("kind", choices=FLOWS)
    flow.add_argument("address")
    flow.add_argument("--interval", type=float, default=0.01, help="seconds")
    for verb in (seen, flow):
        verb.add_argument("--port", type=int, default=PORT)
    options = parser.parse_args()
    if options.verb == "seen":
        source = seen_source(options.address, options.proto, options.port, options.timeout)
        if source is None:
            sys.exit(
                f"no answer from {options.address} port {options.port} within {options.timeout:g} s"
            )
        print(source[0])
    else:
        FLOWS[options.kind](options.address, options.port, options.interval).run()


if __name__ == "__main__":
    main()
