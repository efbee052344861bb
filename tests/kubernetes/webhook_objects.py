# SPDX-License-Identifier: Apache-2.0
"""The objects of the admission webhook in an API server, and the controllers behind them."""

import base64
import itertools
from pathlib import Path

from childprocess import wait_until
from controller_process import Controller
from kubeapi import ApiError
from manifests import read_manifests

GROUP = "egressgateway.spidernet.io/v1beta1"
GATEWAYS, POLICIES = f"{GROUP}/egressgateways", f"{GROUP}/egresspolicies"
HOOKS = "admissionregistration.k8s.io/v1/{}webhookconfigurations"
VALIDATING, MUTATING = HOOKS.format("validating"), HOOKS.format("mutating")
NAMESPACE, NAME = "egw-system", "egw-webhook"
MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"

numbers = itertools.count(1)


def gateway(name=None):
    number = next(numbers)
    pool = f"10.6.{number // 250}.{number % 250 + 1}"
    return {"apiVersion": GROUP, "kind": "EgressGateway", "metadata": {"name": name or "probe"},
            "spec": {"ippools": {"ipv4": [pool]},
                     "nodeSelector": {"selector": {"matchLabels": {"egress": "true"}}}}}


def policy(name, namespace):
    return {"apiVersion": GROUP, "kind": "EgressPolicy",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"egressGatewayName": "eg1", "appliedTo": {"podSelector": {}}}}


class Webhook:
    """The objects of a webhook in an API server, and the controllers behind them."""

    def __init__(self, server, directory):
        self.server, self.api, self.directory = server, server.api, directory
        self.controllers = []

    def start(self, *arguments, kubeconfig=None):
        name = f"c{len(self.controllers) + 1}"
        account = kubeconfig or self.server.service_account_kubeconfig(NAMESPACE, "egw-controller")
        made = Controller(name, self.directory, f"--kubeconfig={account}",
                          f"--namespace={NAMESPACE}", "--webhook-names=127.0.0.1", *arguments,
                          webhook="127.0.0.1:0")
        self.controllers.append(made)
        return made

    def point_to(self, controller, bundle=None):
        """Our manifest, but by a URL: no Service leads anywhere in an API server of its own."""
        for obj in read_manifests(MANIFESTS / "base" / "webhook.yaml"):
            if obj["kind"] == "Service":
                continue
            for hook in obj["webhooks"]:
                path = hook["clientConfig"].pop("service")["path"]
                hook["clientConfig"]["url"] = f"https://127.0.0.1:{controller.webhook_port}{path}"
                if bundle:
                    hook["clientConfig"]["caBundle"] = base64.b64encode(bundle.encode()).decode()
            self.api.apply(obj)

    def secret(self):
        """The texts in it, and its uid; None where there is none."""
        found = self.api.find("secrets", NAME, NAMESPACE)
        if found is None:
            return None
        return {"uid": found["metadata"]["uid"],
                **{k: base64.b64decode(v).decode() for k, v in found["data"].items()}}

    def secret_when(self, condition, what, timeout=20):
        def right():
            found = self.secret()
            return found if found and condition(found) else None
        return wait_until(right, timeout, what, interval=0.05)

    def put_secret(self, **texts):
        self.api.apply({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                        "metadata": {"name": NAME, "namespace": NAMESPACE},
                        "data": {k.replace("_", "."): base64.b64encode(v.encode()).decode()
                                 for k, v in texts.items()}}, manager="egw-controller")

    def bundles(self):
        return {base64.b64decode(hook["clientConfig"].get("caBundle", "")).decode()
                for resource in (VALIDATING, MUTATING)
                for hook in self.api.get(resource, NAME)["webhooks"]}

    def await_bundle(self, bundle):
        wait_until(lambda: self.bundles() == {bundle}, 20, "the CA stands in both configurations",
                   interval=0.05)

    def asked(self, controller):
        return controller.metric("egw_webhook_verdicts_total")

    def await_asked(self, controller):
        """A gateway is taken, and the controller was asked about it. The API server learns of new
        configurations and certificates a moment after us."""
        def taken():
            before = self.asked(controller)
            try:
                self.api.create(gateway(), dry_run=True)
            except ApiError as error:
                soon = "failed calling webhook", "has not read the cluster yet"
                assert any(text in error.message for text in soon), error
                return False
            return self.asked(controller) >= before + 2  # mutating and validating
        wait_until(taken, 20, "a gateway is admitted through the webhook", interval=0.1)

    def refusal(self, what):
        """Awaited too: until the API server knows the configuration it asks nobody."""
        def refused():
            try:
                what()
            except ApiError as error:
                return error.message
            return None
        return wait_until(refused, 20, "a refusal", interval=0.1)

    def clean(self):
        for resource in (VALIDATING, MUTATING):
            self.api.delete(resource, NAME, missing_ok=True)
        for controller in self.controllers:
            controller.process.stop()
        self.api.delete("secrets", NAME, NAMESPACE, missing_ok=True)
        wait_until(self.unasked, 20, "no webhook is asked any more", interval=0.1)
        for found in self.api.list(GATEWAYS):
            self.api.delete(GATEWAYS, found["metadata"]["name"])

    def unasked(self):
        try:
            self.api.create(gateway(), dry_run=True)
        except ApiError as error:
            assert "failed calling webhook" in error.message, error
            return False
        return True
