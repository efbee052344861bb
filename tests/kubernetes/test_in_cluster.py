# SPDX-License-Identifier: Apache-2.0
"""The credentials that a pod finds, against a real API server: its own files in their place, with
the account and the rights of manifests/base, over IPv4 and IPv6."""

import os
import subprocess

import pytest

from childprocess import wait_until
from cluster import ApiServer
from controller_process import BINARY, Controller
from kubeapi import ApiError

GROUP = "egressgateway.spidernet.io/v1beta1"
NAMESPACE, ACCOUNT = "egw-system", "egw-controller"

# The command in a mount namespace of its own, in which the volume is where a pod has it.
ENTER = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", """
    mount -t tmpfs egw "$(realpath /var/run)"
    mkdir -p /var/run/secrets/kubernetes.io/serviceaccount
    mount --bind "$0" /var/run/secrets/kubernetes.io/serviceaccount
    exec "$@"
"""]


class Volume:
    """A projected volume, renewed as a kubelet does it: the names in it are links through one link
    that a rename replaces, so that all files change at once."""

    def __init__(self, path, ca, token):
        self.path = path
        self._ca = ca
        self._generation = 0
        path.mkdir()
        self.renew(token)
        for name in ("ca.crt", "namespace", "token"):
            (path / name).symlink_to(f"..data/{name}")

    def renew(self, token):
        self._generation += 1
        data = self.path / f"..{self._generation}"
        data.mkdir()
        (data / "ca.crt").write_text(self._ca)
        (data / "namespace").write_text(NAMESPACE)
        (data / "token").write_text(token)
        link = self.path / "..data_tmp"
        link.symlink_to(data.name)
        link.rename(self.path / "..data")


class Pods:
    """Pods of the account, and tokens that live and die with them."""

    def __init__(self, server):
        self._server = server
        self._tokens = {}

    def token(self, name):
        pod = self._server.api.create({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"serviceAccountName": ACCOUNT,
                     "containers": [{"name": "egw", "image": "none"}]}})
        token = self._server.service_account_token(NAMESPACE, ACCOUNT, pod=pod)
        self._tokens[name] = token
        return token

    def end(self, name):
        """Returns when the API server refuses the pod's token."""
        self._server.api.delete("pods", name, NAMESPACE, grace=0)
        kubeconfig = self._server.token_kubeconfig(f"{NAMESPACE}:{name}", self._tokens[name])
        api = self._server.api_for(kubeconfig)

        def refused():
            try:
                api.list(f"{GROUP}/egressgateways")
            except ApiError as error:
                return error.code == 401
            return False
        wait_until(refused, 20, f"the token of pod {name} has ended", interval=0.1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ApiServer(tmp_path_factory.mktemp("in_cluster"), address="::") as made:
        made.install_egw()
        yield made


@pytest.fixture(scope="module")
def pods(server):
    return Pods(server)


def environment(server, host):
    env = {k: v for k, v in os.environ.items() if k != "KUBECONFIG"}
    return {**env, "KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(server.port)}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_ctl_status_in_a_pod(server, pods, tmp_path, host):
    name = "ctl-" + host.replace(":", "x").replace(".", "-")
    volume = Volume(tmp_path / "volume", server.ca_file.read_text(), pods.token(name))
    command = [*ENTER, volume.path, BINARY, "ctl", "status", "-o", "json"]
    done = subprocess.run(command, env=environment(server, host), text=True, capture_output=True,
                          timeout=30)
    # 1: something is not right, as no controller runs
    assert done.returncode == 1 and '"gateways"' in done.stdout, done.stderr
    volume.renew("no-token")
    done = subprocess.run(command, env=environment(server, host), text=True, capture_output=True,
                          timeout=30)
    assert done.returncode == 2 and "Unauthorized" in done.stderr, done.stderr


def test_a_renewed_token_is_taken(server, pods, tmp_path):
    """Two controllers; the token of one is renewed before the old one ends, that of the other is
    not: it is the proof that the old one is worth nothing any more."""
    api, ca = server.api, server.ca_file.read_text()
    old = pods.token("old")
    volumes = {name: Volume(tmp_path / name, ca, old) for name in ("renewed", "forgotten")}
    started = []

    def start(name):
        started.append(Controller(name, tmp_path, enter=[*ENTER, volumes[name].path],
                                  env=environment(server, "::1")))
        return started[-1]

    try:
        renewed = start("renewed")
        wait_until(renewed.leads, 10, "it leads")
        forgotten = start("forgotten")
        wait_until(lambda: forgotten.get("/readyz")[0] == 200, 10, "the other one is ready")
        volumes["renewed"].renew(pods.token("new"))
        pods.end("old")
        wait_until(lambda: "Unauthorized" in forgotten.log(), 5, "the old token is refused")
        api.create({"apiVersion": GROUP, "kind": "EgressPolicy",
                    "metadata": {"name": "app", "namespace": "default"},
                    "spec": {"egressGatewayName": "missing", "appliedTo": {"podSelector": {}}}})
        api.wait_for(f"{GROUP}/egresspolicies", "app", "default",
                     lambda p: p.get("status", {}).get("conditions"))
        assert renewed.leads() and "Unauthorized" not in renewed.log()
        # The other one goes on where it stands as soon as its token is there.
        volumes["forgotten"].renew(pods.token("late"))
        renewed.process.kill()
        wait_until(forgotten.leads, 10, "the other one leads")
    finally:
        for controller in started:
            controller.process.stop()
