# SPDX-License-Identifier: Apache-2.0
"""`egw ctl status` on a real API server. No controller runs: its part is written here."""

import datetime
import json
import os
import pty
import re
import subprocess
import time

import pytest
import yaml

VERSION = "egressgateway.spidernet.io/v1beta1"
READY = [{"type": "Ready", "status": "True", "reason": "Ready"}]


def status(egw, server, *arguments, env=None):
    kubeconfig = getattr(server, "kubeconfig", server)
    return subprocess.run([egw, "ctl", "status", *arguments, "--kubeconfig", kubeconfig], text=True,
                          capture_output=True, timeout=30, env={**os.environ, **(env or {})})


def put(api, kind, name, namespace=None, spec=None, status=None):
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    body = {"apiVersion": VERSION, "kind": kind, "metadata": metadata}
    made = api.apply({**body, **({"spec": spec} if spec is not None else {})})
    if status is not None:
        api.apply({**body, "status": status}, subresource="status")
    return made


def put_policy(api, name, **status):
    return put(api, "EgressPolicy", name, "default", status={"conditions": READY, **status},
               spec={"egressGatewayName": "eg1", "appliedTo": {"podSelector": {}}})


def micro_time(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# First in the file: the other fixture installs egw on the same server.
def test_not_installed(egw, bare_server):
    done = status(egw, bare_server)
    assert done.returncode == 2 and done.stdout == ""
    assert "is egw installed? kubectl apply -f manifests/crds/" in done.stderr


@pytest.fixture(scope="module")
def server(bare_server):
    bare_server.install_egw()
    api = bare_server.api
    now = datetime.datetime.now(datetime.timezone.utc)
    api.apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
               "metadata": {"name": "egw-controller", "namespace": "egw-system"},
               "spec": {"holderIdentity": "controller-1", "leaseDurationSeconds": 15,
                        "renewTime": micro_time(now + datetime.timedelta(hours=1))}})
    put(api, "EgressClusterInfo", "default", spec={})
    put(api, "EgressGateway", "eg1", spec={
        "ippools": {"ipv4": ["10.6.1.55"]},
        "nodeSelector": {"selector": {"matchLabels": {"egress": "true"}}}},
        status={"nodeList": [{"name": "n1", "status": "Ready",
                              "eips": [{"id": 7, "ipv4": "10.6.1.55", "ipv6": "fd00::55"}]}],
                "conditions": READY})
    put(api, "EgressNode", "n1", status={"phase": "Ready", "conditions": READY,
                                         "tunnel": {"ipv4": "172.31.0.7"}})
    eip = {"id": 7, "ipv4": "10.6.1.55", "ipv6": "fd00::55"}
    policy = put_policy(api, "app", eip=eip, node="n1")
    api.apply({"apiVersion": VERSION, "kind": "EgressEndpointSlice",
               "metadata": {"name": "app-1", "namespace": "default", "labels": {
                   "spidernet.io/policy-uid": policy["metadata"]["uid"]}},
               "endpoints": [{"namespace": "default", "pod": "a", "node": "n1",
                              "ipv4": ["10.244.1.7"]}]})
    return bare_server


def test_all_is_well(egw, server):
    done = status(egw, server)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("all is well: gateways 1/1 ready, nodes 1/1 ready, 1 EIP, "
                                  "policies 1/1 ready, 1 pod\nleader: controller-1\n")
    assert re.search(r"eg1 +True +n1 +Ready +10.6.1.55 +fd00::55 +default/app", done.stdout)
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "\x1b" not in done.stdout


def test_json_and_yaml_say_the_same(egw, server):
    report = json.loads(status(egw, server, "-o", "json").stdout)
    assert report == yaml.safe_load(status(egw, server, "--output=yaml").stdout)
    assert report["ok"] and report["leader"] == "controller-1"
    assert report["gateways"][0]["nodes"][0]["eips"] == [
        {"id": 7, "ipv4": "10.6.1.55", "ipv6": "fd00::55", "users": ["EgressPolicy default/app"]}]
    assert report["policies"][0]["pods"] == 1


def test_what_is_not_right(egw, server):
    refused = {"type": "Accepted", "status": "False", "reason": "GatewayMissing",
               "message": "there is no gateway not-there: make it or delete the policy"}
    put_policy(server.api, "broken", conditions=[refused])
    try:
        done = status(egw, server)
        assert done.returncode == 1
        assert done.stdout.startswith("1 problem: ")
        assert ("EgressPolicy default/broken: GatewayMissing: there is no gateway not-there: make "
                "it or delete the policy") in " ".join(done.stdout.split())
        assert json.loads(status(egw, server, "-o", "json").stdout)["problemCount"] == 1
    finally:
        server.api.delete(f"{VERSION}/egresspolicies", "broken", "default")


def test_colour_on_a_terminal_alone(egw, server):
    def on_terminal(env):
        outer, inner = pty.openpty()
        with subprocess.Popen([egw, "ctl", "status", "--kubeconfig", server.kubeconfig],
                              stdout=inner, env={**os.environ, "TERM": "xterm", **env}) as process:
            os.close(inner)
            text = b""
            try:
                while chunk := os.read(outer, 65536):
                    text += chunk
            except OSError:  # EIO: the other side is closed
                pass
            os.close(outer)
            assert process.wait(10) == 0
        return text

    assert b"\x1b[32mall is well\x1b[0m" in on_terminal({"NO_COLOR": ""})
    assert b"\x1b" not in on_terminal({"NO_COLOR": "1"})
    assert b"\x1b" not in on_terminal({"TERM": "dumb"})


def test_a_thousand_policies_within_a_second(egw, server):
    for i in range(1000):
        server.api.apply({"apiVersion": VERSION, "kind": "EgressPolicy",
                          "metadata": {"name": f"p{i}", "namespace": "default"},
                          "spec": {"appliedTo": {"podSelector": {}}}})
    began = time.monotonic()
    done = status(egw, server)
    took = time.monotonic() - began
    assert done.returncode == 1 and "EgressPolicy default/p0" in done.stdout
    assert "and 997 more: not judged by a controller yet" in " ".join(done.stdout.split())
    assert took < 1, f"{took:.2f} s"


def test_what_it_cannot_do_it_says(egw, server, tmp_path):
    def refused(*arguments):
        done = subprocess.run([egw, "ctl", *arguments], text=True, capture_output=True, timeout=30)
        assert done.returncode == 2, done
        return done.stdout + done.stderr

    assert str(tmp_path / "none") in refused("status", "--kubeconfig", str(tmp_path / "none"))
    assert "xml" in refused("status", "-o", "xml")
    assert "subcommand" in refused()
    away = yaml.safe_load(server.kubeconfig.read_text())
    away["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "away").write_text(yaml.safe_dump(away))
    began = time.monotonic()
    assert "127.0.0.1" in refused("status", "--kubeconfig", str(tmp_path / "away"))
    assert time.monotonic() - began < 7
    helped = subprocess.run([egw, "ctl", "--help"], text=True, capture_output=True, timeout=30)
    assert helped.returncode == 0 and "status" in helped.stdout
