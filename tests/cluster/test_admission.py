# SPDX-License-Identifier: Apache-2.0
"""The admission webhook where it is at home: behind its Service, in pods that come and go."""

import base64
import threading
import time
import urllib.request

from checks import EIP
from kubeapi import ApiError
from lab import objects
from lab.wait import until

NAMESPACE, NAME = "egw-system", "egw-webhook"
HOOKS = "admissionregistration.k8s.io/v1/{}webhookconfigurations"


def asked(cluster):
    """What the metrics of all controllers say together."""

    def text(address):
        with urllib.request.urlopen(f"http://{address}:5820/metrics", timeout=5) as answer:
            return answer.read().decode()

    total = 0
    for pod in cluster.api.list("pods", NAMESPACE, labels="app.kubernetes.io/name=egw-controller"):
        for line in cluster.nodes["n1"].netns.call(text, pod["status"]["podIP"]).splitlines():
            if line.startswith("egw_webhook_verdicts_total"):
                total += float(line.split()[-1])
    return total


def probe():
    return objects.gateway("probe", ["10.6.1.200"])


def test_the_api_server_asks_by_the_service(cluster):
    ca = cluster.api.get("secrets", NAME, NAMESPACE)["data"]["ca.crt"]
    assert base64.b64decode(ca).startswith(b"-----BEGIN CERTIFICATE-----")
    for kind in ("validating", "mutating"):
        hooks = cluster.api.get(HOOKS.format(kind), NAME)["webhooks"]
        assert {hook["clientConfig"]["caBundle"] for hook in hooks} == {ca}
    before = asked(cluster)
    cluster.api.create(probe(), dry_run=True)
    assert asked(cluster) == before + 2  # mutating and validating
    # Gateways and policies that the fixtures made came by here too.
    assert cluster.api.get(objects.GATEWAYS, "partners")["spec"]["ippools"]["ipv4"] == [EIP[0]]


def test_a_rolling_update_refuses_nobody(cluster):
    """The old replicas answer until API servers and kube-proxy have heard of their end."""
    refused, count, over = [], 0, threading.Event()

    def create():
        nonlocal count
        api = cluster.server.api_for(cluster.server.kubeconfig)
        while not over.is_set():
            try:
                api.create(probe(), dry_run=True)
            except ApiError as error:
                refused.append(error.message)
            count += 1
            time.sleep(0.02)

    thread = threading.Thread(target=create)
    thread.start()
    try:
        cluster.server.kubectl("-n", NAMESPACE, "rollout", "restart", "deployment/egw-controller")
        cluster.rollout("deployment/egw-controller", NAMESPACE)
        until(lambda: old_ones_are_gone(cluster), "the old pods are gone", 40, 0.2)
    finally:
        over.set()
        thread.join()
    print(f"\n{count} gateways while both controllers were replaced, {len(refused)} refused")
    assert count > 50 and refused == []


def old_ones_are_gone(cluster):
    pods = cluster.api.list("pods", NAMESPACE, labels="app.kubernetes.io/name=egw-controller")
    return len(pods) == 2 and not any("deletionTimestamp" in p["metadata"] for p in pods)
