# SPDX-License-Identifier: Apache-2.0
"""What the API server must refuse by itself: (what, object, part of the message). For a change of
an object: (what, object before, object after, part of the message)."""

from objects import NAMESPACED, POLICIES, SELECTOR, cluster_info, gateway, policy


def _pools(**more):
    return gateway(ippools=more)


def _nodes(selector=None, **more):
    return gateway(nodeSelector={"selector": selector or {"matchLabels": {"a": "b"}}, **more})


def _requirement(**requirement):
    return _nodes({"matchExpressions": [requirement]})


_V4 = "is not an IPv4 address"
_V6 = "is not an IPv6 address"
_CIDR = "is not a CIDR or an address"
_VALUES = "In and NotIn need values"

GATEWAYS = [
    ("no selector", gateway(nodeSelector={}), "selector: Required value"),
    ("empty selector", gateway(nodeSelector={"selector": {}}),
     "must not be empty: give matchLabels or matchExpressions"),
    ("selector of nothing", gateway(nodeSelector={"selector": {"matchLabels": {}}}),
     "must not be empty"),
    ("unknown placement", _nodes(policy="Fastest"), 'supported values: "AverageSelection"'),
    ("limit missing", _nodes(policy="LimitSelection"), "LimitSelection needs a limit"),
    ("limit 0", _nodes(policy="LimitSelection", limit=0), "greater than or equal to 1"),
    ("In without values", _requirement(key="a", operator="In"), _VALUES),
    ("Exists with values", _requirement(key="a", operator="Exists", values=["b"]), _VALUES),
    ("unknown operator", _requirement(key="a", operator="Like", values=["b"]), "supported values"),
    ("no such octet", _pools(ipv4=["10.6.1.256"]), f'"10.6.1.256\\" {_V4}'),
    ("a name", _pools(ipv4=["example.org"]), _V4),
    ("IPv6 in ipv4", _pools(ipv4=["fd00::1"]), _V4),
    ("too long a prefix", _pools(ipv4=["10.6.1.0/33"]), _V4),
    ("open range", _pools(ipv4=["10.6.1.1-"]), _V4),
    ("IPv4 in ipv6", _pools(ipv6=["10.6.1.1"]), _V6),
    ("too long a prefix of IPv6", _pools(ipv6=["fd00::/129"]), _V6),
    ("a default that is none", _pools(ipv4=["10.6.1.1"], ipv4DefaultEIP="10.6.1.1/32"), _V4),
    ("a default of the other family", _pools(ipv6=["fd00::1"], ipv6DefaultEIP="10.6.1.1"), _V6),
    ("a default without a pool", _pools(ipv4DefaultEIP="10.6.1.1"),
     "ipv4DefaultEIP must lie in the pool ipv4, which is empty"),
    ("a default without a pool of IPv6", _pools(ipv6=[], ipv6DefaultEIP="fd00::1"),
     "ipv6DefaultEIP must lie in the pool ipv6, which is empty"),
    ("a scope that says nothing", gateway(scope={}), "must have namespaces or namespaceSelector"),
    ("a scope for nobody", gateway(scope={"namespaces": []}), "should have at least 1 items"),
    ("unknown whenNoGateway", gateway(whenNoGateway="Maybe"), 'supported values: "Drop", "Bypass"'),
    ("unknown unservedFamily", gateway(unservedFamily="Maybe"), "supported values"),
    ("more than 1,000 entries", _pools(ipv4=["10.6.1.1"] * 1001), "must have at most 1000 items"),
]


def _policies():
    for kind in POLICIES:
        for what, spec, message in [
            ("nobody", {"appliedTo": {}}, "selects nothing: give podSelector"),
            ("no subnet", {"appliedTo": {"podSubnet": []}}, "selects nothing"),
            ("both", {"appliedTo": {"podSelector": SELECTOR, "podSubnet": ["10.0.0.0/8"]}},
             "podSelector and podSubnet exclude each other: remove one"),
            ("a bad subnet", {"appliedTo": {"podSubnet": ["fd00:1/126"]}}, "podSubnet[0]"),
            ("a bad destination", {"destSubnet": ["10.0.0.0/8", "web"]}, f'"web\\" {_CIDR}'),
            ("a bad exclusion", {"excludedSubnet": ["10.0.0.0/40"]}, _CIDR),
            ("node's and explicit", {"egressIP": {"useNodeIP": True, "ipv4": "10.6.1.55"}},
             "useNodeIP: true and an explicit address exclude each other: remove one"),
            ("a CIDR as EIP", {"egressIP": {"ipv4": "10.6.1.0/24"}}, _V4),
            ("IPv4 as IPv6", {"egressIP": {"ipv6": "10.6.1.55"}}, _V6),
            ("unknown allocator", {"egressIP": {"allocatorPolicy": "random"}}, "supported values"),
            ("priority 0", {"priority": 0}, "greater than or equal to 1"),
            ("priority 65537", {"priority": 65537}, "less than or equal to 65536"),
            ("a selector without values",
             {"appliedTo": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}},
             _VALUES),
        ]:
            yield f"{kind}: {what}", policy(kind, **spec), message
    for kind in NAMESPACED:
        yield (f"{kind}: a cluster policy's priority", policy(kind, priority=99),
               "1 to 99 are for an EgressClusterPolicy: give 100 to 65536")
    unselected = {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "NotIn"}]}}
    yield ("EgressClusterPolicy: a namespace selector without values",
           policy("EgressClusterPolicy", appliedTo=unselected), _VALUES)


CREATES = [
    *GATEWAYS,
    *_policies(),
    ("a second cluster info", cluster_info("other"), "the one EgressClusterInfo is named default"),
    ("a bad extra CIDR", cluster_info(extraCidr=["10.96.0.0/12", "services"]), _CIDR),
    ("an unknown mode", cluster_info(autoDetect={"podCidrMode": "magic"}), "supported values"),
]


def _changes():
    for kind in POLICIES:
        before = policy(kind)
        yield (f"{kind}: another gateway", before, policy(kind, egressGatewayName="eg2"),
               "can't change once it is set: make a new policy")
        yield (f"{kind}: no gateway", before, policy(kind, egressGatewayName=""),
               "can't change once it is set")
        yield (f"{kind}: another EIP", before, policy(kind, egressIP={"ipv4": "10.6.1.60"}),
               "can't change after creation: make a new policy")
        yield (f"{kind}: another allocator", before,
               policy(kind, egressIP={"allocatorPolicy": "rr"}), "can't change after creation")


CHANGES = list(_changes())
