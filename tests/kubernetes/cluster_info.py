# SPDX-License-Identifier: Apache-2.0
"""EgressClusterInfo as tests follow it, and controllers with the rights of their role."""

import pytest

from controller_process import Controller

INFOS = "egressgateway.spidernet.io/v1beta1/egressclusterinfos"


def both(ipv4, ipv6):
    return {"ipv4": [ipv4], "ipv6": [ipv6]}


class Info:
    """The object, as it becomes."""

    def __init__(self, server):
        self.server, self.api = server, server.api

    def when(self, what, timeout=15):
        return self.api.wait_for(INFOS, "default", condition=lambda i: bool(
            i and i.get("status") and what(i["status"])), timeout=timeout)["status"]

    def edit(self, **spec):
        self.api.patch(INFOS, "default", {"spec": spec})

    def detect(self, **fields):
        self.edit(autoDetect=fields)

    @staticmethod
    def condition(status, kind):
        """"True", "False Reason", or None."""
        for c in status.get("conditions", []):
            if c["type"] == kind:
                return c["status"] if c["status"] == "True" else f"{c['status']} {c['reason']}"
        return None

    @staticmethod
    def message(status, kind):
        return next(c["message"] for c in status["conditions"] if c["type"] == kind)

    def pods(self, status):
        return {origin: source.get("ipv4", []) + source.get("ipv6", [])
                for origin, source in status.get("podCIDR", {}).items()}


@pytest.fixture
def start(tmp_path):
    """Starts a controller on a server."""
    started = []

    def one(server, name="first"):
        account = server.service_account_kubeconfig("egw-system", "egw-controller")
        started.append(Controller(name, tmp_path, f"--kubeconfig={account}"))
        return started[-1]
    yield one
    for controller in started:
        controller.process.stop()
