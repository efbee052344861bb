# SPDX-License-Identifier: Apache-2.0
"""A cluster on one host: `with Lab(nodes=3, cni="calico") as lab: ...`.

Every namespace's name begins with the lab's own prefix, interfaces live inside them, files in one
temporary folder: several labs run side by side. All of it goes when the block is left, by an
exception, Ctrl-C or SIGTERM too, and by SIGKILL through reaper.py."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from . import netns, topology
from .cni import KINDS
from .client import PORT, first_seen, seen_source
from .netns import Netns
from .process import Process
from .topology import POD4, Wires, node4, node6
from .traffic import Flow
from .wait import PATIENCE

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
_labs = itertools.count()
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def unique_prefix():
    number, text = os.getpid(), ""
    while number:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
    return f"e{text}{DIGITS[10 + next(_labs) % 26]}-"


class Node:
    def __init__(self, lab, index):
        self.lab, self.index, self.name = lab, index, f"n{index}"
        self.ip4, self.ip6 = node4(index), node6(index)
        self.pods4, self.pods6 = f"10.244.{16 * index}.0/20", f"fd00:244:0:{index}::/64"
        self.netns = lab.wires.host(self.name, self.ip4, self.ip6)
        self.netns.sysctl(
            {
                "net.ipv4.ip_forward": 1,
                "net.ipv6.conf.all.forwarding": 1,
                **lab.cni.sysctls,
                "net.ipv4.conf.eth0.rp_filter": lab.cni.sysctls["net.ipv4.conf.default.rp_filter"],
            }
        )
        lab.cni.node(self, lab.forward_drop)
        self.taken = 9
        self.agent = None

    def next_addresses(self):
        """Addresses come round only after the whole range: a test never meets another's old
        flows."""
        in_use = self.lab.addresses
        for _ in range(4000):
            self.taken = self.taken + 1 if self.taken < 4000 else 10
            ip4 = f"10.244.{16 * self.index + self.taken // 256}.{self.taken % 256}"
            if ip4 not in in_use:
                return ip4, f"{self.pods6.split('/')[0]}{self.taken:x}"
        raise RuntimeError(f"{self.name} has no address left in {self.pods4} for another pod")

    def cable(self, up):
        self.lab.wires.cable(self.name, up)

    def silence(self, silent):
        self.lab.wires.silence(self.name, silent)


class Pod:
    """A pod: addresses on a node and, when `real`, a namespace to send from."""

    _numbers = itertools.count(1)

    def __init__(self, lab, namespace, name, node, labels, real=True, ips=None):
        self.lab, self.node, self.labels = lab, node, labels
        self.namespace, self.name = namespace, name
        self.number = next(Pod._numbers)
        self.ip4, self.ip6 = ips or node.next_addresses()
        lab.addresses.add(self.ip4)
        self.netns = self.device = None
        if real:
            self.netns = lab.netns(f"p{self.number}")
            self.device = lab.cni.pod(node, self)
            self.netns.wait_up("eth0")
            node.netns.wait_up(self.device)

    def address(self, like):
        """This pod's address of the family of `like`."""
        return self.ip6 if ":" in like else self.ip4

    def seen(self, address, proto="udp", timeout=1.0, port=PORT):
        """The source address that the server at `address` sees of a new flow; None without an
        answer."""
        answer = self.netns.call(seen_source, address, proto, port, timeout)
        return answer and answer[0]

    def first_seen(self, address, source, **how):
        """Probes `address` until the server saw `source`: (time sent, time answered)."""
        return self.netns.call(first_seen, address, source, **how)

    def flow(self, kind, address, interval=0.01, port=PORT):
        """A flow that goes on until stopped: kind tcp, udp or connect, `interval` in seconds. Where
        everything is given more time, there is less to do in it: a server that falls behind for
        good would look like a way that is cut off."""
        name = f"flow-{self.name}-{next(self.lab.flow_numbers)}"
        return Flow(self.lab, self.netns, name, kind, address, interval * PATIENCE, port)

    def remove_wires(self):
        if self.netns:
            # As a CNI does: a closing connection may keep the namespace alive for a minute, and
            # would go on sending.
            self.node.netns.ip("link", "del", self.device)
            self.netns.delete()
            self.lab.spaces.remove(self.netns)
            self.netns = None


class Lab:
    def __init__(self, nodes=3, cni="calico", forward_drop=True, far_server=True):
        self.prefix = unique_prefix()
        self.node_count, self.far = nodes, far_server
        self.cni, self.forward_drop = KINDS[cni](), forward_drop
        self.directory = tempfile.mkdtemp(prefix=f"egw-lab-{self.prefix}")
        self.spaces, self.processes, self.pods, self.nodes = [], [], {}, {}
        self.addresses = set()  # IPv4 addresses of the pods that there are
        self.flow_numbers = itertools.count(1)
        self.closers = []  # functions to call first at the end, last added first
        self.last_command = []  # run at the end, when all processes are gone, also by the reaper
        self.timings = {}
        self.reaper = self.old_handler = None
        self.stopped = False

    # ---- life ------------------------------------------------------------------------------------

    def start(self):
        if self.reaper:
            return self  # `with lab:` of one that runs
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        ):
            self.old_handler = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        self.reaper = subprocess.Popen(
            [sys.executable, f"{HERE}/reaper.py", self.prefix, self.directory, *self.last_command],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        began = time.monotonic()
        try:
            self.wires = Wires(self)
            self.srv = self.wires.server()
            self.srv2 = self.wires.far_server() if self.far else None
            for index in range(1, self.node_count + 1):
                node = Node(self, index)
                self.nodes[node.name] = node
            for node in self.nodes.values():
                text = "".join(
                    self.cni.peer(node, other) for other in self.nodes.values() if other is not node
                )
                if text:
                    node.netns.run("ip", "-batch", "-", stdin=text)
            for server in filter(None, (self.srv, self.srv2)):
                server.ready()
            self.wires.wait_up()
        except BaseException:
            self.stop()
            raise
        self.timings["network"] = time.monotonic() - began
        return self

    def stop(self):
        if self.stopped:
            return
        self.stopped = True
        began = time.monotonic()
        # A second Ctrl-C must not leave half a lab behind.
        handlers = {}
        if threading.current_thread() is threading.main_thread():
            handlers = {
                s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)
            }
        try:
            for close in reversed(self.closers):
                close()
        finally:
            netns.remove(*(n.name for n in self.spaces), *netns.named(self.prefix))
            for process in self.processes:
                if process.popen:
                    process.popen.wait(timeout=10)
            if self.last_command:
                netns.run(*self.last_command)
            shutil.rmtree(self.directory, ignore_errors=True)
            if self.reaper:
                self.reaper.stdin.close()
                self.reaper.wait(timeout=20)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            if self.old_handler is not None:
                signal.signal(signal.SIGTERM, self.old_handler)
            self.timings["teardown"] = time.monotonic() - began

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # ---- parts -----------------------------------------------------------------------------------

    def netns(self, name):
        space = Netns(self.prefix + name)
        self.spaces.append(space)
        return space

    def process(self, space, name, argv, **kwargs):
        process = Process(space, name, argv, self.directory, **kwargs)
        self.processes.append(process)
        return process

    def node(self, name):
        return self.nodes[name]

    def add_pod(self, name, node="n1", labels=None, namespace="default", real=True, ips=None):
        if (namespace, name) in self.pods:
            raise ValueError(f"pod {namespace}/{name} exists")
        pod = Pod(self, namespace, name, self.nodes[node], dict(labels or {}), real, ips)
        self.pods[namespace, name] = pod
        return pod

    def remove_pod(self, pod):
        del self.pods[pod.namespace, pod.name]
        self.addresses.discard(pod.ip4)
        pod.remove_wires()

    def collect_logs(self, target):
        """Copy what all processes said to `target`."""
        os.makedirs(target, exist_ok=True)
        for base, _, names in os.walk(self.directory):
            for name in names:
                if name.endswith((".log", ".requests", ".txt")):
                    path = os.path.join(base, name)
                    flat = os.path.relpath(path, self.directory).replace(os.sep, "-")
                    shutil.copy(path, os.path.join(target, flat))

    def keep_logs(self):
        """Logs outlive a lab that failed."""
        target = os.path.join(TOP, "build", "lab-logs", self.prefix.rstrip("-"))
        self.collect_logs(target)
        print(f"logs of all processes: {target}", file=sys.stderr)


__all__ = ["Lab", "Node", "POD4", "Pod", "topology"]
