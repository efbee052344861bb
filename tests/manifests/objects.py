# SPDX-License-Identifier: Apache-2.0
"""Good objects of the kinds that people write, to be changed by the tests."""

import copy

VERSION = "egressgateway.spidernet.io/v1beta1"
SELECTOR = {"matchLabels": {"app": "web"}}
NAMESPACED = ("EgressGatewayPolicy", "EgressPolicy")
POLICIES = (*NAMESPACED, "EgressClusterPolicy")
PLURALS = {
    "EgressGateway": "egressgateways",
    "EgressGatewayPolicy": "egressgatewaypolicies",
    "EgressPolicy": "egresspolicies",
    "EgressClusterPolicy": "egressclusterpolicies",
    "EgressNode": "egressnodes",
    "EgressEndpointSlice": "egressendpointslices",
    "EgressClusterEndpointSlice": "egressclusterendpointslices",
    "EgressClusterInfo": "egressclusterinfos",
}


def resource(kind):
    return f"{VERSION}/{PLURALS[kind]}"


def of(kind, name, **parts):
    metadata = {"name": name}
    if kind in (*NAMESPACED, "EgressEndpointSlice"):
        metadata["namespace"] = "default"
    return {"apiVersion": VERSION, "kind": kind, "metadata": metadata, **parts}


def gateway(name="eg1", **spec):
    return of("EgressGateway", name, spec={
        "ippools": {"ipv4": ["10.6.1.55", "10.6.1.60-10.6.1.65", "10.6.1.72/29"],
                    "ipv6": ["fd00::55", "fd00::60-fd00::65", "fd00:1::/64"],
                    "ipv4DefaultEIP": "10.6.1.55", "ipv6DefaultEIP": "fd00::55"},
        "nodeSelector": {"selector": {"matchLabels": {"egress": "true"}}}, **copy.deepcopy(spec)})


def policy(kind="EgressPolicy", name="app", **spec):
    return of(kind, name, spec={"egressGatewayName": "eg1", "appliedTo": {"podSelector": SELECTOR},
                                **copy.deepcopy(spec)})


def cluster_info(name="default", **spec):
    return of("EgressClusterInfo", name, spec=copy.deepcopy(spec))
