# SPDX-License-Identifier: Apache-2.0
"""What two kinds of CNI put on a node, as their nodes show it: routes, devices, sysctls, iptables
rules.

Calico: no bridge, a /32 a pod, proxy ARP, plain routes between nodes, strict rp_filter.
Flannel: a bridge, its own VXLAN between nodes."""

from .topology import POD4, POD6

CALICO_MAC = "ee:ee:ee:ee:ee:ee"
CALICO_LINK_LOCAL = "fe80::ecee:eeff:feee:eeee"  # of that MAC


def filter_table(accepts, forward_drop):
    policy = "DROP" if forward_drop else "ACCEPT"
    return "\n".join(
        [
            "*filter",
            ":INPUT ACCEPT [0:0]",
            f":FORWARD {policy} [0:0]",
            ":OUTPUT ACCEPT [0:0]",
            *accepts,
            "COMMIT",
            "",
        ]
    )


def nat_table(rules):
    chains = [f":{name} ACCEPT [0:0]" for name in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")]
    return "\n".join(["*nat", *chains, *rules, "COMMIT", ""])


def load_iptables(netns, text4, text6):
    netns.run("iptables-restore", stdin=text4)
    netns.run("ip6tables-restore", stdin=text6)


class Calico:
    name = "calico"
    pod_mtu = 1500
    sysctls = {"net.ipv4.conf.all.rp_filter": 1, "net.ipv4.conf.default.rp_filter": 1}

    def node(self, node, forward_drop):
        accepts = [
            ":cali-FORWARD - [0:0]",
            "-A FORWARD -j cali-FORWARD",
            "-A cali-FORWARD -i cali+ -m conntrack --ctstate INVALID -j DROP",
            "-A cali-FORWARD -o cali+ -m conntrack --ctstate INVALID -j DROP",
            "-A cali-FORWARD -i cali+ -j ACCEPT",
            "-A cali-FORWARD -o cali+ -j ACCEPT",
        ]
        raw = (
            "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:cali-PREROUTING - [0:0]\n"
            "-A PREROUTING -j cali-PREROUTING\n"
            "-A cali-PREROUTING -i cali+ -m rpfilter --validmark --invert -j DROP\nCOMMIT\n"
        )
        texts = []
        for pods in (POD4, POD6):
            masquerade = [
                ":cali-POSTROUTING - [0:0]",
                ":cali-nat-outgoing - [0:0]",
                "-A POSTROUTING -j cali-POSTROUTING",
                "-A cali-POSTROUTING -j cali-nat-outgoing",
                f"-A cali-nat-outgoing -s {pods} ! -d {pods} -j MASQUERADE --random-fully",
            ]
            texts.append(raw + filter_table(accepts, forward_drop) + nat_table(masquerade))
        load_iptables(node.netns, *texts)
        # Calico's own block: what is not a pod here dies here.
        node.netns.batch(
            f"route add blackhole {node.pods4} proto bird\n"
            f"route add blackhole {node.pods6} proto bird"
        )

    def peer(self, node, other):
        """`node` learns of `other`."""
        return (
            f"route replace {other.pods4} via {other.ip4} dev eth0 proto bird\n"
            f"route replace {other.pods6} via {other.ip6} dev eth0 proto bird\n"
        )

    def pod(self, node, pod):
        host = f"cali{pod.number:07x}"
        node.netns.batch(
            f"link add {host} address {CALICO_MAC} mtu {self.pod_mtu} type veth "
            f"peer name eth0 mtu {self.pod_mtu} netns {pod.netns.name}"
        )
        node.netns.sysctl(
            {
                f"net.ipv4.conf.{host}.proxy_arp": 1,
                f"net.ipv4.neigh.{host}.proxy_delay": 0,
                f"net.ipv4.conf.{host}.rp_filter": 1,
                f"net.ipv6.conf.{host}.proxy_ndp": 1,
            }
        )
        node.netns.batch(
            f"link set {host} up\nroute add {pod.ip4}/32 dev {host} scope link\n"
            f"route add {pod.ip6}/128 dev {host} metric 1024"
        )
        pod.netns.batch(f"""
            addr add {pod.ip4}/32 dev eth0
            addr add {pod.ip6}/128 dev eth0 nodad
            link set eth0 up
            route add 169.254.1.1 dev eth0 scope link
            route add default via 169.254.1.1 dev eth0
            route add default via {CALICO_LINK_LOCAL} dev eth0""")
        return host


class Flannel:
    name = "flannel"
    pod_mtu = 1450
    # What systemd sets on the distributions that Flannel is mostly seen on.
    sysctls = {"net.ipv4.conf.all.rp_filter": 2, "net.ipv4.conf.default.rp_filter": 2}

    @staticmethod
    def mac(node):
        return f"0a:58:0a:f4:00:{node.index:02x}"

    @staticmethod
    def base(node):
        return node.pods4.split("/")[0], node.pods6.split("/")[0]

    def node(self, node, forward_drop):
        texts = []
        for pods, own, multicast in (
            (POD4, node.pods4, "224.0.0.0/4"),
            (POD6, node.pods6, "ff00::/8"),
        ):
            forward = [
                ":KUBE-FORWARD - [0:0]",  # kube-proxy's
                ":FLANNEL-FWD - [0:0]",
                "-A FORWARD -j KUBE-FORWARD",
                "-A FORWARD -j FLANNEL-FWD",
                "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
                f"-A FLANNEL-FWD -s {pods} -j ACCEPT",
                f"-A FLANNEL-FWD -d {pods} -j ACCEPT",
            ]
            masquerade = [
                ":FLANNEL-POSTRTG - [0:0]",
                "-A POSTROUTING -j FLANNEL-POSTRTG",
                "-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -j RETURN",
                f"-A FLANNEL-POSTRTG -s {own} -d {pods} -j RETURN",
                f"-A FLANNEL-POSTRTG -s {pods} -d {own} -j RETURN",
                f"-A FLANNEL-POSTRTG ! -s {pods} -d {own} -j RETURN",
                f"-A FLANNEL-POSTRTG -s {pods} ! -d {multicast} -j MASQUERADE --random-fully",
                f"-A FLANNEL-POSTRTG ! -s {pods} -d {pods} -j MASQUERADE --random-fully",
            ]
            texts.append(filter_table(forward, forward_drop) + nat_table(masquerade))
        load_iptables(node.netns, *texts)
        base4, base6 = self.base(node)
        vxlan = (
            f"address {self.mac(node)} mtu {self.pod_mtu} type vxlan id 1 dstport 8472 nolearning"
        )
        vxlan += " dev eth0"
        node.netns.batch(f"""
            link add flannel.1 {vxlan} local {node.ip4}
            link add flannel-v6.1 {vxlan} local {node.ip6}
            addr add {base4}/32 dev flannel.1
            addr add {base6}/128 dev flannel-v6.1 nodad
            link set flannel.1 up
            link set flannel-v6.1 up
            link add cni0 mtu {self.pod_mtu} type bridge forward_delay 0
            addr add {base4.rsplit('.', 1)[0]}.1/20 dev cni0
            addr add {base6}1/64 dev cni0 nodad
            link set cni0 up""")
        # An IPv6 VXLAN's outer header is 20 bytes longer.
        node.netns.ip("link", "set", "flannel-v6.1", "mtu", "1430")

    def peer(self, node, other):
        base4, base6 = self.base(other)
        node.netns.run(
            "bridge",
            "-batch",
            "-",
            stdin=(
                f"fdb replace {self.mac(other)} dev flannel.1 dst {other.ip4} self permanent\n"
                f"fdb replace {self.mac(other)} dev flannel-v6.1 dst {other.ip6} self permanent\n"
            ),
        )
        return (
            f"neigh replace {base4} lladdr {self.mac(other)} dev flannel.1 nud permanent\n"
            f"neigh replace {base6} lladdr {self.mac(other)} dev flannel-v6.1 nud permanent\n"
            f"route replace {other.pods4} via {base4} dev flannel.1 onlink\n"
            f"route replace {other.pods6} via {base6} dev flannel-v6.1 onlink\n"
        )

    def pod(self, node, pod):
        host = f"veth{pod.number:07x}"
        base4, base6 = self.base(node)
        node.netns.batch(
            f"link add {host} mtu {self.pod_mtu} type veth peer name eth0 mtu {self.pod_mtu} "
            f"netns {pod.netns.name}\nlink set {host} master cni0 up\n"
            f"link set {host} type bridge_slave hairpin on"
        )
        pod.netns.batch(f"""
            addr add {pod.ip4}/20 dev eth0
            addr add {pod.ip6}/64 dev eth0 nodad
            link set eth0 up
            route add default via {base4.rsplit('.', 1)[0]}.1
            route add default via {base6}1""")
        return host


KINDS = {"calico": Calico, "flannel": Flannel}
