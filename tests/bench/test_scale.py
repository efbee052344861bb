# SPDX-License-Identifier: Apache-2.0
"""The bench of the large cluster, with a small one: that it measures what it says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE), str(HERE.parent / "kubernetes")]

from scale import tables, world  # noqa: E402
from scale.large import _later  # noqa: E402

SMALL = world.Size.parse("100/2000/200/10")


def pods(size=SMALL):
    return [world.Pod(number, size) for number in range(size.pods)]


def test_names_and_addresses_are_nobody_elses():
    size = world.Size(nodes=300, pods=9000, policies=600, gateways=20)
    everything = pods(size)
    assert len({pod.key for pod in everything}) == size.pods
    own = [ip for pod in everything if not pod.of_host for ip in pod.ips]
    hosts = [ip for n in range(size.nodes) for ip in (world.Node(n).ip4, world.Node(n).ip6)]
    assert len(set(own + hosts)) == len(own) + len(hosts)
    eips = [eip for n in range(size.policies) if (eip := world.eips_of(size, n))]
    assert len(set(eips)) == len(eips) > size.policies // 2


def test_the_node_that_is_lost_holds_the_eips_that_it_should():
    size = world.Size()
    spare = [n for n in range(size.policies) if world.gateway_of(size, n)[0] < 10]
    assert len(spare) == size.failover_eips == len({world.eips_of(size, n) for n in spare})
    assert [world.node_group(size, n) for n in (0, 1, 2, 58, 59)] == [
        "spare", "spare", "group-00", "group-18", None]


def test_endpoints_are_counted_as_policies_select():
    count, spaces = 0, {ns["metadata"]["name"]: ns["metadata"]["labels"]
                        for ns in world.namespaces(SMALL)}
    for number in range(SMALL.policies):
        policy = world.policy(SMALL, number)
        to, wide = policy["spec"]["appliedTo"], policy["kind"] == "EgressClusterPolicy"
        for pod in pods():
            labels = {"app": pod.app, "tier": pod.tier}
            there = pod.namespace == policy["metadata"].get("namespace") if not wide else (
                to["namespaceSelector"]["matchLabels"].items()
                <= spaces.get(pod.namespace, {}).items())
            count += (not pod.of_host and there
                      and to["podSelector"]["matchLabels"].items() <= labels.items())
    assert world.endpoints(SMALL, pods()) == count > SMALL.policies


@pytest.mark.parametrize("text, why", [
    ("100/2000/200", "is not NODES"), ("100/2000/200/15", "15 gateways"),
    ("10/2000/200/60", "10 nodes"), ("100/250/200/10", "a pod for each"), ("a/b/c/d", "is not")])
def test_sizes_that_make_no_sense(text, why):
    with pytest.raises(ValueError, match=why):
        world.Size.parse(text)


def test_heartbeats_are_times():
    assert _later("2026-02-01T00:00:00Z", 59) == "2026-02-01T00:00:59Z"
    assert _later("2026-02-01T00:00:00.000000Z", 90061) == "2026-02-02T01:01:01.000000Z"


def test_what_was_missed_is_said():
    entry = {"standby_mib": 1.0, "list_peak_mib": 2.0, "at_rest_mib": 151.0, "peak_mib": 149.0,
             "steady_seconds": 14.0}
    later = {**entry, "steady_seconds": 16.0}
    by_pods = [{"pods": count, "unchanged": {"cpu_us": cpu}, "moved": {"cpu_us": 0},
                "memory": {**entry, "at_rest_mib": mib}}
               for count, cpu, mib in ((2000, 90, 3.0), (1000, 30, 1.0))]
    found = {"takeover": entry, "restarts": [later, entry, later], "by_pods": by_pods}
    said = {line[9:49].strip(): line[:9].strip() for line in tables.verdicts(found)}
    assert said == {"controller at rest": "MISSED", "controller, its peak": "reached",
                    "last list to steady, restart": "MISSED",
                    "CPU of a pod event, most : fewest pods": "MISSED"}
    rows = [line.split() for line in tables.cpu_lines(found)]
    assert rows[0][-4:] == ["2000", "last", ":", "first"]
    assert rows[1][-3:] == ["30", "90", "3.00"]
    assert rows[2][-1] == "-"
    assert rows[5][-1] == str(2 * 2**20 // 1000)


def test_a_small_cluster(tmp_path):
    """All parts, against a real API server."""
    file = tmp_path / "scale.json"
    done = subprocess.run([sys.executable, HERE / "scale" / "run.py", "--smoke", "--json", file],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(file.read_text())
    print(done.stdout)
    assert found["scratch"]["endpoints"] == world.endpoints(SMALL, pods())
    for start in (*found["restarts"], found["takeover"]):
        # Each gateway is written once by a new leader: its term.
        assert start["writes"] == {"EgressGateway update_status ok": SMALL.gateways}
    assert found["idle"]["writes"] == found["idle"]["seen_by_watch"] == 0
    assert found["idle"]["node_events"] == found["idle"]["heartbeats"] / 2
    assert found["idle"]["lease_renewals"] >= 1
    assert found["node_loss"]["eips"] == found["agent"]["eips"] >= SMALL.failover_eips
    assert found["node_loss"]["objects"]["egressgateway.spidernet.io/v1beta1/egressgateways"] >= 10
    assert found["pod_events"]["pod_to_slice"]["count"] == 20
    # One for each of eight kinds and one to write by; the slices of ten gateways in two kinds.
    gateway, plain = found["agent"]["gateway"], found["agent"]["plain"]
    assert 8 <= plain["connections"] <= 9
    assert 28 <= gateway["connections"] <= 29
    sizes = {kind: size for kind, size in found["agent"]["object_bytes"].items()
             if kind != "events"}
    assert min(gateway["failover_bytes"], plain["failover_bytes"]) > sum(sizes.values())
    assert "last list to steady, restart" in done.stdout
