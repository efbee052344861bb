# SPDX-License-Identifier: Apache-2.0
"""The objects that demo, tests and figures apply, as plain dicts."""

GROUP = "egressgateway.spidernet.io/v1beta1"
GATEWAYS, POLICIES, ALIASES, CLUSTER_POLICIES, NODES, SLICES, CLUSTER_INFO = (
    f"{GROUP}/{plural}"
    for plural in (
        "egressgateways",
        "egressgatewaypolicies",
        "egresspolicies",
        "egressclusterpolicies",
        "egressnodes",
        "egressendpointslices",
        "egressclusterinfos",
    )
)
GATEWAY_LABEL = {"egress": "true"}
DEFAULT_LABEL = "spidernet.io/egressgateway-default"


def of(kind, name, namespace=None, spec=None, labels=None):
    metadata = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": GROUP, "kind": kind, "metadata": metadata, "spec": spec or {}}


def gateway(
    name,
    ipv4=(),
    ipv6=(),
    labels=None,
    default=False,
    ipv4_default=None,
    ipv6_default=None,
    **more,
):
    pools = {"ipv4": list(ipv4), "ipv6": list(ipv6)}
    if ipv4_default:
        pools["ipv4DefaultEIP"] = ipv4_default
    if ipv6_default:
        pools["ipv6DefaultEIP"] = ipv6_default
    return of(
        "EgressGateway",
        name,
        spec={
            "ippools": pools,
            "clusterDefault": default,
            "nodeSelector": {"selector": {"matchLabels": dict(labels or GATEWAY_LABEL)}},
            **more,
        },
    )


def policy(
    name,
    namespace="default",
    gateway=None,
    pods=None,
    destinations=(),
    ipv4=None,
    ipv6=None,
    priority=None,
    kind="EgressPolicy",
    **more,
):
    spec = {"appliedTo": {"podSelector": {"matchLabels": dict(pods or {})}}}
    if gateway:
        spec["egressGatewayName"] = gateway
    if destinations:
        spec["destSubnet"] = list(destinations)
    if ipv4 or ipv6:
        spec["egressIP"] = {key: value for key, value in (("ipv4", ipv4), ("ipv6", ipv6)) if value}
    if priority:
        spec["priority"] = priority
    spec.update(more)
    return of(kind, name, None if kind == "EgressClusterPolicy" else namespace, spec)


def condition(obj, kind):
    for entry in (obj or {}).get("status", {}).get("conditions", []):
        if entry["type"] == kind:
            return entry
    return {}


def is_true(obj, kind):
    """The condition holds for the object as it is now, not for an older spec."""
    entry = condition(obj, kind)
    return (
        entry.get("status") == "True"
        and entry.get("observedGeneration", obj["metadata"]["generation"])
        == obj["metadata"]["generation"]
    )


def placement(gateway_object):
    """{EIP address: node name or None} of a gateway."""
    status, found = gateway_object.get("status", {}), {}
    for node in status.get("nodeList", []):
        for entry in node.get("eips", []):
            found.update(
                {entry[family]: node["name"] for family in ("ipv4", "ipv6") if entry.get(family)}
            )
    for entry in status.get("unplaced", []):
        found.update({entry[family]: None for family in ("ipv4", "ipv6") if entry.get(family)})
    return found
