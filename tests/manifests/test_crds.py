# SPDX-License-Identifier: Apache-2.0
"""The definitions, against a real API server."""

import copy
import subprocess
import sys

import pytest
import yaml

import refusals
from conftest import TOP
from kubeapi import ApiError
from manifests import read_manifests
from objects import (PLURALS, POLICIES, SELECTOR, VERSION, cluster_info, gateway, of, policy,
                     resource)

CRDS = TOP / "manifests" / "crds"


def refusal(call):
    with pytest.raises(ApiError) as caught:
        call()
    assert caught.value.code == 422, caught.value
    return caught.value.message


def schemas():
    for definition in read_manifests(CRDS):
        yield (definition["spec"]["names"]["kind"],
               definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


def nodes(schema, path=""):
    """Each schema below this one, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}" if path else name)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


def test_files_are_what_the_generator_writes(tmp_path):
    subprocess.run([sys.executable, "-B", CRDS / "generate.py", tmp_path], check=True)
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert made == {file.name: file.read_text() for file in CRDS.glob("*.yaml")}
    assert sorted(made) == sorted(f"{plural}.yaml" for plural in PLURALS.values())


def test_every_field_is_described_and_bounded():
    bounds = {"string": ("maxLength", "enum", "format"), "array": ("maxItems",),
              "integer": ("maximum", "format"), "object": ("properties", "maxProperties"),
              "boolean": ("type",)}
    for kind, schema in schemas():
        for path, node in nodes(schema):
            assert node.get("description", "").endswith("."), f"{kind} {path}"
            assert any(bound in node for bound in bounds[node["type"]]), f"{kind} {path}"
            if node["type"] == "integer":
                assert "minimum" in node, f"{kind} {path}"


def test_explain_knows_every_field(api, server):
    published = api.request("GET", f"/openapi/v3/apis/{VERSION}")["components"]["schemas"]
    by_kind = {gvk["kind"]: schema for schema in published.values()
               for gvk in schema.get("x-kubernetes-group-version-kind", [])}
    for kind, schema in schemas():
        described = {path: node.get("description") for path, node in nodes(by_kind[kind])}
        for path, node in nodes(schema):
            assert described.get(path) == node["description"], f"{kind} {path}"
    explained = server.kubectl("explain", "egw.spec.nodeSelector.policy")
    assert "AverageSelection: to the ready node with the fewest" in " ".join(explained.split())


@pytest.mark.parametrize("what, obj, message", refusals.CREATES,
                         ids=[case[0] for case in refusals.CREATES])
def test_refused(api, what, obj, message):
    assert message.replace("\\", "") in refusal(lambda: api.create(obj, dry_run=True)).replace(
        "\\", "")


@pytest.mark.parametrize("what, before, after, message", refusals.CHANGES,
                         ids=[case[0] for case in refusals.CHANGES])
def test_change_refused(api, what, before, after, message):
    before, after = copy.deepcopy(before), copy.deepcopy(after)
    for obj in (before, after):
        obj["metadata"]["name"] = "fixed"
    api.apply(before)
    assert message in refusal(lambda: api.apply(after))


def test_every_rule_has_a_case():
    said = [message.replace("\\", "") for *_, message in (*refusals.CREATES, *refusals.CHANGES)]
    for kind, schema in schemas():
        for path, node in nodes(schema):
            for rule in node.get("x-kubernetes-validations", []):
                text = rule.get("message") or rule["messageExpression"]
                assert any(fragment.split('" ')[-1] in text for fragment in said), \
                    f"{kind} {path}: {text}"


GOOD = [
    gateway(),
    gateway("plain", ippools={"ipv4": ["0.0.0.1"]}),
    gateway("no-pool", ippools={}),
    gateway("limited", nodeSelector={"selector": {"matchExpressions": [
        {"key": "a", "operator": "Exists"}]}, "policy": "LimitSelection", "limit": 5}),
    gateway("scoped", scope={"namespaces": ["team-a"], "namespaceSelector": {}},
            whenNoGateway="Bypass", unservedFamily="Allow", clusterDefault=True),
    *(policy(kind, "selector") for kind in POLICIES),
    *(policy(kind, "all", appliedTo={"podSelector": {}}, priority=100) for kind in POLICIES),
    *(policy(kind, "subnet", appliedTo={"podSubnet": ["172.29.16.0/24", "fd00:1::/126"]},
             egressIP={"ipv4": "10.6.1.60", "ipv6": "fd00::60"},
             destSubnet=["0.0.0.0/0", "::/0", "10.6.1.92", "2001:db8::1"],
             excludedSubnet=["10.0.0.0/8"], priority=65536) for kind in POLICIES),
    *(policy(kind, "rr", egressIP={"allocatorPolicy": "rr"}) for kind in POLICIES),
    policy("EgressClusterPolicy", "namespaces", priority=1,
           appliedTo={"namespaceSelector": {"matchLabels": {"team": "a"}}}),
    policy("EgressClusterPolicy", "both",
           appliedTo={"namespaceSelector": {}, "podSelector": SELECTOR}),
    cluster_info(extraCidr=["10.96.0.0/12", "fd00:96::/112", "10.0.0.1"],
                 autoDetect={"podCidrMode": "", "clusterIP": False}),
    of("EgressClusterInfo", "default"),
]


@pytest.mark.parametrize("obj", GOOD, ids=lambda o: f"{o['kind']}-{o['metadata']['name']}")
def test_accepted(api, obj):
    api.create(obj, dry_run=True)


def test_defaults(api):
    assert api.create(gateway(), dry_run=True)["spec"]["whenNoGateway"] == "Drop"
    bare = policy("EgressPolicy", appliedTo={"podSelector": {}})
    del bare["spec"]["egressGatewayName"]
    made = api.create(bare, dry_run=True)["spec"]
    assert made["egressIP"] == {"ipv4": "", "ipv6": "", "useNodeIP": False,
                                "allocatorPolicy": "default"}
    assert (made["egressGatewayName"], made["priority"]) == ("", 1000)
    assert api.create(policy("EgressClusterPolicy"), dry_run=True)["spec"]["priority"] == 32768
    info = api.create(of("EgressClusterInfo", "default"), dry_run=True)
    assert info["spec"]["autoDetect"] == {"podCidrMode": "auto", "clusterIP": True, "nodeIP": True}


@pytest.mark.parametrize("kind", POLICIES)
def test_an_empty_gateway_name_is_filled_once(api, kind):
    api.apply(policy(kind, "unnamed", egressGatewayName=""))
    changed = policy(kind, "unnamed", egressGatewayName="eg1", priority=200)
    assert api.apply(changed)["spec"]["egressGatewayName"] == "eg1"
    changed["spec"]["egressGatewayName"] = "eg2"
    assert "can't change once" in refusal(lambda: api.apply(changed))


def test_manifests_of_the_original_apply_unchanged(api):
    with open(TOP / "tests" / "manifests" / "original.yaml") as stream:
        for obj in yaml.safe_load_all(stream):
            stored = api.apply(obj)
            for field, value in obj["spec"].items():
                if field not in ("egressIP", "nodeSelector", "autoDetect"):  # gain defaults
                    assert stored["spec"][field] == value


def test_examples_apply(api):
    for obj in read_manifests(TOP / "manifests" / "examples"):
        if obj["kind"] == "Namespace":
            api.apply(obj)
    for obj in read_manifests(TOP / "manifests" / "examples"):
        api.apply(obj)


def test_the_two_managers_of_an_egress_node_keep_apart(api):
    api.create(of("EgressNode", "shared"))
    condition = {"status": "True", "reason": "Done", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    controller = {"tunnel": {"ipv4": "172.31.0.7", "mac": "66:00:00:00:00:07"}, "phase": "Init",
                  "conditions": [{"type": "Ready", **condition}]}
    agent = {"tunnel": {"parent": {"name": "eth0", "ipv4": "10.6.1.21"}},
             "agent": {"version": "0.1.0", "protocolMin": 1, "protocolMax": 1},
             "conditions": [{"type": "DatapathReady", **condition}]}
    for manager, status in (("egw-controller", controller), ("egw-agent", agent),
                            ("egw-controller", {**controller, "phase": "Ready"})):
        api.apply(of("EgressNode", "shared", status=status), manager=manager, force=False,
                  subresource="status")
    merged = api.get(resource("EgressNode"), "shared")["status"]
    assert merged["phase"] == "Ready"
    assert merged["tunnel"] == {**controller["tunnel"], **agent["tunnel"]}
    assert merged["agent"] == agent["agent"]
    assert {c["type"] for c in merged["conditions"]} == {"Ready", "DatapathReady"}


def test_a_full_gateway_fits(api):
    created = api.create(gateway("full"))
    policies = [{"kind": "EgressPolicy", "namespace": "default", "name": f"policy-{i}"}
                for i in range(100)]
    eips = [{"id": i + 1, "ipv4": f"10.7.{i // 250}.{i % 250 + 1}", "ipv6": f"fd00:7::{i:x}"}
            for i in range(1000)]
    eips[0]["policies"] = policies
    created["status"] = {
        "nodeList": [{"name": "node1", "status": "Ready", "eips": eips}], "term": 1,
        "restingIds": [{"id": i, "until": "2026-01-01T00:00:00.000001Z"} for i in range(1, 1001)],
        "ipUsage": {"ipv4Total": 2**63 - 1, "ipv4Free": 0, "ipv6Total": 1, "ipv6Free": 0}}
    stored = api.replace(created, subresource="status")
    assert stored["status"]["nodeList"][0]["eips"] == eips
    assert len(str(stored["metadata"]["managedFields"])) < 5000  # not an entry for each EIP
    eips.append({"id": 2000})
    stored["status"]["nodeList"][0]["eips"] = eips
    assert "must have at most 1000 items" in refusal(
        lambda: api.replace(stored, subresource="status"))


@pytest.mark.parametrize("kind", ["EgressPolicy", "EgressClusterPolicy"])
def test_ten_thousand_cidrs_in_one_policy(api, kind):
    """As long as they can be written: the API server reckons a rule's cost by the characters."""
    wide = policy(kind, "wide")
    most = [f"2001:0db8:1111:2222:3333:4444:{n >> 8:04x}:{n & 255:04x}/128" for n in range(10001)]
    wide["spec"]["destSubnet"] = wide["spec"]["excludedSubnet"] = most[:-1]
    assert api.create(wide)["spec"]["destSubnet"] == most[:-1]
    wide["metadata"]["name"] = "wider"
    wide["spec"]["destSubnet"] = most
    assert "must have at most 10000 items" in refusal(lambda: api.create(wide))


def cells(server, *what):
    head, *rows = server.kubectl("get", *what).splitlines()
    return [dict(zip(head.split(), row.split())) for row in rows]


def test_columns(api, server):
    ready = [{"type": "Ready", "status": "True", "reason": "Served"}]
    eip = {"ipv4": "10.6.1.55", "ipv6": "fd00::55"}
    made = [
        (gateway("shown"), {"summary": {"nodes": "1/2", "eips": 1},
                            "ipUsage": {"ipv4Total": 15, "ipv4Free": 14, "ipv6Total": 0,
                                        "ipv6Free": 0}, "conditions": ready}),
        (policy("EgressGatewayPolicy", "shown"),
         {"eip": eip, "node": "node1", "conditions": ready}),
        (of("EgressNode", "shown"), {
            "tunnel": {"ipv4": "172.31.0.7", "ipv6": "fd11::7", "mac": "66:00:00:00:00:07",
                       "parent": {"name": "eth0"}}, "phase": "Ready", "conditions": ready}),
    ]
    for obj, status in made:
        stored = api.create(obj)
        api.replace({**stored, "status": status}, subresource="status")
    row = cells(server, "egp", "shown")[0]
    assert [row[c] for c in ("GATEWAY", "IPV4", "IPV6", "NODE", "READY")] == [
        "eg1", "10.6.1.55", "fd00::55", "node1", "True"]
    row = cells(server, "egn", "shown")[0]
    assert [row[c] for c in ("TUNNEL4", "TUNNEL6", "MAC", "PARENT", "PHASE", "READY")] == [
        "172.31.0.7", "fd11::7", "66:00:00:00:00:07", "eth0", "Ready", "True"]
    row = cells(server, "egw", "shown")[0]
    assert [row[c] for c in ("DEFAULT", "NODES", "EIPS", "FREE4", "FREE6", "READY")] == [
        "false", "1/2", "1", "14", "0", "True"]
    assert "egressgatewaypolicy.egressgateway.spidernet.io/shown" in server.kubectl(
        "get", "egress", "-o", "name")
