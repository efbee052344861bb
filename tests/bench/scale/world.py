# SPDX-License-Identifier: Apache-2.0
"""What there is in the large cluster, as numbers, names and plain dicts. No clock and no chance:
the same size gives the same world."""

import dataclasses
import functools
import ipaddress
import json

from lab import objects

SPARE_GATEWAYS = 10  # those whose EIPs stand on one node of two, for the loss of that node
SHARED_GATEWAYS = 10  # gateways that share the same nodes
GROUP_NODES = 3
GROUP_LABEL = "egress-group"
NAMESPACE_GROUPS, TIERS = 25, 20
NODE4, NODE6 = ipaddress.ip_address("10.100.0.0"), ipaddress.ip_address("fd00:100::")
PODS4, PODS6 = ipaddress.ip_address("10.128.0.0"), ipaddress.ip_address("fd00:128::")
EIP4, EIP6 = ipaddress.ip_address("198.18.0.0"), ipaddress.ip_address("fd00:18::")
SYSTEM = "kube-system"


@dataclasses.dataclass(frozen=True)
class Size:
    nodes: int = 5000
    pods: int = 100000
    policies: int = 10000
    gateways: int = 200
    failover_eips: int = 500

    @classmethod
    def parse(cls, text):
        try:
            nodes, pods, policies, gateways = (int(part) for part in text.split("/"))
        except ValueError:
            raise ValueError(f"'{text}' is not NODES/PODS/POLICIES/GATEWAYS") from None
        size = cls(nodes, pods, policies, gateways, min(500, policies // 2))
        size.check()
        return size

    def check(self):
        if self.gateways % SHARED_GATEWAYS or not 10 <= self.gateways <= 250:
            raise ValueError(f"{self.gateways} gateways: give a multiple of ten from 10 to 250")
        if self.nodes <= self.gateway_nodes:
            raise ValueError(f"{self.nodes} nodes: {self.gateways} gateways need more than "
                             f"{self.gateway_nodes}")
        if self.policies < 100 or self.pods < self.nodes + self.policies:
            raise ValueError("give 100 policies or more, and a pod for each policy and each node")

    @property
    def namespaces(self):
        return max(NAMESPACE_GROUPS, self.policies * 150 // 10000)

    @property
    def cluster_policies(self):
        return self.policies // 100

    @property
    def replicas(self):
        """Pods of an app: three quarters of those outside the host's network have a policy."""
        return max(1, (self.pods - self.nodes) * 3 // 4 // (self.policies - self.cluster_policies))

    @property
    def groups(self):
        return self.gateways // SHARED_GATEWAYS - 1

    @property
    def gateway_nodes(self):
        return 2 + self.groups * GROUP_NODES


@dataclasses.dataclass(frozen=True)
class Node:
    number: int

    @functools.cached_property
    def name(self):
        return f"ip-{str(self.ip4).replace('.', '-')}.eu-central-1.compute.internal"

    @property
    def zone(self):
        return f"eu-central-1{'abc'[self.number % 3]}"

    @property
    def ip4(self):
        return NODE4 + 10 + self.number

    @property
    def ip6(self):
        return NODE6 + 10 + self.number

    @property
    def pods4(self):
        return f"{PODS4 + 256 * self.number}/24"

    @property
    def pods6(self):
        return f"{PODS6 + (self.number << 64)}/64"


@dataclasses.dataclass(frozen=True)
class Pod:
    """The first pods are one of the host's network on each node; then app after app, those with a
    policy first."""

    number: int
    size: Size

    @property
    def of_host(self):
        return self.number < self.size.nodes

    @property
    def app_number(self):
        return (self.number - self.size.nodes) // self.size.replicas

    @property
    def app(self):
        return "node-exporter" if self.of_host else app_name(self.app_number)

    @property
    def namespace(self):
        return SYSTEM if self.of_host else namespace_name(self.app_number % self.size.namespaces)

    @property
    def name(self):
        return f"{self.app}-{digits(self.number * 7919, 5)}" if self.of_host else (
            f"{self.app}-{self.template_hash}-{digits(self.number * 7919, 5)}")

    @property
    def template_hash(self):
        return digits(self.app_number * 104729 + 77, 9)

    @property
    def tier(self):
        return f"tier-{0 if self.of_host else self.app_number * 31 % TIERS:02}"

    @property
    def node(self):
        # A prime as step: replicas of an app stand far from each other.
        return Node(self.number * (1 if self.of_host else 1009) % self.size.nodes)

    @property
    def slot(self):
        return 2 + self.number // self.size.nodes % 200

    @property
    def ips(self):
        node = self.node
        if self.of_host:
            return node.ip4, node.ip6
        return PODS4 + 256 * node.number + self.slot, PODS6 + (node.number << 64) + self.slot

    @property
    def key(self):
        return f"/registry/pods/{self.namespace}/{self.name}"


def digits(number, width):
    """Like the ends of names that Kubernetes makes up: without vowels and what looks alike."""
    letters, text = "bcdfghjklmnpqrstvwxz2456789", ""
    for _ in range(width):
        number, digit = divmod(number, len(letters))
        text += letters[digit]
    return text


def app_name(number):
    return f"app-{number:05}"


def namespace_name(number):
    return f"team-{number:03}"


def namespaces(size):
    for number in range(size.namespaces):
        yield {"apiVersion": "v1", "kind": "Namespace",
               "metadata": {"name": namespace_name(number),
                            "labels": {"team": f"t{number}",
                                       "group": f"g{number % NAMESPACE_GROUPS}"}}}


def node_group(size, number):
    """Which gateways may use the node; None: it is no gateway node."""
    if number < 2:
        return "spare"
    group = (number - 2) // GROUP_NODES
    return f"group-{group:02}" if group < size.groups else None


def gateway_name(number):
    return f"gateway-{number:03}"


def gateways(size):
    for number in range(size.gateways):
        group = number // SHARED_GATEWAYS - 1
        first = EIP4 + 256 * number
        yield applied(objects.gateway(
            gateway_name(number), [f"{first + 1}-{first + 254}"],
            [f"{EIP6 + (number << 16) + 1}-{EIP6 + (number << 16) + 254}"],
            {GROUP_LABEL: "spare" if group < 0 else f"group-{group:02}"}))


def gateway_of(size, number):
    """(gateway, which of its policies) of the policy with that number."""
    others = size.gateways - SPARE_GATEWAYS
    if number < size.failover_eips or not others:
        return number % SPARE_GATEWAYS, number // SPARE_GATEWAYS
    number -= size.failover_eips
    return SPARE_GATEWAYS + number % others, number // others


def eips_of(size, number):
    """The addresses that a policy asks for: each of those of the first gateways has its own, of the
    others every second; None: the gateway's default."""
    gateway, place = gateway_of(size, number)
    if number >= size.failover_eips and place % 2:
        return None
    if number >= size.failover_eips and gateway < SPARE_GATEWAYS:
        return None
    # The first address of the pool is the default EIP.
    return EIP4 + 256 * gateway + 2 + place, EIP6 + (gateway << 16) + 2 + place


def policy_kind(size, number):
    if number >= size.policies - size.cluster_policies:
        return "EgressClusterPolicy"
    return "EgressGatewayPolicy" if number % 10 == 9 else "EgressPolicy"


def policy(size, number):
    """Namespaced ones select one app each. Cluster policies: a tier of some namespaces."""
    kind, more = policy_kind(size, number), {}
    pods, namespace = {"app": app_name(number)}, namespace_name(number % size.namespaces)
    if kind == "EgressClusterPolicy":
        place = number - size.policies + size.cluster_policies
        pods = {"tier": f"tier-{place // NAMESPACE_GROUPS % TIERS:02}"}
        more["appliedTo"] = {
            "podSelector": {"matchLabels": pods},
            "namespaceSelector": {"matchLabels": {"group": f"g{place % NAMESPACE_GROUPS}"}}}
    eips = eips_of(size, number) or (None, None)
    return applied(objects.policy(
        f"policy-{number:05}", namespace, gateway_name(gateway_of(size, number)[0]), pods,
        [f"203.0.113.{number % 64 * 4}/30", f"2001:db8:{number % 4096:x}::/48"] * (number % 2),
        *map(lambda a: a and str(a), eips), kind=kind, **more))


def applied(obj):
    """As `kubectl apply` leaves it."""
    text = json.dumps(obj, separators=(",", ":")) + "\n"
    obj["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": text}
    return obj


def endpoints(size, pods):
    """How many endpoints the slices of all policies hold together, when these pods are there."""
    wide, count = {}, 0
    for place in range(size.cluster_policies):
        group, tier = place % NAMESPACE_GROUPS, place // NAMESPACE_GROUPS % TIERS
        wide[group, f"tier-{tier:02}"] = wide.get((group, f"tier-{tier:02}"), 0) + 1
    for pod in pods:
        if not pod.of_host:
            count += pod.app_number < size.policies - size.cluster_policies
            group = pod.app_number % size.namespaces % NAMESPACE_GROUPS
            count += wide.get((group, pod.tier), 0)
    return count
