# SPDX-License-Identifier: Apache-2.0
"""What `kubectl apply -k` installs, and what the accounts may and may not do."""

import json

import pytest
import yaml

from conftest import TOP

MANIFESTS = TOP / "manifests"
GROUP = "egressgateway.spidernet.io"
PEOPLES = ("egressgateways", "egressgatewaypolicies", "egresspolicies", "egressclusterpolicies")
HOOKS = "admissionregistration.k8s.io"
CONFIGURATIONS = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
OURS = ("egressnodes", "egressendpointslices", "egressclusterendpointslices")

MAY = [
    *(("egw-agent", verb, GROUP, plural) for plural in (*PEOPLES, *OURS, "egressclusterinfos")
      for verb in ("get", "list", "watch")),
    ("egw-agent", "patch", GROUP, "egressnodes/status"),
    ("egw-agent", "list", "", "pods"),
    ("egw-agent", "watch", "", "namespaces"),
    ("egw-agent", "create", "", "events"),
    *(("egw-controller", verb, GROUP, plural) for plural in OURS
      for verb in ("list", "watch", "create", "update", "patch", "delete")),
    *(("egw-controller", "update", GROUP, f"{plural}/status") for plural in PEOPLES),
    *(("egw-controller", "patch", GROUP, plural) for plural in PEOPLES),
    ("egw-controller", "create", GROUP, "egressclusterinfos"),
    ("egw-controller", "watch", "", "nodes"),
    ("egw-controller", "watch", "", "pods"),
    ("egw-controller", "update", "coordination.k8s.io", "leases", "egw-system"),
    ("egw-controller", "watch", "discovery.k8s.io", "endpointslices", "default"),
    ("egw-controller", "create", "", "secrets", "egw-system"),
    *(("egw-controller", verb, "", "secrets", "egw-system", "egw-webhook")
      for verb in ("get", "list", "watch", "update")),
    *(("egw-controller", verb, HOOKS, plural, "", "egw-webhook") for plural in CONFIGURATIONS
      for verb in ("get", "list", "watch", "patch")),
    ("egw-controller", "watch", "crd.projectcalico.org", "ippools"),
    ("egw-controller", "watch", "cilium.io", "ciliumnodes"),
    ("egw-controller", "watch", "networking.k8s.io", "servicecidrs"),
    *(("egw-controller", verb, "", "configmaps", namespace, name)
      for verb in ("list", "watch") for namespace in ("", "kube-system", "kube-flannel")
      for name in ("kube-flannel-cfg", "cilium-config")),
]
MAY_NOT = [
    *(("egw-agent", verb, GROUP, plural) for plural in (*PEOPLES, *OURS, "egressclusterinfos")
      for verb in ("create", "update", "patch", "delete")),
    ("egw-agent", "patch", GROUP, "egressgateways/status"),
    ("egw-agent", "update", GROUP, "egressnodes/status"),
    *((account, verb, "", what) for account in ("egw-agent", "egw-controller")
      for verb in ("create", "update", "patch", "delete")
      for what in ("pods", "nodes", "namespaces")),
    *((account, "get", "", "secrets") for account in ("egw-agent", "egw-controller")),
    *((account, verb, "", "secrets", "egw-system", name)
      for account in ("egw-agent", "egw-controller")
      for verb in ("get", "list", "watch", "update", "patch", "delete")
      for name in ("another", "")),
    *(("egw-controller", verb, "", "secrets", "egw-system", "egw-webhook")
      for verb in ("patch", "delete")),
    *(("egw-agent", verb, "", "secrets", "egw-system", "egw-webhook")
      for verb in ("get", "create", "update")),
    *(("egw-controller", verb, "", "secrets", "default", "egw-webhook")
      for verb in ("get", "create", "update")),
    *(("egw-controller", verb, HOOKS, plural, "", name) for plural in CONFIGURATIONS
      for verb in ("list", "patch", "update", "delete", "create") for name in ("another", "")),
    *(("egw-controller", verb, HOOKS, plural, "", "egw-webhook") for plural in CONFIGURATIONS
      for verb in ("update", "delete")),
    ("egw-agent", "list", "", "nodes"),
    ("egw-agent", "get", "coordination.k8s.io", "leases", "egw-system"),
    *(("egw-controller", verb, GROUP, plural) for plural in PEOPLES
      for verb in ("create", "delete")),
    ("egw-controller", "update", "coordination.k8s.io", "leases", "kube-node-lease"),
    ("egw-controller", "get", "discovery.k8s.io", "endpointslices", "kube-system"),
    *(("egw-controller", "watch", "", "configmaps", "kube-system", name)
      for name in ("", "kubeadm-config")),
    ("egw-controller", "update", "", "configmaps", "kube-system", "cilium-config"),
    ("egw-controller", "update", "networking.k8s.io", "servicecidrs"),
    ("egw-agent", "get", "networking.k8s.io", "servicecidrs"),
    ("egw-controller", "create", "", "services", "egw-system"),
    ("egw-controller", "list", "", "services"),
]


def allowed(api, account, verb, group, what, namespace="", name=""):
    plural, _, subresource = what.partition("/")
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "user": f"system:serviceaccount:egw-system:{account}",
        "groups": ["system:serviceaccounts", "system:authenticated"],
        "resourceAttributes": {"verb": verb, "group": group, "resource": plural,
                               "subresource": subresource, "namespace": namespace,
                               "name": name}}}
    answer = api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return answer["status"]["allowed"]


def test_roles(api):
    assert [case for case in MAY if not allowed(api, *case)] == []
    assert [case for case in MAY_NOT if allowed(api, *case)] == []


def test_the_right_to_ask_for_service_ranges(api, server):
    """Given by itself, for that namespace and nothing else."""
    case = ("egw-controller", "create", "", "services")
    server.kubectl("apply", "-k", MANIFESTS / "service-probe")
    try:
        assert allowed(api, *case, "egw-system")
        assert not allowed(api, *case, "default")
        assert not allowed(api, "egw-controller", "update", "", "services", "egw-system")
        assert not allowed(api, "egw-agent", "create", "", "services", "egw-system")
    finally:
        server.kubectl("delete", "-k", MANIFESTS / "service-probe")


@pytest.fixture(scope="module", params=[
    "base", "overlays/example", "overlays/cert-manager", "overlays/remove-taint"])
def built(request, server):
    return list(yaml.safe_load_all(server.kubectl("kustomize", MANIFESTS / request.param)))


def workload(built, kind):
    return next(obj for obj in built if obj["kind"] == kind)


def test_the_server_takes_all_of_it(api, built):
    for obj in built:
        if obj["apiVersion"].startswith("cert-manager.io/"):
            continue  # not served here: see test_certificates_by_cert_manager
        query = {"fieldManager": "tests", "force": "true", "dryRun": "All",
                 "fieldValidation": "Strict"}
        api.request("PATCH", api.path_for(obj), obj, "application/apply-patch+yaml", query)


def test_the_agent_is_not_privileged(built):
    pod = workload(built, "DaemonSet")["spec"]["template"]["spec"]
    assert pod["hostNetwork"] and pod["serviceAccountName"] == "egw-agent"
    security = pod["containers"][0]["securityContext"]
    assert "privileged" not in security and not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
    assert "volumes" not in pod


def test_the_controller_runs_twice_and_without_rights(built):
    spec = workload(built, "Deployment")["spec"]
    assert spec["replicas"] >= 2
    pod = spec["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] and "hostNetwork" not in pod
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_overlay_takes_effect(server):
    built = list(yaml.safe_load_all(server.kubectl("kustomize", MANIFESTS / "overlays/example")))
    deployment = workload(built, "Deployment")
    assert deployment["spec"]["replicas"] == 3
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "registry.example.com/network/egw:v0.1.0"
    assert '"egw": "true"' in json.dumps(workload(built, "DaemonSet"))


def test_the_webhook_is_for_our_kinds_and_never_blocks_a_deletion(built):
    rules = {}
    for obj in built:
        for hook in obj.get("webhooks", []):
            client = hook["clientConfig"]["service"]
            assert (client["namespace"], client["name"]) == ("egw-system", "egw-webhook")
            assert "caBundle" not in hook["clientConfig"]  # else applying it again takes it away
            assert hook["sideEffects"] == "None" and hook["timeoutSeconds"] == 5
            assert hook["matchPolicy"] == "Equivalent" and hook["admissionReviewVersions"] == ["v1"]
            [rule] = hook["rules"]
            assert rule["apiGroups"] == [GROUP] and rule["apiVersions"] == ["v1beta1"]
            what = (obj["kind"][:-len("WebhookConfiguration")], client["path"],
                    hook["failurePolicy"], *rule["operations"])
            rules[what] = sorted(rule["resources"])
    written = sorted([*PEOPLES, "egressclusterinfos"])
    assert rules == {("Mutating", "/mutate", "Fail", "CREATE", "UPDATE"): written,
                     ("Validating", "/validate", "Fail", "CREATE", "UPDATE"): written,
                     ("Validating", "/validate", "Ignore", "DELETE"): ["egressgateways"]}


def test_the_service_leads_to_the_webhook(built):
    service = workload(built, "Service")
    [port] = service["spec"]["ports"]
    pod = workload(built, "Deployment")["spec"]["template"]
    [container] = pod["spec"]["containers"]
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert port["port"] == 443 and f"--webhook-address=:{ports[port['targetPort']]}" in \
        container["args"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()


def test_certificates_by_cert_manager(server):
    built = list(yaml.safe_load_all(
        server.kubectl("kustomize", MANIFESTS / "overlays/cert-manager")))
    certificate, issuer = workload(built, "Certificate"), workload(built, "Issuer")
    place = certificate["metadata"]["namespace"], certificate["metadata"]["name"]
    service = workload(built, "Service")["metadata"]
    name = f"{service['name']}.{service['namespace']}.svc"
    assert certificate["spec"]["dnsNames"] == [name, f"{name}.cluster.local"]
    assert certificate["spec"]["issuerRef"]["name"] == issuer["metadata"]["name"]
    for obj in built:
        if "webhooks" in obj:
            annotations = obj["metadata"]["annotations"]
            assert annotations["cert-manager.io/inject-ca-from"] == "/".join(place)
    pod = workload(built, "Deployment")["spec"]["template"]["spec"]
    [container], [volume] = pod["containers"], pod["volumes"]
    [mount] = container["volumeMounts"]
    assert volume["name"] == mount["name"]
    assert volume["secret"]["secretName"] == certificate["spec"]["secretName"]
    assert {f"--webhook-cert-dir={mount['mountPath']}", "--webhook-ca-injection=false"} <= set(
        container["args"])
    # No rights are left that nobody needs then.
    assert not any("webhook" in obj["metadata"]["name"] for obj in built if "Role" in obj["kind"])
    assert "secrets" not in json.dumps([o for o in built if o["kind"] in ("Role", "ClusterRole")])
