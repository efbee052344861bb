# SPDX-License-Identifier: Apache-2.0
"""The kinds, field by field. Limits: 1,000 EIPs a gateway, ids 1..32767, 5,000 nodes."""

from schema import (NOT_EMPTY, atomic, cidr, cidr_source, column, condition_column, conditions,
                    definition, fields, flag, found_address, long_number, mapping, number,
                    optional_address, pool_entry, rules, selector, text, time, word)

_MOST_EIPS = 1000
_MOST_CIDRS = 10_000  # two such lists of the longest texts are 1 MB; etcd takes 1.5
_MOST_NODES = 5000
_MOST_IDS = 32767
_POLICY_KINDS = ("EgressGatewayPolicy", "EgressPolicy", "EgressClusterPolicy")
_PHASES = ("Pending", "Init", "Failed", "Ready", "AgentDown", "NodeDown", "NodeNotReady")
_READY = condition_column("Ready", "Ready")
_REASON = condition_column("Reason", "Ready", "reason", wide=True)


# ---- EgressGateway -----------------------------------------------------------------------------

def _eips(description):
    policy = fields("A policy that uses this EIP.",
                    kind=word("Its kind.", *_POLICY_KINDS),
                    namespace=text("Its namespace; empty for an EgressClusterPolicy.", 63),
                    name=text("Its name."))
    eip = fields(
        "An EIP, or with no address the entry of policies that use the node's own.",
        id=number("Number of the EIP in the whole cluster, kept while it is allocated: its mark on "
                  "connections.", 0, _MOST_IDS),
        ipv4=text("IPv4 address.", 15),
        ipv6=text("IPv6 address.", 45),
        movingTo=text("Node that a planned move hands the EIP over to."),
        policies=atomic("Who uses it. For people; at most 100 names a gateway are kept "
                        "here.", policy,
                        100))
    return atomic(description, eip, _MOST_EIPS)


def _gateway_spec():
    pools = rules(
        fields("The EIPs of this gateway.",
               ipv4=atomic("IPv4 addresses, ranges (FIRST-LAST) and CIDRs. Network and broadcast "
                           "address of a CIDR shorter than /31 are left out.",
                           pool_entry(4, "An address, a range or a CIDR."), _MOST_EIPS),
               ipv6=atomic("IPv6 addresses, ranges (FIRST-LAST) and CIDRs.",
                           pool_entry(6, "An address, a range or a CIDR."), _MOST_EIPS),
               ipv4DefaultEIP=optional_address(4, "The IPv4 address of policies that name none. "
                                               "Empty: the lowest of the pool."),
               ipv6DefaultEIP=optional_address(6, "The IPv6 address of policies that name none. "
                                               "Empty: the lowest of the pool.")),
        *((f"!has(self.ipv{f}DefaultEIP) || self.ipv{f}DefaultEIP == '' || "
           f"(has(self.ipv{f}) && size(self.ipv{f}) > 0)",
           f"ipv{f}DefaultEIP must lie in the pool ipv{f}, which is empty") for f in (4, 6)))
    nodes = rules(
        fields("The nodes that may hold the EIPs.", required=["selector"],
               selector=rules(selector("Labels of the nodes. Must not be empty: that would make "
                                       "every node a gateway."),
                              (NOT_EMPTY, "must not be empty: give matchLabels or "
                                          "matchExpressions")),
               policy=word("Where a new EIP goes. AverageSelection: to the ready node with the "
                           "fewest EIPs of all gateways. MinimumNodeSelection: one node is "
                           "filled first. "
                           "LimitSelection: nodes with fewer EIPs than the limit are preferred.",
                           "AverageSelection", "MinimumNodeSelection", "LimitSelection",
                           default="AverageSelection"),
               limit=number("EIPs that a node takes before others do, for LimitSelection.",
                            1, _MOST_EIPS)),
        ("self.policy != 'LimitSelection' || has(self.limit)", "LimitSelection needs a limit"))
    scope = rules(
        fields("Who may refer to this gateway: namespaces that are listed or that the selector "
               "matches. Without scope: all. Cluster policies are not limited by it.",
               namespaces=atomic("Names of namespaces.",
                                 text("Name of a namespace.", 63, minLength=1), 1000, minItems=1),
               namespaceSelector=selector("Labels of namespaces. Empty: all.")),
        ("has(self.namespaces) || has(self.namespaceSelector)",
         "must have namespaces or namespaceSelector; without scope all may use the gateway"))
    return fields(
        "What people ask for.", required=["nodeSelector"],
        clusterDefault=flag("Policies that name no gateway use this one, where their namespace "
                            "has no "
                            "default. At most one gateway may say true.", default=False),
        ippools=pools,
        nodeSelector=nodes,
        scope=scope,
        whenNoGateway=word("What becomes of the traffic of policies while no node can hold their "
                           "EIP. "
                           "Drop: it is dropped. Bypass: it leaves by the pod's own node as if "
                           "there was no policy.", "Drop", "Bypass", default="Drop"),
        unservedFamily=word("What becomes of traffic in an IP family in which the policy got no "
                            "EIP.",
                            "Drop", "Allow", default="Drop"))


def gateway():
    node = fields("A node that nodeSelector matches.", required=["name"],
                  name=text("Name of the node.", minLength=1),
                  status=text("Phase of its EgressNode.", 32),
                  eips=_eips("The EIPs that it holds."))
    status = fields(
        "What is the case. Written by the controller.",
        nodeList=atomic("Every node that nodeSelector matches, with the EIPs that it holds. The "
                        "one truth about where an EIP stands.", node, _MOST_NODES),
        unplaced=_eips("EIPs in use for which no node is ready."),
        restingIds=atomic("Ids that are not given out again for a while.",
                          fields("A freed id.", id=number("The id.", 1, _MOST_IDS),
                                 until=time("When it is free again.")), _MOST_IDS),
        term=long_number("Term of the leading controller that wrote last. A lower one is ignored."),
        ipUsage=fields("How full the pools are.",
                       ipv4Total=long_number("IPv4 addresses in the pool."),
                       ipv4Free=long_number("IPv4 addresses not in use."),
                       ipv6Total=long_number("IPv6 addresses in the pool."),
                       ipv6Free=long_number("IPv6 addresses not in use.")),
        summary=fields("The above in short, for the columns of kubectl, which cannot count.",
                       nodes=text("Ready nodes of all.", 16),
                       eips=number("EIPs in use.", 0, _MOST_IDS)),
        conditions=conditions("Accepted, Ready"))
    return definition(
        "EgressGateway", "egressgateways", "Cluster",
        fields("A pool of egress IPs (EIPs) and the nodes that may hold them.", required=["spec"],
               spec=_gateway_spec(), status=status),
        [column("Default", "boolean", ".spec.clusterDefault"),
         column("Nodes", "string", ".status.summary.nodes"),
         column("EIPs", "integer", ".status.summary.eips"),
         column("Free4", "integer", ".status.ipUsage.ipv4Free"),
         column("Free6", "integer", ".status.ipUsage.ipv6Free"),
         _READY, _REASON,
         column("Default4", "string", ".spec.ippools.ipv4DefaultEIP", wide=True),
         column("Default6", "string", ".spec.ippools.ipv6DefaultEIP", wide=True)],
        short=["egw"])


# ---- the policies ------------------------------------------------------------------------------

def _applied_to(cluster):
    parts = {
        "podSelector": selector("Labels of the pods. Empty: all pods of the namespace."
                                if not cluster else
                                "Labels of the pods, in the namespaces that are selected. Empty: "
                                "all."),
        "podSubnet": atomic("Pods whose address lies in one of these. Not together with "
                            "podSelector.",
                            cidr("A CIDR or an address."), 1000),
    }
    subnets = "(has(self.podSubnet) && size(self.podSubnet) > 0)"
    some = f"has(self.podSelector) || {subnets}"
    if cluster:
        parts["namespaceSelector"] = selector("Labels of the namespaces. Alone it selects all of "
                                              "their pods. Missing: all namespaces.")
        some += " || has(self.namespaceSelector)"
    choice = "podSelector, podSubnet or namespaceSelector"
    if not cluster:
        choice = "podSelector or podSubnet"
    return rules(fields("The pods.", **parts),
                 (f"!(has(self.podSelector) && {subnets})",
                  "podSelector and podSubnet exclude each other: remove one"),
                 (some, f"selects nothing: give {choice}"))


def _policy_spec(cluster):
    name = rules(
        text("The gateway. Empty: the default of the namespace, else of the cluster. Once it is "
             "set it can't change." if not cluster else
             "The gateway. Empty: the default of the cluster. Once it is set it can't change.",
             default=""),
        ("oldSelf == '' || self == oldSelf", "can't change once it is set: make a new policy"))
    eip = rules(
        fields("The source address. Can't change after creation.",
               ipv4=optional_address(4, "This IPv4 address of the gateway's pool. Empty: by "
                                     "allocatorPolicy.", default=""),
               ipv6=optional_address(6, "This IPv6 address of the gateway's pool. Empty: by "
                                     "allocatorPolicy.", default=""),
               useNodeIP=flag("The address of the gateway node that serves the policy.",
                              default=False),
               allocatorPolicy=word("default: the gateway's default EIP. rr: an EIP that nobody "
                                    "uses, "
                                    "else the least used.", "default", "rr", default="default")),
        ("!self.useNodeIP || (self.ipv4 == '' && self.ipv6 == '')",
         "useNodeIP: true and an explicit address exclude each other: remove one"),
        ("self == oldSelf", "can't change after creation: make a new policy"))
    # Rules see a default as it is written, without the defaults of its own fields.
    eip["default"] = {"ipv4": "", "ipv6": "", "useNodeIP": False, "allocatorPolicy": "default"}
    priority = number("The smaller wins where several policies select a pod; at equal ones, "
                      "namespaced before cluster-wide, then the older." +
                      ("" if cluster else " 1 to 99 are for cluster policies."), 1, 65536,
                      default=32768 if cluster else 1000)
    if not cluster:
        rules(priority, ("self >= 100", "1 to 99 are for an EgressClusterPolicy: give 100 to "
                                        "65536"))
    return fields(
        "What people ask for.", required=["appliedTo"],
        egressGatewayName=name,
        egressIP=eip,
        appliedTo=_applied_to(cluster),
        destSubnet=atomic("Destinations. Empty: everything outside the cluster "
                          "(EgressClusterInfo).",
                          cidr("A CIDR or an address."), _MOST_CIDRS),
        excludedSubnet=atomic("Destinations left out of these.", cidr("A CIDR or an "
                                                                      "address."), _MOST_CIDRS),
        priority=priority)


def policy(kind, plural, scope, description, short):
    status = fields(
        "What is the case. Written by the controller.",
        eip=fields("The source address that the policy got.",
                   id=number("Id of the entry in the gateway's status.", 0, _MOST_IDS),
                   ipv4=text("IPv4 address.", 15),
                   ipv6=text("IPv6 address.", 45)),
        node=text("The node that holds it."),
        conditions=conditions("Accepted, Enforced, Allocated, Ready"))
    return definition(
        kind, plural, scope,
        fields(description, required=["spec"], spec=_policy_spec(scope == "Cluster"),
               status=status),
        [column("Gateway", "string", ".spec.egressGatewayName"),
         column("IPv4", "string", ".status.eip.ipv4"),
         column("IPv6", "string", ".status.eip.ipv6"),
         column("Node", "string", ".status.node"),
         _READY, _REASON,
         column("Priority", "integer", ".spec.priority", wide=True)],
        short=short)


# ---- EgressNode --------------------------------------------------------------------------------

def node():
    parent = fields("The interface that carries the tunnel. Applied by the agent.",
                    name=text("Name of the interface.", 15),
                    ipv4=found_address(4, "Its IPv4 address."),
                    ipv6=found_address(6, "Its IPv6 address."))
    tunnel = fields("The node's end of the tunnel.",
                    ipv4=found_address(4, "IPv4 address in the tunnel: the next hop of other "
                                          "nodes."),
                    ipv6=found_address(6, "IPv6 address in the tunnel."),
                    mac={"description": "MAC address in the tunnel, made from the node's name.",
                         "type": "string", "format": "mac"},
                    parent=parent)
    agent = fields("The agent that runs there. Applied by the agent.",
                   version=text("Its version.", 128),
                   protocolMin=number("Lowest version of the protocol that it speaks.", 0, 65535),
                   protocolMax=number("Highest version of the protocol that it speaks.", 0, 65535),
                   features=atomic("What else it can do.", text("A feature.", 63), 64),
                   port=number("UDP and TCP port on which it answers.", 0, 65535),
                   publicKey=text("Its public key (X25519, base64).", 64))
    status = fields(
        "What is the case. Written by the controller and by the node's agent.",
        tunnel=tunnel, agent=agent,
        phase=word("Pending: no tunnel address yet. Init: the agent has not reported. Failed: its "
                   "kernel state could not be set. Ready: it may hold EIPs. AgentDown, NodeDown, "
                   "NodeNotReady: what is missing.", *_PHASES),
        conditions=conditions("DatapathReady, EIPsUnique and PortsAvailable are the agent's, "
                              "the others the controller's"))
    return definition(
        "EgressNode", "egressnodes", "Cluster",
        fields("One for each Node: its end of the tunnel, its agent and its phase.", status=status),
        [column("Tunnel4", "string", ".status.tunnel.ipv4"),
         column("Tunnel6", "string", ".status.tunnel.ipv6"),
         column("MAC", "string", ".status.tunnel.mac"),
         column("Parent", "string", ".status.tunnel.parent.name"),
         column("Phase", "string", ".status.phase"),
         _READY, _REASON,
         column("Parent4", "string", ".status.tunnel.parent.ipv4", wide=True),
         column("Parent6", "string", ".status.tunnel.parent.ipv6", wide=True),
         column("Agent", "string", ".status.agent.version", wide=True)],
        short=["egn"])


# ---- slices ------------------------------------------------------------------------------------

def slices(kind, plural, scope, description, short):
    endpoint = fields("A pod.",
                      namespace=text("Its namespace.", 63),
                      pod=text("Its name."),
                      node=text("The node it runs on."),
                      ipv4=atomic("Its IPv4 addresses.",
                                  found_address(4, "An IPv4 address."), 8),
                      ipv6=atomic("Its IPv6 addresses.",
                                  found_address(6, "An IPv6 address."), 8))
    return definition(
        kind, plural, scope,
        fields(description, endpoints=atomic("The pods.", endpoint, 100)),
        [column("Policy", "string", r".metadata.labels.spidernet\.io/policy-name"),
         column("Gateway", "string", r".metadata.labels.spidernet\.io/egressgateway")],
        short=short, categories=())


# ---- EgressClusterInfo -------------------------------------------------------------------------

def cluster_info():
    detect = fields(
        "What the controller finds by itself.",
        podCidrMode=word("Where the pods' ranges come from. auto: from all that is there, Calico's "
                         "IPPools, Cilium, Flannel and podCIDRs of the nodes. calico: Calico's "
                         "IPPools alone. k8s: podCIDRs of the nodes alone. Empty: nowhere.",
                         "auto", "calico", "k8s", "", default="auto"),
        clusterIP=flag("The ranges of services.", default=True),
        nodeIP=flag("The addresses of nodes.", default=True),
    )
    detect["default"] = {}
    spec = fields("What people ask for.", autoDetect=detect,
                  extraCidr=atomic("More CIDRs and addresses that are inside the cluster.",
                                   cidr("A CIDR or an address."), 1000))
    spec["default"] = {}
    block = fields("32 ids that belong to a gateway.",
                   first=number("The lowest of them.", 0, _MOST_IDS),
                   gateway=text("Name of the gateway."),
                   gatewayUID=text("UID of the gateway.", 128),
                   restingUntil=time("When the block is free again, once the gateway is gone."))
    status = fields(
        "What was found, and where. Written by the controller.",
        nodeIP=mapping("Addresses of nodes, by node; of more than 250 nodes merged under 'all "
                       "nodes'.", cidr_source("Those of one node."), _MOST_NODES),
        podCIDR=mapping("Ranges of pods, by node, or by source and name (calico/POOL, "
                        "cilium/NAMESPACE, flannel/NAMESPACE); of more than 250 nodes merged "
                        "under 'all nodes'.", cidr_source("Those of one node or pool."),
                        _MOST_NODES),
        clusterIP=cidr_source("Ranges of services."),
        apiServer=cidr_source("Endpoints behind the Service default/kubernetes."),
        extraCidr=cidr_source("What of spec.extraCidr could be parsed."),
        podCidrMode=text("The mode that is in force; of auto what was found, as in calico+k8s.",
                         63),
        idBlocks=atomic("Which gateway gives out which EIP ids.", block, 1024),
        conditions=conditions("Detected, PodCIDR, ServiceCIDR, Watching, IdsAvailable"))
    root = rules(
        fields("Which addresses are inside the cluster: traffic to them is never captured. One "
               "object, "
               "named default, which the controller makes.", spec=spec, status=status),
        ("self.metadata.name == 'default'", "the one EgressClusterInfo is named default"))
    return definition(
        "EgressClusterInfo", "egressclusterinfos", "Cluster", root,
        [column("Pods", "string", ".status.podCidrMode"),
         column("Services4", "string", ".status.clusterIP.ipv4"),
         column("Services6", "string", ".status.clusterIP.ipv6"),
         column("Extra", "string", ".spec.extraCidr"),
         condition_column("Detected", "Detected")],
        short=["egci"])


def all_kinds():
    same = "Which pods of this namespace leave the cluster by which gateway and source address. "
    return [
        gateway(),
        policy("EgressGatewayPolicy", "egressgatewaypolicies", "Namespaced", same.strip(), ["egp"]),
        policy("EgressPolicy", "egresspolicies", "Namespaced",
               same + "The same as an EgressGatewayPolicy.", []),
        policy("EgressClusterPolicy", "egressclusterpolicies", "Cluster",
               "Which pods of which namespaces leave the cluster by which gateway and source "
               "address.",
               ["egcp"]),
        node(),
        slices("EgressEndpointSlice", "egressendpointslices", "Namespaced",
               "Pods that a policy of this namespace matches. Written by the "
               "controller.", ["egep"]),
        slices("EgressClusterEndpointSlice", "egressclusterendpointslices", "Cluster",
               "Pods that a cluster policy matches. Written by the controller.", ["egcep"]),
        cluster_info(),
    ]
