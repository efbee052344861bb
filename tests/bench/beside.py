# SPDX-License-Identifier: Apache-2.0
"""What egw's datapath is measured beside.

Bare forwarding: the same VXLAN hop with one SNAT rule and nothing else. By hand, too, a chosen
pod's packets go there and back by a routing rule and a table of their own on each node: a route in
the gateway's main table would take the CNI's and the node's own traffic to that pod as well. The
kernel's way of looking up routes is longer once a namespace has had a rule, so this counts:
bare_lab(reply_rule=False) has that route instead of the gateway's rule.

A rule for each policy: what egressgateway of spidernet-io does. For each policy there is an ipset
of its pods and one of its destinations, a rule in mangle on the pods' node, which marks, and one in
nat on the gateway, which translates. Marking does not end the walk: each packet passes all."""

import contextlib

from lab import Lab

EIP = "10.6.1.200"
TO_GATEWAY, TUNNELLED, REPLY = 0x26000001, 0x26000000, 0x27000001  # packet marks
OURS = "-m mark --mark 0x26000000/0xff000000"


@contextlib.contextmanager
def _closed_on_error(lab):
    try:
        yield
    except BaseException:
        lab.stop()
        raise


def _tunnelled_lab():
    """(lab, pod on n1): a VXLAN between n1 and the gateway n2, which holds the EIP. Table 500 leads
    into it on both. What Calico's rules do to such packets is switched off."""
    lab = Lab(nodes=2, cni="calico", far_server=False).start()
    with _closed_on_error(lab):
        pod = lab.add_pod("bare", "n1")
        one, two = lab.node("n1"), lab.node("n2")
        vxlan = "type vxlan id 101 dstport 7790 nolearning dev eth0"
        for node, own, peer, peer_node in ((one, 1, 2, two), (two, 2, 1, one)):
            node.netns.run("iptables", "-t", "nat", "-F", "cali-nat-outgoing")
            for side in ("-i", "-o"):
                node.netns.run("iptables", "-I", "FORWARD", "1", side, "bare0", "-j", "ACCEPT")
            node.netns.batch(f"""
                link add bare0 address 66:00:00:00:00:0{own} {vxlan} local {node.ip4}
                addr add 172.30.0.{own}/32 dev bare0
                link set bare0 up
                neigh add 172.30.0.{peer} lladdr 66:00:00:00:00:0{peer} dev bare0 nud permanent""")
            entry = f"66:00:00:00:00:0{peer} dev bare0 dst {peer_node.ip4} self permanent"
            node.netns.run("bridge", "fdb", "add", *entry.split())
            node.netns.sysctl({"net.ipv4.conf.bare0.rp_filter": 2})
        one.netns.batch("route add default via 172.30.0.2 dev bare0 onlink table 500")
        two.netns.batch(f"addr add {EIP}/32 dev eth0")
        return lab, pod


def bare_lab(reply_rule=True, gro="on"):
    """(lab, pod): the pod's packets leave with EIP, by a routing rule and one SNAT rule."""
    lab, pod = _tunnelled_lab()
    with _closed_on_error(lab):
        for node in lab.nodes.values():
            node.netns.run("ethtool", "-K", "bare0", "gro", gro)
        lab.node("n1").netns.batch(f"rule add pref 99 from {pod.ip4} lookup 500")
        back = f"route add {pod.ip4}/32 via 172.30.0.1 dev bare0 onlink"
        if reply_rule:
            back += f" table 500\nrule add pref 99 to {pod.ip4} lookup 500"
        gateway = lab.node("n2").netns
        gateway.batch(back)
        gateway.run(
            *("nft", "-f", "-"),
            stdin=(
                "table ip bare {\nchain postrouting { type nat hook postrouting priority 90;\n"
                f"ip saddr {pod.ip4} oifname eth0 snat to {EIP}\n}}\n}}\n"
            ),
        )
        return lab, pod


def _sets(lab, pod, count):
    """For ipset: three pods a policy, half of them with three destinations. The pod that is
    measured is of the one in the middle."""
    lines = ["create cluster hash:net family inet"]
    for inside in ("10.244.0.0/16", "10.96.0.0/12", *(f"{n.ip4}/32" for n in lab.nodes.values())):
        lines.append(f"add cluster {inside}")
    for number in range(count):
        lines.append(f"create src-{number} hash:net family inet")
        pods = [f"10.245.{number // 80}.{number % 80 * 3 + one}" for one in range(3)]
        if number == count // 2:
            pods[0] = pod.ip4
        lines += [f"add src-{number} {address}" for address in pods]
        if number % 2 or number == count // 2:
            lines.append(f"create dst-{number} hash:net family inet")
            ranges = [f"10.{20 + number % 200}.{part}.0/24" for part in range(2)]
            lines += [f"add dst-{number} {net}" for net in (*ranges, f"{lab.srv.ip4}/32")]
    return "\n".join([*lines, ""])


def _policy_rules(chain, count, action):
    for number in range(count):
        listed = number % 2 or number == count // 2
        to = f"--match-set dst-{number} dst" if listed else "! --match-set cluster dst"
        yield (
            f"-A {chain} -m set --match-set src-{number} src -m set {to} "
            f"-m conntrack --ctdir ORIGINAL -j {action}"
        )


def _node_rules(count):
    yield from (
        "*mangle",
        ":REQUEST - [0:0]",
        "-A PREROUTING -j REQUEST",
        f"-A PREROUTING {OURS} -j ACCEPT",
        f"-A FORWARD {OURS} -j MARK --set-xmark {TUNNELLED:#x}/0xffffffff",
        f"-A POSTROUTING -m mark --mark {TUNNELLED:#x} -j ACCEPT",
        *_policy_rules("REQUEST", count, f"MARK --set-xmark {TO_GATEWAY:#x}/0xffffffff"),
        "COMMIT",
        "*filter",
        f"-I FORWARD 1 -m mark --mark {TUNNELLED:#x} -j ACCEPT",
        f"-I OUTPUT 1 -m mark --mark {TUNNELLED:#x} -j ACCEPT",
        "COMMIT",
        "*nat",
        f"-I PREROUTING 1 {OURS} -j ACCEPT",
        f"-I POSTROUTING 1 -m mark --mark {TUNNELLED:#x} -j ACCEPT",
        "COMMIT",
        "",
    )


def _gateway_rules(count, peer_mac):
    yield from (
        "*mangle",
        ":REPLY-ROUTING - [0:0]",
        "-A PREROUTING -j REPLY-ROUTING",
        f"-A PREROUTING {OURS} -j ACCEPT",
        f"-A POSTROUTING -m mark --mark {REPLY:#x} -j MARK --set-xmark 0x0/0xffffffff",
        f"-A REPLY-ROUTING -i bare0 -m mac --mac-source {peer_mac} -m conntrack --ctdir ORIGINAL "
        f"-j MARK --set-xmark {REPLY:#x}/0xffffffff",
        f"-A REPLY-ROUTING -m mark --mark {REPLY:#x} -j CONNMARK --save-mark",
        f"-A REPLY-ROUTING -m mark --mark {REPLY:#x} -j MARK --set-xmark "
        f"{TUNNELLED:#x}/0xffffffff",
        "-A REPLY-ROUTING -m conntrack --ctdir REPLY -j CONNMARK --restore-mark",
        "COMMIT",
        "*filter",
        f"-I FORWARD 1 -m mark --mark {TUNNELLED:#x} -j ACCEPT",
        "COMMIT",
        "*nat",
        ":SNAT-EIP - [0:0]",
        "-I POSTROUTING 1 -j SNAT-EIP",
        *_policy_rules("SNAT-EIP", count, f"SNAT --to-source {EIP}"),
        "COMMIT",
        "",
    )


def rule_for_each_policy_lab(count):
    """(lab, pod): as bare_lab, by the rules of so many policies."""
    lab, pod = _tunnelled_lab()
    with _closed_on_error(lab):
        one, two = lab.node("n1").netns, lab.node("n2").netns
        one.batch(f"rule add pref 99 fwmark {TO_GATEWAY:#x} lookup 500")
        two.batch(
            "route add default via 172.30.0.1 dev bare0 onlink table 500\n"
            f"rule add pref 99 fwmark {REPLY:#x} lookup 500"
        )
        for netns, rules in (
            (one, _node_rules(count)),
            (two, _gateway_rules(count, "66:00:00:00:00:01")),
        ):
            netns.run("ipset", "restore", stdin=_sets(lab, pod, count))
            netns.run("iptables-restore", "--noflush", stdin="\n".join(rules))
        return lab, pod
