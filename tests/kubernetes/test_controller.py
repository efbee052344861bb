# SPDX-License-Identifier: Apache-2.0
"""The controller as a process of its own, with the rights of its role, against a real API server.
EGW_BIN names the binary; else build/egw."""

import re
import statistics
import time

from childprocess import wait_until
from egress_cluster import GROUP, condition
from kubelet import LEASES


def test_a_policy_gets_an_eip_and_slices(cluster):
    api = cluster.api
    cluster.kubelet.create_pod("default", "web-1", "c-node1", {"app": "web"}, ["10.244.1.5"])
    cluster.policy("app")
    policy = cluster.policy_ready("app")
    assert policy["status"]["eip"]["ipv4"] == "10.6.2.10"
    assert policy["status"]["eip"]["ipv6"] == "fd00::10"
    assert condition(policy, "Enforced") == "True"
    eip = policy["status"]["eip"]["id"]
    assert cluster.holders() == {eip: policy["status"]["node"]}
    [piece] = wait_until(lambda: api.list(f"{GROUP}/egressendpointslices", "default"), 5, "a slice")
    assert piece["endpoints"] == [{"namespace": "default", "pod": "web-1", "node": "c-node1",
                                   "ipv4": ["10.244.1.5"]}]
    assert piece["metadata"]["labels"]["spidernet.io/egressgateway"] == "eg1"
    assert piece["metadata"]["ownerReferences"][0]["uid"] == policy["metadata"]["uid"]
    cluster.kubelet.finish_pod("default", "web-1")
    wait_until(lambda: not api.list(f"{GROUP}/egressendpointslices", "default"), 5,
               "no slice for a pod that has ended")
    wait_until(lambda: any(e["reason"] == "Allocated" for e in api.list("events", "default")), 5,
               "an Event that tells of the EIP")

    info = api.get(f"{GROUP}/egressclusterinfos", "default")
    assert info["status"]["nodeIP"]["c-node1"]["ipv4"] == ["10.6.1.1"]
    assert info["status"]["podCIDR"]["c-node2"]["ipv4"] == ["10.244.2.0/24"]
    api.delete(f"{GROUP}/egressclusterinfos", "default")
    again = api.wait_for(f"{GROUP}/egressclusterinfos", "default", condition=lambda i: i and (
        i.get("status", {}).get("nodeIP") and i["metadata"]["uid"] != info["metadata"]["uid"]))
    assert again["status"]["idBlocks"] == info["status"]["idBlocks"]

    api.delete(f"{GROUP}/egresspolicies", "app", "default")
    gateway = cluster.gateway_when(
        lambda g: not any(n.get("eips") for n in g["status"]["nodeList"]))
    assert [r["id"] for r in gateway["status"]["restingIds"]] == [eip]


def test_an_idle_controller_writes_nothing(cluster):
    api, metric = cluster.api, cluster.controller.metric
    cluster.policy("app")
    cluster.policy_ready("app")
    # What only people read is written last, up to a second later: the users of an EIP.
    cluster.gateway_when(lambda g: any(e.get("policies") for n in g["status"]["nodeList"]
                                       for e in n.get("eips", [])))

    def versions():
        return {o["metadata"]["uid"]: o["metadata"]["resourceVersion"]
                for kind in ("egressgateways", "egresspolicies", "egressnodes",
                             "egressclusterinfos") for o in api.list(f"{GROUP}/{kind}")}

    def renewed():
        return [api.get(LEASES, n, "kube-node-lease")["spec"]["renewTime"] for n in cluster.nodes]

    def heartbeat():
        last = renewed()
        for node in cluster.nodes:
            cluster.kubelet.set_ready(node, True)
        wait_until(lambda: all(a != b for a, b in zip(last, renewed())), 5, "a heartbeat of each")

    heartbeat()  # and meanwhile the answers to all writes are in, and counted
    before, writes = versions(), metric("egw_writes_total")
    for _ in range(3):
        heartbeat()
    cluster.kubelet.create_pod("default", "other", "c-node1", {"app": "other"}, ["10.244.1.9"])
    # Events are handled in order: when this one has been answered, so has all that came before.
    marker = cluster.policy("marker", gateway="missing")
    cluster.policy_when("marker", lambda p: condition(p, "Accepted") == "False GatewayNotFound")
    wait_until(lambda: metric("egw_writes_total") > writes, 5, "the write of the marker is counted")
    assert metric("egw_writes_total") == writes + 1
    assert metric("egw_writes_pending") == 0
    assert before == {k: v for k, v in versions().items() if k != marker["metadata"]["uid"]}
    assert cluster.controller.metric("egw_fruitless_writes_total") == 0
    assert cluster.controller.get("/healthz") == (200, "ok\n")
    assert cluster.controller.get("/readyz") == (200, "ok\n")
    text = cluster.controller.get("/metrics")[1]
    assert 'egw_nodes{phase="Ready"} 3\n' in text
    assert re.search(r'egw_watch_listed_timestamp_seconds{kind="Pod"} 1\d{9}', text)
    assert 'egw_eips{gateway="eg1",node="' in text and "egw_step_duration_seconds_bucket" in text
    print(f"\ncontroller RSS {cluster.controller.process.rss_mib():.1f} MiB")


def test_a_lost_node(cluster):
    for i in range(6):
        cluster.policy(f"p{i}", egressIP={"ipv4": f"10.6.2.{20 + i}"})
    for i in range(6):
        cluster.policy_ready(f"p{i}")
    before = cluster.holders()
    assert sorted(before.values()) == sorted(cluster.nodes * 2)
    cluster.kubelet.stop_renewing("c-node2")
    cluster.api.wait_for("nodes", "c-node2", condition=lambda n: condition(n, "Ready") != "True",
                         timeout=30)
    lost = time.monotonic()
    cluster.gateway_when(lambda g: not any(
        n.get("eips") for n in g["status"]["nodeList"] if n["name"] == "c-node2"))
    print(f"\nEIPs elsewhere {1000 * (time.monotonic() - lost):.0f} ms after the Node was NotReady")
    after = cluster.holders()
    assert sorted(after.values()) == ["c-node1"] * 3 + ["c-node3"] * 3
    assert all(after[i] == node for i, node in before.items() if node != "c-node2")
    for i in range(6):
        cluster.policy_when(f"p{i}", lambda p: p["status"]["node"] != "c-node2")
    node = cluster.api.get(f"{GROUP}/egressnodes", "c-node2")
    assert node["status"]["phase"] == "NodeNotReady"
    cluster.kubelet.resume_renewing("c-node2")
    cluster.api.wait_for(f"{GROUP}/egressnodes", "c-node2", timeout=15,
                         condition=lambda n: n["status"]["phase"] == "Ready")
    assert cluster.holders() == after


def test_refusals(cluster):
    cluster.policy("nowhere", gateway="missing")
    policy = cluster.policy_when("nowhere", lambda p: condition(p, "Accepted") is not None)
    assert condition(policy, "Accepted") == "False GatewayNotFound"
    assert condition(policy, "Enforced") is None
    cluster.policy("outside", egressIP={"ipv4": "10.9.9.9"})
    cluster.policy_when("outside", lambda p: condition(p, "Allocated") == "False NotInPool")
    cluster.create("EgressGateway", "eg2", {
        "ippools": {"ipv4": ["10.6.2.50"]},
        "nodeSelector": {"selector": {"matchLabels": {"egress": "true"}}}})
    cluster.gateway_when(lambda g: condition(g, "Accepted") == "False PoolOverlap", "eg2")
    # Who was in effect before closes.
    cluster.policy("app")
    cluster.policy_ready("app")
    cluster.api.delete(f"{GROUP}/egressgateways", "eg1")
    policy = cluster.policy_when(
        "app", lambda p: condition(p, "Accepted") == "False GatewayNotFound")
    assert condition(policy, "Enforced") == "True"
    assert "id" not in policy["status"].get("eip", {})


def test_an_empty_gateway_name_is_filled(cluster):
    cluster.policy("app", gateway=None)
    cluster.policy_when("app", lambda p: condition(p, "Accepted") == "False NoDefaultGateway")
    cluster.api.patch(f"{GROUP}/egressgateways", "eg1", {"spec": {"clusterDefault": True}})
    policy = cluster.policy_ready("app")
    assert policy["spec"]["egressGatewayName"] == "eg1"


def test_leaders_come_and_go(cluster, start):
    cluster.policy("app")
    cluster.policy_ready("app")
    before, term = cluster.holders(), cluster.gateway_when(lambda g: True)["status"]["term"]
    second = start("second")
    wait_until(lambda: second.get("/readyz")[0] == 200, 10, "the second is ready to take over")
    assert cluster.controller.leads() and not second.leads()
    cluster.controller.process.kill()
    wait_until(second.leads, 15, "the second leads")
    gateway = cluster.gateway_when(lambda g: g["status"]["term"] > term)
    assert cluster.holders() == before
    cluster.policy("other")
    cluster.policy_ready("other")
    # A leader that is told to stop hands over at once.
    third = start("third")
    wait_until(lambda: third.get("/readyz")[0] == 200, 10, "the third is ready to take over")
    begin = time.monotonic()
    assert second.process.stop() == 0
    wait_until(third.leads, 10, "the third leads")
    took = time.monotonic() - begin
    print(f"\nhandover after SIGTERM {took:.2f} s")
    assert took < 2
    cluster.gateway_when(lambda g: g["status"]["term"] > gateway["status"]["term"])
    assert cluster.holders() == before


def test_policy_to_status(cluster):
    """How long a policy waits for its EIP, beside a bare write."""
    times, writes = [], []
    for i in range(30):
        begin = time.monotonic()
        cluster.policy(f"t{i}", egressIP={"ipv4": f"10.6.2.{40 + i}"})
        writes.append(time.monotonic() - begin)
        cluster.policy_ready(f"t{i}")
        times.append(time.monotonic() - begin)
    print(f"\npolicy to status with a new EIP: p50 {1000 * statistics.median(times):.1f} ms, max "
          f"{1000 * max(times):.1f} ms; "
          f"the create alone p50 {1000 * statistics.median(writes):.1f} ms")
    assert statistics.median(times) < 0.5


def test_the_api_server_goes_away_and_comes_back(cluster):
    cluster.policy("app")
    cluster.policy_ready("app")
    before = cluster.holders()
    cluster.controller.restarted = True
    cluster.server.restart()
    wait_until(lambda: cluster.controller.leads(), 30, "it leads again")
    cluster.policy("late")
    cluster.policy_when("late", lambda p: condition(p, "Ready") == "True", timeout=30)
    assert cluster.holders() == before
    cluster.controller.process.check()
