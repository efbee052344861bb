# SPDX-License-Identifier: Apache-2.0
"""The lab itself, without egw: what a plain cluster does, so that what egw changes can be told."""

import os
import signal
import socket
import struct
import subprocess
import sys

import pytest

from lab import Lab, kernel, netns
from lab.wait import until

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@pytest.fixture(scope="module", params=["calico", "flannel"])
def lab(request):
    with Lab(nodes=2, cni=request.param) as cluster:
        cluster.add_pod("a", "n1")
        cluster.add_pod("b", "n1")
        cluster.add_pod("c", "n2")
        yield cluster


def pod(lab, name):
    return lab.pods["default", name]


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("ipv", [4, 6])
def test_pod_leaves_by_its_node(lab, ipv, proto):
    for server in (lab.srv, lab.srv2):
        target = server.ip4 if ipv == 4 else server.ip6
        for name, node in (("a", "n1"), ("b", "n1"), ("c", "n2")):
            home = lab.node(node)
            assert pod(lab, name).seen(target, proto) == (home.ip4 if ipv == 4 else home.ip6)


@pytest.mark.parametrize("source,target", [("a", "b"), ("a", "c"), ("c", "a")])
def test_pods_reach_pods_without_nat(lab, source, target):
    one, other = pod(lab, source), pod(lab, target)
    script = os.path.join(TESTS, "lab", "server.py")
    control = os.path.join(lab.directory, "pod.sock")
    server = lab.process(
        other.netns,
        f"server-{target}",
        [
            sys.executable,
            script,
            "--address",
            other.ip4,
            "--address",
            other.ip6,
            "--control",
            control,
        ],
    ).start()
    try:
        server.wait_for_log("ready")
        for address in (other.ip4, other.ip6):
            for proto in ("udp", "tcp"):
                assert one.seen(address, proto) == one.address(address)
    finally:
        server.kill()


def test_sniffer_sees_syns_that_nobody_answers(lab):
    lab.srv.clear()
    assert pod(lab, "a").seen(lab.srv.ip4, "tcp", timeout=0.2, port=9) is None
    (entry,) = lab.srv.seen(proto="tcp", dport=9)
    assert entry["src"] == lab.node("n1").ip4 and entry["syn"] >= 1


def test_sniffer_leaves_redirects_out(lab):
    """A server that still has a connection with an address which moved away sends to its former
    holder: that one's redirects are no packets of pods. Other ICMP errors count."""
    node, quoted = lab.node("n1"), bytes([0x45]) + bytes(27)

    def send(kind):
        message = struct.pack("!BBHI", kind, 1, 0, 0) + quoted
        words = struct.unpack(f"!{len(message) // 2}H", message)
        checksum = 0xFFFF - sum(words) % 0xFFFF
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
            sock.sendto(message[:2] + struct.pack("!H", checksum) + message[4:], (lab.srv.ip4, 0))

    lab.srv.clear()
    for kind in (5, 3):
        node.netns.call(send, kind)
    (entry,) = until(lambda: lab.srv.seen(proto="icmp"), "an ICMP error at the server")
    assert entry["src"] == node.ip4 and entry["packets"] == 1
    assert bytes.fromhex(entry["sample"])[20] == 3


def test_flows_count_what_is_lost(lab):
    one = pod(lab, "a")
    with one.flow("tcp", lab.srv.ip4) as tcp, one.flow("udp", lab.srv.ip6, 0.005) as udp, one.flow(
        "connect", lab.srv.ip4, 0.02
    ) as connect:
        for flow in (tcp, udp, connect):
            flow.wait_received(20)
        lab.node("n1").silence(True)
        udp.wait_sent(20)
        lab.node("n1").silence(False)
        for flow in (tcp, udp, connect):
            flow.wait_received(20)
        reports = {flow.kind: flow.stop() for flow in (tcp, udp, connect)}
    assert (
        reports["tcp"]["lost"] == 0
        and not reports["tcp"]["broken"]
        and reports["tcp"]["wrong"] == 0
    )
    assert reports["tcp"]["pushed"] > 20
    assert 10 <= reports["udp"]["lost"] < reports["udp"]["sent"] - 40
    assert reports["udp"]["gap_ms"] > 90
    home = lab.node("n1")
    assert set(reports["tcp"]["sources"]) == {home.ip4} and set(reports["udp"]["sources"]) == {
        home.ip6
    }
    server = lab.srv.flow(reports["tcp"]["id"])
    assert server["received"] == reports["tcp"]["sent"] and server["wrong"] == 0


def test_forward_policy_is_drop(lab):
    for tool in ("iptables-save", "ip6tables-save"):
        assert ":FORWARD DROP" in lab.node("n1").netns.run(tool)


def test_strict_reverse_path_in_calico_mode(lab):
    value = lab.node("n1").netns.run("sysctl", "-n", "net.ipv4.conf.all.rp_filter").strip()
    assert value == ("1" if lab.cni.name == "calico" else "2")


def test_two_labs_side_by_side(lab):
    with Lab(nodes=1, cni=lab.cni.name) as other:
        one = other.add_pod("a", "n1")
        assert one.seen(other.srv.ip4) == other.node("n1").ip4
        assert other.prefix != lab.prefix
        prefix, directory = other.prefix, other.directory
    assert netns.named(prefix) == [] and not os.path.exists(directory)
    assert pod(lab, "a").seen(lab.srv.ip4) == lab.node("n1").ip4


def test_snapshots_of_equal_nodes_are_equal_whatever_their_gateways_numbers():
    def node(first, second):
        def gateway(index, hop, eip):
            mark = {"mangle": {"key": {"meta": {"key": "mark"}}, "value": {
                "|": [{"&": [{"meta": {"key": "mark"}}, 0xFFFFCF80 | index]}, index]}}}
            return (
                {"dst": "default", "gateway": hop, "table": str(kernel.TABLES + index)},
                {"fwmark": hex(index), "table": str(kernel.TABLES + index), "priority": 99},
                {f"chain eip_{eip}": {"rules": [[mark, {"accept": None}]]}},
            )

        routes, rules, chains = zip(gateway(first, "hop a", 7), gateway(second, "hop b", 8))
        reply = {"mangle": {"value": {"|": [{"&": [{"meta": {"key": "mark"}}, 0xFFFFCF80]}, 1]}}}
        return {"routes": list(routes), "rules": list(rules), "nft": {
            "ip egw": {**chains[0], **chains[1], "chain reply": {"rules": [[reply]]}}}}

    assert kernel.difference(kernel.portable(node(2, 3)), kernel.portable(node(3, 2))) == []
    exchanged = node(3, 2)
    exchanged["routes"].reverse()
    for route, table in zip(exchanged["routes"], (3, 2)):
        route["table"] = str(kernel.TABLES + table)
    assert kernel.difference(kernel.portable(node(2, 3)), kernel.portable(exchanged)) != []


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind(end):
    program = (
        f"import sys; sys.path.insert(0, {TESTS!r})\n"
        "from lab import Lab\n"
        "import time\n"
        "with Lab(nodes=1) as lab:\n"
        "    lab.add_pod('a')\n"
        "    print(lab.prefix, lab.directory, flush=True)\n"
        "    time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        # A job in the background of a script is started with SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    prefix, directory = child.stdout.readline().split()
    assert len(netns.named(prefix)) >= 6
    child.send_signal(end)
    assert child.wait(timeout=20) != 0
    child.stdout.close()
    until(
        lambda: not netns.named(prefix) and not os.path.exists(directory),
        f"nothing of {prefix} left",
    )
