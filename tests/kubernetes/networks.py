# SPDX-License-Identifier: Apache-2.0
"""What networks and control planes leave in a cluster: the kinds of Calico and Cilium, Flannel's
and Cilium's configuration, Pods of the control plane."""

import json

from kubeapi import ApiError
from manifests import apply_objects

POOLS = "crd.projectcalico.org/v1/ippools"
CILIUM_NODES = "cilium.io/v2/ciliumnodes"
_DEFINITIONS = "apiextensions.k8s.io/v1/customresourcedefinitions"

_TEXT, _FLAG, _NUMBER = {"type": "string"}, {"type": "boolean"}, {"type": "integer"}
_TEXTS = {"type": "array", "items": _TEXT}
_OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _fields(required=(), **properties):
    return {"type": "object", "properties": properties,
            **({"required": list(required)} if required else {})}


def _definition(group, version, plural, kind, spec):
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Cluster",
                 "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural,
                           "singular": kind.lower()},
                 "versions": [{"name": version, "served": True, "storage": True, "schema": {
                     "openAPIV3Schema": _fields(apiVersion=_TEXT, kind=_TEXT,
                                                metadata={"type": "object"}, spec=spec,
                                                status=_OPEN)}}]}}


IP_POOLS = _definition("crd.projectcalico.org", "v1", "ippools", "IPPool", _fields(
    required=["cidr"], allowedUses=_TEXTS, assignmentMode=_TEXT, blockSize=_NUMBER, cidr=_TEXT,
    disableBGPExport=_FLAG, disabled=_FLAG, ipipMode=_TEXT, natOutgoing=_FLAG, nodeSelector=_TEXT,
    vxlanMode=_TEXT))
CILIUM_NODE_KIND = _definition("cilium.io", "v2", "ciliumnodes", "CiliumNode", _fields(
    addresses={"type": "array", "items": _fields(ip=_TEXT, type=_TEXT)},
    ipam=_fields(podCIDRs=_TEXTS, pools=_fields(
        allocated={"type": "array", "items": _fields(pool=_TEXT, cidrs=_TEXTS)}))))


def install(api, definition):
    apply_objects(api, [definition])


def uninstall(api, definition):
    """Its objects go as well. Returns when all are gone."""
    name = definition["metadata"]["name"]
    api.delete(_DEFINITIONS, name, missing_ok=True)
    api.wait_for(_DEFINITIONS, name, condition=lambda obj: obj is None)


def pool(api, name, cidr, **spec):
    return api.apply({
        "apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool", "metadata": {"name": name},
        "spec": {"cidr": cidr, "allowedUses": ["Workload", "Tunnel"], "blockSize": 26,
                 "ipipMode": "Never", "natOutgoing": True, "nodeSelector": "all()",
                 "vxlanMode": "CrossSubnet", **spec}})


def cilium_node(api, name, **ipam):
    return api.apply({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": {"name": name},
        "spec": {"addresses": [{"ip": "10.6.1.1", "type": "InternalIP"}], "ipam": ipam}})


def config_map(api, namespace, name, **data):
    return api.apply({"apiVersion": "v1", "kind": "ConfigMap",
                      "metadata": {"name": name, "namespace": namespace}, "data": data})


def flannel_config(api, namespace, **net):
    return config_map(api, namespace, "kube-flannel-cfg", **{
        "cni-conf.json": "{}",
        "net-conf.json": json.dumps({**net, "Backend": {"Type": "vxlan"}}, indent=2)})


def namespace(api, name):
    return api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def control_plane_pod(api, component, node, command, label="component"):
    """As kubeadm's static Pods stand in the API."""
    return api.create({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": f"{component}-{node}", "namespace": "kube-system",
                     "labels": {label: component, "tier": "control-plane"}},
        "spec": {"nodeName": node, "hostNetwork": True, "containers": [
            {"name": component, "image": f"registry.k8s.io/{component}:v1.30.2",
             "command": command}]}})


def forbid(api, role, group):
    """Takes the rules about that group of the API out of a ClusterRole."""
    found = api.get("rbac.authorization.k8s.io/v1/clusterroles", role)
    found["rules"] = [rule for rule in found["rules"] if group not in rule["apiGroups"]]
    api.replace(found)


def service_range(api, name, *cidrs, version="v1"):
    return api.create({"apiVersion": f"networking.k8s.io/{version}", "kind": "ServiceCIDR",
                       "metadata": {"name": name}, "spec": {"cidrs": list(cidrs)}})


def services_named(api, part):
    try:
        return [s["metadata"]["name"] for s in api.list("services")
                if part in s["metadata"]["name"]]
    except ApiError as error:
        return [str(error)]
