# SPDX-License-Identifier: Apache-2.0
"""The admission webhook as a real API server asks it: its certificates, and what works without it.
The controllers are processes of their own, with the rights of their role."""

import base64
import contextlib
import itertools
import shutil
import socket
import ssl
import subprocess
import time

import pytest

from childprocess import wait_until
from cluster import ApiServer
from kubeapi import ApiError
from webhook_objects import (GATEWAYS, GROUP, NAME, NAMESPACE, POLICIES, VALIDATING, Webhook,
                             gateway, policy)

KEYS = ("ca.crt", "ca.key", "tls.crt", "tls.key")


def may_read_secret(api):
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "user": f"system:serviceaccount:{NAMESPACE}:egw-controller",
        "resourceAttributes": {"verb": "watch", "resource": "secrets", "namespace": NAMESPACE,
                               "name": NAME}}}
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return api.request("POST", path, review)["status"]["allowed"]


def served(controller):
    return ssl.get_server_certificate(("127.0.0.1", controller.webhook_port))


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One of its own: a webhook concerns all objects of a kind."""
    with ApiServer(tmp_path_factory.mktemp("webhook"), controller_manager=True) as made:
        made.install_egw()
        yield made


@pytest.fixture
def webhook(server, tmp_path):
    made = Webhook(server, tmp_path)
    with contextlib.ExitStack() as stack:
        stack.callback(made.clean)
        yield made
    for controller in made.controllers:
        log = controller.log()
        assert controller.restarted or "forbidden" not in log, log[-3000:]


def test_the_ca_appears_and_objects_are_admitted(webhook):
    controller = webhook.start()
    secret = webhook.secret_when(lambda s: True, "the Secret is made")
    assert sorted(k for k in secret if k != "uid") == sorted(KEYS)
    wait_until(lambda: controller.get("/readyz")[0] == 200, 10, "ready")
    webhook.point_to(controller)
    webhook.await_bundle(secret["ca.crt"])
    webhook.await_asked(controller)
    assert controller.metric("egw_webhook_tls_failures_total") == 0
    text = controller.get("/metrics")[1]
    assert 'egw_webhook_requests_total{path="/validate",code="200"}' in text
    assert 'egw_webhook_trusted{kind="ValidatingWebhookConfiguration"} 1' in text
    assert 'egw_webhook_trusted{kind="MutatingWebhookConfiguration"} 1' in text
    left = controller.metric("egw_webhook_certificate_expiry_seconds") - time.time()
    assert 364 < left / 86400 < 366
    # The rest of the configurations is as it was.
    hooks = webhook.api.get(VALIDATING, NAME)["webhooks"]
    assert [hook["failurePolicy"] for hook in hooks] == ["Fail", "Ignore"]
    assert all(hook["clientConfig"]["url"].startswith("https://127.0.0.1:") for hook in hooks)
    # Connections are kept, one for each of the API server's clients.
    assert controller.metric("egw_webhook_connections_total") < 10
    assert webhook.asked(controller) >= 2
    events = [e["reason"] for e in webhook.api.list("events", NAMESPACE)]
    assert "WebhookCertificateRenewed" in events and "WebhookTrusted" in events


def test_the_api_server_verifies(webhook, tmp_path):
    """Not the other way round: with another CA the API server refuses."""
    controller = webhook.start("--webhook-ca-injection=false")
    secret = webhook.secret_when(lambda s: True, "the Secret is made")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", "/CN=another", "-keyout", tmp_path / "ca.key", "-out", tmp_path / "ca.crt")
    webhook.point_to(controller, bundle=(tmp_path / "ca.crt").read_text())
    message = webhook.refusal(lambda: webhook.api.create(gateway(), dry_run=True))
    assert "x509: certificate signed by unknown authority" in message
    assert controller.metric("egw_webhook_tls_failures_total") > 0
    assert 'egw_webhook_trusted{kind="ValidatingWebhookConfiguration"}' not in \
        controller.get("/metrics")[1]
    webhook.point_to(controller, bundle=secret["ca.crt"])
    webhook.await_asked(controller)


def test_a_deleted_secret_is_made_anew(webhook):
    controller = webhook.start()
    before = webhook.secret_when(lambda s: True, "the Secret is made")
    webhook.point_to(controller)
    webhook.await_asked(controller)
    webhook.api.delete("secrets", NAME, NAMESPACE)
    after = webhook.secret_when(lambda s: s["uid"] != before["uid"], "a new Secret")
    assert all(after[key] != before[key] for key in KEYS)
    webhook.await_bundle(after["ca.crt"])
    assert served(controller) == after["tls.crt"]
    webhook.await_asked(controller)


def test_an_expired_pair_is_renewed(webhook, tmp_path):
    def issue(name, subject, issuer, *extensions):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", subject, "-keyout", tmp_path / f"{name}.key",
                "-out", tmp_path / f"{name}.crt", *issuer,
                *itertools.chain(*(("-addext", e) for e in extensions)))
        return (tmp_path / f"{name}.crt").read_text(), (tmp_path / f"{name}.key").read_text()

    names = f"DNS:{NAME}.{NAMESPACE}.svc,DNS:{NAME}.{NAMESPACE}.svc.cluster.local,IP:127.0.0.1"
    ca, ca_key = issue("ca", "/CN=old-ca", ("-days", "3650"),
                       "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")
    pair, key = issue("tls", "/CN=old", (
        "-CA", tmp_path / "ca.crt", "-CAkey", tmp_path / "ca.key",
        "-not_before", "20200101000000Z", "-not_after", "20210101000000Z"),
        f"subjectAltName={names}", "extendedKeyUsage=serverAuth")
    webhook.put_secret(ca_crt=ca, ca_key=ca_key, tls_crt=pair, tls_key=key)
    controller = webhook.start()
    renewed = webhook.secret_when(lambda s: s["tls.crt"] != pair, "a new serving certificate")
    assert renewed["ca.crt"] == ca  # it is still good
    assert "tls.crt ran out at 2021-01-01T00:00:00Z: made a new certificate" in controller.log()
    webhook.point_to(controller)
    webhook.await_bundle(ca)
    webhook.await_asked(controller)
    wait_until(lambda: served(controller) == renewed["tls.crt"], 5, "it is served")


def test_a_damaged_secret_is_repaired_with_an_event(webhook):
    controller = webhook.start()
    before = webhook.secret_when(lambda s: True, "the Secret is made")
    webhook.point_to(controller)
    webhook.await_asked(controller)
    webhook.api.patch("secrets", NAME, {"data": {"tls.key": base64.b64encode(b"x").decode()}},
                      NAMESPACE)
    after = webhook.secret_when(lambda s: s["tls.crt"] != before["tls.crt"], "a repaired Secret")
    assert after["ca.crt"] == before["ca.crt"]
    event = wait_until(lambda: [e for e in webhook.api.list("events", NAMESPACE)
                                if e["reason"] == "WebhookCertificateRepaired"], 10, "an Event")[0]
    assert event["type"] == "Warning" and event["involvedObject"]["name"] == NAME
    assert "the key is not a PEM key" in event["message"]
    webhook.await_asked(controller)


def test_two_replicas_serve_the_same(webhook):
    first, second = webhook.start(), webhook.start()
    wait_until(lambda: first.get("/readyz")[0] == second.get("/readyz")[0] == 200, 20, "both ready")
    secret = webhook.secret()
    assert served(first) == served(second) == secret["tls.crt"]
    webhook.point_to(second)  # whichever leads
    webhook.await_asked(second)
    webhook.api.delete("secrets", NAME, NAMESPACE)
    after = webhook.secret_when(lambda s: s["uid"] != secret["uid"], "a new Secret")
    wait_until(lambda: served(first) == served(second) == after["tls.crt"], 10, "both serve it",
               interval=0.05)
    webhook.await_asked(second)
    # The one that is left takes over the certificates too.
    leader, other = (first, second) if first.leads() else (second, first)
    leader.process.kill()
    wait_until(other.leads, 15, "the other one leads")
    webhook.api.delete("secrets", NAME, NAMESPACE)
    last = webhook.secret_when(lambda s: s["uid"] != after["uid"], "a new Secret")
    webhook.point_to(other)
    webhook.await_bundle(last["ca.crt"])
    webhook.await_asked(other)


def test_while_no_controller_answers(webhook):
    api = webhook.api
    controller = webhook.start()
    webhook.secret_when(lambda s: True, "the Secret is made")
    webhook.point_to(controller)
    webhook.await_asked(controller)
    # The controller would bring the name of the default gateway up to date and so on: no matter.
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    for name in ("eg1", "eg2"):
        api.create(gateway(name))
    for namespace in ("default", "team"):
        api.create(policy("app", namespace))
    assert controller.process.stop() == 0

    for what in (lambda: api.create(gateway("eg3")), lambda: api.create(policy("new", "default")),
                 lambda: api.patch(GATEWAYS, "eg1", {"spec": {"clusterDefault": True}})):
        with pytest.raises(ApiError, match="failed calling webhook"):
            what()
    # Other kinds, and statuses.
    api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "webhook-test",
                                                                     "namespace": "default"}})
    api.delete("configmaps", "webhook-test", "default")
    api.create({"apiVersion": GROUP, "kind": "EgressNode", "metadata": {"name": "webhook-test"}})
    api.delete(f"{GROUP}/egressnodes", "webhook-test")
    status = {"status": {"eip": {"ipv4": "10.6.1.10"}}}
    assert api.patch(POLICIES, "app", status, "default", "status")["status"]["eip"]
    # Deletions.
    api.delete(POLICIES, "app", "default")
    for name in ("eg1", "eg2"):
        api.delete(GATEWAYS, name)
    api.delete("namespaces", "team")
    api.wait_for("namespaces", "team", condition=lambda n: n is None, timeout=30)
    assert api.list(POLICIES) == [] and api.list(GATEWAYS) == []


def test_without_rights_it_says_so_and_becomes_ready_when_it_gets_them(webhook):
    role = webhook.api.get("rbac.authorization.k8s.io/v1/rolebindings", "egw-controller-webhook",
                           NAMESPACE)
    webhook.api.delete("rbac.authorization.k8s.io/v1/rolebindings", "egw-controller-webhook",
                       NAMESPACE)
    try:
        wait_until(lambda: not may_read_secret(webhook.api), 10, "the rights are gone")
        controller = webhook.start()
        controller.restarted = True  # its log is to say "forbidden"
        wait_until(lambda: "WebhookWatchFailed" in controller.log(), 20, "the log tells")
        told = lambda: "the webhook has no certificate yet" in controller.get("/readyz")[1]
        wait_until(told, 20, "lists have arrived, the certificate has not")
        status, why = controller.get("/readyz")
        assert status == 503 and "forbidden" in why
        assert controller.metric("egw_webhook_watch_up") == 2  # of three
        wait_until(lambda: any(e["reason"] == "WebhookWatchFailed" and "forbidden" in e["message"]
                               for e in webhook.api.list("events", NAMESPACE)), 10, "an Event")
    finally:
        webhook.api.apply({k: role[k] for k in ("apiVersion", "kind", "roleRef", "subjects")} |
                          {"metadata": {"name": role["metadata"]["name"], "namespace": NAMESPACE,
                                        "labels": role["metadata"]["labels"]}})
    wait_until(lambda: controller.get("/readyz")[0] == 200, 40, "it has a certificate")


class Volume:
    """As a kubelet mounts a Secret: all files change at once, by the rename of one link."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        self.generation = 0

    def publish(self, texts):
        self.generation += 1
        data = self.path / f"..{self.generation}"
        data.mkdir()
        for name, text in texts.items():
            (data / name).write_text(text)
            if not (self.path / name).is_symlink():
                (self.path / name).symlink_to(f"..data/{name}")
        link = self.path / "..data_tmp"
        link.symlink_to(data.name)
        link.rename(self.path / "..data")


def test_certificates_from_files(webhook, tmp_path):
    """Made here by another controller, and put where cert-manager's would be mounted."""
    def material():
        maker = webhook.start("--webhook-ca-injection=false")
        made = webhook.secret_when(lambda s: True, "the Secret is made")
        maker.process.stop()
        webhook.api.delete("secrets", NAME, NAMESPACE)
        return {key: made[key] for key in ("ca.crt", "tls.crt", "tls.key")}

    one, two = material(), material()
    volume = Volume(tmp_path / "certificates")
    controller = webhook.start(f"--webhook-cert-dir={volume.path}")
    wait_until(lambda: "cannot read" in controller.log(), 10, "the log says what is missing")
    assert controller.get("/readyz")[0] == 503
    volume.publish(one)
    wait_until(lambda: controller.get("/readyz")[0] == 200, 10, "ready")
    assert served(controller) == one["tls.crt"]
    webhook.point_to(controller)
    webhook.await_bundle(one["ca.crt"])
    webhook.await_asked(controller)
    volume.publish(two)
    wait_until(lambda: served(controller) == two["tls.crt"], 10, "the new certificate is served")
    webhook.await_bundle(two["ca.crt"])
    webhook.await_asked(controller)
    assert webhook.secret() is None
    # What is taken away is served on.
    shutil.rmtree(volume.path)
    wait_until(lambda: "cannot watch" in controller.log(), 10, "the log says that it is gone")
    assert served(controller) == two["tls.crt"]


def test_it_answers_until_api_servers_have_heard_of_its_end(webhook):
    first, second = webhook.start("--webhook-drain=3s"), webhook.start()
    wait_until(lambda: first.get("/readyz")[0] == second.get("/readyz")[0] == 200, 20, "both ready")
    webhook.point_to(first)
    webhook.await_asked(first)
    before = webhook.asked(first)
    began = time.monotonic()
    first.process.signal(15)
    wait_until(lambda: first.get("/readyz") == (503, "stopping\n"), 2, "it is not ready any more")
    wait_until(second.leads, 2.5, "the other one leads already")
    webhook.api.create(gateway(), dry_run=True)
    assert webhook.asked(first) == before + 2
    wait_until(lambda: first.process.exit_status is not None, 10, "its end")
    assert first.process.exit_status == 0 and time.monotonic() - began > 2.9


def test_silent_clients_do_not_delay_the_api_server(webhook):
    controller = webhook.start()
    webhook.secret_when(lambda s: True, "the Secret is made")
    webhook.point_to(controller)
    webhook.await_asked(controller)
    silent = [socket.create_connection(("127.0.0.1", controller.webhook_port)) for _ in range(100)]
    times = []
    for _ in range(20):
        began = time.monotonic()
        webhook.api.create(gateway(), dry_run=True)
        times.append(time.monotonic() - began)
    for connection in silent:
        connection.close()
    print(f"\na gateway with both webhooks: median {1000 * sorted(times)[10]:.1f} ms")
    assert sorted(times)[10] < 1
