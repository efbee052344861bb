#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The story of one egress IP, told by a cluster of network namespaces with real processes.

demo.py [--cni calico|flannel] [--keep]    exit status 0 when everything came out as expected"""

import argparse
import concurrent.futures
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lab import keep, kernel, objects  # noqa: E402
from lab.control import Cluster  # noqa: E402
from lab.wait import NotInTime, until  # noqa: E402

WIDTH = 24


class Teller:
    """Prints numbered steps and facts in columns; counts what did not come out as told."""

    def __init__(self):
        self.colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.number, self.failures = 0, []
        self.step_text = ""

    def paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def step(self, text):
        self.number += 1
        self.step_text = text
        print(f"\n{self.paint('1;36', f'{self.number:4}')}  {self.paint('1', text)}", flush=True)

    def fact(self, what, value, note=""):
        print(
            f"      {what:<{WIDTH}} {value}" + (f"  {self.paint('2', note)}" if note else ""),
            flush=True,
        )

    def expect(self, what, value, wanted, note=""):
        good = value == wanted
        mark = self.paint("32", "ok   ") if good else self.paint("1;31", "WRONG")
        tail = note if good else f"expected {said(wanted)}"
        print(
            f"{mark} {what:<{WIDTH}} {said(value):<16}  {self.paint('2', tail)}".rstrip(),
            flush=True,
        )
        if not good:
            self.failures.append(
                f"step {self.number} ({self.step_text}): {what}: "
                f"{said(value)}, expected {said(wanted)}"
            )

    def block(self, command, text):
        print(f"      {self.paint('33', '$ ' + command)}")
        for line in text.rstrip().splitlines():
            print(f"      {line}")
        print(flush=True)


def said(value):
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "no answer" if value is None else str(value)


def milliseconds(seconds):
    return f"{1000 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


class Story:
    EIP4, EIP6 = "10.6.1.55", "fd06::1:55"
    SECOND4, SECOND6 = "10.6.1.60", "fd06::1:60"

    def __init__(self, cluster, tell):
        self.cluster, self.tell = cluster, tell
        self.srv = cluster.srv
        self.other4, self.other6 = self.srv.addresses[1], self.srv.addresses[3]

    def sources(self, pod, wanted4, wanted6, servers=None, note=""):
        for address, wanted in zip(servers or (self.srv.ip4, self.srv.ip6), (wanted4, wanted6)):
            for proto in ("tcp", "udp"):
                self.tell.expect(
                    f"{proto.upper()} to {address}", pod.seen(address, proto, 1.0), wanted, note
                )

    def measured(self, pod, address, source, action):
        """Seconds from the start of `action` until the server has seen `source`."""
        began = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:

            def watch():
                began.set()
                return pod.first_seen(address, source)

            answer = pool.submit(watch)
            began.wait()
            start = time.monotonic()
            action()
            return answer.result()[1] - start

    def tell_all(self):
        cluster, tell = self.cluster, self.tell
        for name, seconds in cluster.timings.items():
            tell.fact(name, milliseconds(seconds))
        tell.fact("nodes", ", ".join(f"{n.name} {n.ip4}" for n in cluster.nodes.values()))
        tell.fact("outside server", ", ".join(self.srv.addresses))
        for name in ("n2", "n3"):
            cluster.label_node(name, objects.GATEWAY_LABEL)
        self.web = cluster.add_pod("web", "n1", {"app": "web"})

        tell.step("Before: a pod on n1 leaves by its node's address")
        home = cluster.node("n1")
        self.sources(self.web, home.ip4, home.ip6, note="address of n1")

        self.apply_policy()
        tell.step("A destination that the policy does not name keeps the node's address")
        self.sources(self.web, home.ip4, home.ip6, (self.other4, self.other6), "address of n1")
        self.second_namespace()
        self.lose_gateway()
        self.look()
        self.delete_policy(home)

    def apply_policy(self):
        cluster, tell = self.cluster, self.tell
        tell.step("A gateway of n2 and n3, and a policy for app=web to this server")
        cluster.apply(
            objects.gateway("office", [f"{self.EIP4}-10.6.1.60"], [f"{self.EIP6}-fd06::1:60"])
        )
        until(
            lambda: objects.is_true(cluster.api.get(objects.GATEWAYS, "office"), "Ready"),
            "gateway office Ready",
        )
        policy = objects.policy(
            "web",
            gateway="office",
            pods={"app": "web"},
            destinations=[f"{self.srv.ip4}/32", f"{self.srv.ip6}/128"],
        )
        took = self.measured(self.web, self.srv.ip4, self.EIP4, lambda: cluster.apply(policy))
        tell.fact(
            "policy to first packet", milliseconds(took), "from the request to the server's answer"
        )
        cluster.await_source(self.web, self.srv.ip6, self.EIP6)
        self.sources(self.web, self.EIP4, self.EIP6, note="the egress IP")

    def second_namespace(self):
        cluster, tell = self.cluster, self.tell
        tell.step("A second namespace, by its default gateway, with an address of its own")
        cluster.namespace("billing", {objects.DEFAULT_LABEL: "office"})
        pod = cluster.add_pod("invoice", "n1", {"app": "invoice"}, "billing")
        cluster.apply(
            objects.policy(
                "invoice", "billing", pods={"app": "invoice"}, ipv4=self.SECOND4, ipv6=self.SECOND6
            )
        )
        cluster.await_source(pod, self.srv.ip4, self.SECOND4)
        cluster.await_source(pod, self.srv.ip6, self.SECOND6)
        named = cluster.api.get(objects.ALIASES, "invoice", "billing")["spec"].get(
            "egressGatewayName"
        )
        tell.expect("gateway filled in", named, "office")
        self.sources(pod, self.SECOND4, self.SECOND6, note="its own egress IP")
        self.sources(
            pod, self.SECOND4, self.SECOND6, cluster.srv2.addresses, "behind the router too"
        )
        self.sources(self.web, self.EIP4, self.EIP6, note="the first one is untouched")

    def holder(self, address):
        return objects.placement(self.cluster.api.get(objects.GATEWAYS, "office")).get(address)

    def lose_gateway(self):
        cluster, tell = self.cluster, self.tell
        lost = self.holder(self.EIP4)
        tell.step(f"The gateway node {lost} loses power")
        tell.fact("holder of the egress IP", lost)
        with self.web.flow("connect", self.srv.ip4, 0.01) as flow:
            flow.wait_received(5)
            cluster.srv.clear()

            def off():
                cluster.power_off(cluster.node(lost))
                # Packets until then may still come from the old holder's answers on their way.
                until(lambda: self.holder(self.EIP4) not in (None, lost), "another holder")

            start = time.monotonic()
            off()
            placed = time.monotonic() - start
            sent, answered = self.web.first_seen(self.srv.ip4, self.EIP4)
            back = answered - start
            flow.wait_received(5)
            report = flow.stop()
        now = self.holder(self.EIP4)
        tell.expect("holder now", now, "n3" if lost == "n2" else "n2")
        tell.fact(
            "placed elsewhere",
            milliseconds(placed),
            "after the power went, by the node's Ready condition",
        )
        tell.fact("same address back", milliseconds(back))
        tell.fact(
            "connections every 10 ms",
            f"{report['received']} answered, {report['lost']} not; "
            f"longest gap {report['gap_ms']:.0f} ms",
        )
        tell.expect(
            "sources seen meanwhile", sorted(report["sources"]), [self.EIP4], "no other address"
        )
        leaked = sorted(
            s for s in cluster.srv.sources(dst=self.srv.ip4) if s not in (self.EIP4, self.SECOND4)
        )
        tell.expect("foreign packets on the wire", leaked, [], "every packet sniffed")
        cluster.await_source(self.web, self.srv.ip6, self.EIP6)
        self.sources(self.web, self.EIP4, self.EIP6, note=f"the same address, from {now}")
        tell.step(f"The node {lost} comes back, and takes nothing back")
        cluster.power_on(cluster.node(lost))
        until(cluster.all_ready, f"{lost} Ready again", 30)
        tell.expect("holder", self.holder(self.EIP4), now)
        until(lambda: kernel.holders(cluster, self.EIP4) == [now], f"only {now} holds {self.EIP4}")
        tell.expect("in the kernels", kernel.holders(cluster, self.EIP4), [now])
        self.sources(self.web, self.EIP4, self.EIP6)

    def look(self):
        cluster, tell = self.cluster, self.tell
        tell.step("What people see")
        for words in ("get egressgateways", "get egresspolicies -A", "get egressnodes"):
            tell.block(f"kubectl {words}", cluster.server.kubectl(*words.split()))
        code, text = cluster.ctl("status")
        tell.block("egw ctl status", text)
        tell.expect(
            "egw ctl status says", "all is well" if code == 0 else f"exit {code}", "all is well"
        )

    def delete_policy(self, home):
        cluster, tell = self.cluster, self.tell
        tell.step("The policy is deleted: the pod leaves by its node again")
        took = self.measured(
            self.web,
            self.srv.ip4,
            home.ip4,
            lambda: cluster.delete(objects.ALIASES, "web", "default"),
        )
        tell.fact("back to the node's address", milliseconds(took))
        cluster.await_source(self.web, self.srv.ip6, home.ip6)
        self.sources(self.web, home.ip4, home.ip6, note="address of n1")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--cni",
        choices=("calico", "flannel"),
        default="calico",
        help="how pods are wired: routed with strict rp_filter, or bridged with a VXLAN",
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave the cluster running, with commands to try"
    )
    options = parser.parse_args()
    tell = Teller()
    began = time.monotonic()
    cluster = Cluster(nodes=3, cni=options.cni)
    try:
        tell.step(
            "A cluster on this machine: three nodes wired as by "
            f"{options.cni.capitalize()}, a real API server, egw"
        )
        with cluster:
            try:
                Story(cluster, tell).tell_all()
            except (NotInTime, TimeoutError, RuntimeError, AssertionError) as error:
                tell.failures.append(f"step {tell.number} ({tell.step_text}): {error}")
                cluster.keep_logs()
            if options.keep:
                keep.wait(cluster, tell)
            tell.step("Clean up")
    except KeyboardInterrupt:
        print("\ninterrupted: everything is cleaned up")
        return 130
    tell.fact(
        "namespaces, processes, files", f"gone in {milliseconds(cluster.timings['teardown'])}"
    )
    tell.fact("whole demo", milliseconds(time.monotonic() - began))
    if tell.failures:
        print(f"\n{tell.paint('1;31', f'{len(tell.failures)} expectations not met')}")
        for failure in tell.failures:
            print(f"  {failure}")
        return 1
    print(f"\n{tell.paint('1;32', 'Everything came out as expected.')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
