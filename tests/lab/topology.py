# SPDX-License-Identifier: Apache-2.0
"""The wires outside the cluster: a switch, a router, outside servers, and the addresses of
everything.

10.6.0.0/16, fd06::/64   the segment of the nodes (underlay); .0.1 router, .0.5 control plane,
                         .0.11 ... nodes, .9.1 and .9.2 an outside server; EIPs from 10.6.1.0/24
10.7.0.0/24, fd07::/64   a second outside server behind the router
10.244.(16 N).0/20, fd00:244:0:N::/64   pods of node N"""

import os

from .traffic import Server

ROUTER4, ROUTER6 = "10.6.0.1", "fd06::1"
CONTROL4, CONTROL6 = "10.6.0.5", "fd06::5"
SERVER = ("10.6.9.1", "10.6.9.2", "fd06::9:1", "fd06::9:2")
FAR_SERVER = ("10.7.0.1", "fd07::1")
POD4, POD6 = "10.244.0.0/16", "fd00:244::/48"


def node4(index):
    return f"10.6.0.{10 + index}"


def node6(index):
    return f"fd06::{10 + index}"


class Wires:
    def __init__(self, lab):
        self.lab = lab
        self.ports = {}  # name -> the namespace whose eth0 is plugged in there
        self.switch = lab.netns("sw")
        self.switch.sysctl(
            {"net.ipv6.conf.all.disable_ipv6": 1, "net.ipv6.conf.default.disable_ipv6": 1}
        )
        self.switch.batch(
            "link add br0 type bridge forward_delay 0 mcast_snooping 0\nlink set br0 up"
        )
        # Where the module br_netfilter is loaded, a switch would send all through iptables.
        if self.switch.call(os.path.exists, "/proc/sys/net/bridge"):
            tools = ("iptables", "ip6tables", "arptables")
            self.switch.sysctl({f"net.bridge.bridge-nf-call-{tool}": 0 for tool in tools})
        self.router = self.host("rt", ROUTER4, ROUTER6, gateway=False)
        self.router.sysctl({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1})
        self.control = self.host("cp", CONTROL4, CONTROL6)

    def host(self, name, ip4, ip6, gateway=True):
        """A namespace with eth0 on the switch."""
        space = self.lab.netns(name)
        self.plug(space, name)
        space.batch(
            f"addr add {ip4}/16 dev eth0\naddr add {ip6}/64 dev eth0 nodad\nlink set eth0 up"
        )
        if gateway:
            space.batch(f"route add default via {ROUTER4}\nroute add default via {ROUTER6}")
        return space

    def plug(self, space, name):
        self.switch.batch(
            f"link add p-{name} type veth peer name eth0 netns {space.name}\n"
            f"link set p-{name} master br0 up"
        )
        self.ports[name] = space

    def like_hardware(self):
        """A veth hands on what was never cut into segments, and merges none. From now on the switch
        cuts, and the hosts merge what comes, as network cards and their drivers do."""
        cut = ("tso", "gso", "tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation")
        for name, host in self.ports.items():
            off = [word for feature in cut for word in (feature, "off")]
            self.switch.run("ethtool", "-K", f"p-{name}", *off)
            host.run("ethtool", "-K", "eth0", "gro", "on")

    def wait_up(self):
        for space in self.lab.spaces:
            if space is not self.switch:
                space.wait_up("eth0")
        self.switch.wait_up("br0", *(f"p-{name}" for name in self.ports))

    def cable(self, name, up):
        """Pull or plug the switch's end of a host's cable: both ends see the carrier go."""
        self.switch.ip("link", "set", f"p-{name}", "up" if up else "down")

    def silence(self, name, silent):
        """The switch's port swallows everything while both ends keep their carrier. (Without a
        carrier the kernel keeps packets in the neighbour's queue and sends them later.)"""
        self.switch.run("bridge", "link", "set", "dev", f"p-{name}", "state", 0 if silent else 3)

    def server(self):
        first4, second4, first6, second6 = SERVER
        space = self.host("srv", first4, first6)
        space.batch(f"addr add {second4}/16 dev eth0\naddr add {second6}/64 dev eth0 nodad")
        return Server(self.lab, space, "srv", SERVER)

    def far_server(self):
        space = self.lab.netns("srv2")
        ip4, ip6 = FAR_SERVER
        self.router.batch(
            f"link add eth1 type veth peer name eth0 netns {space.name}\n"
            "addr add 10.7.0.254/24 dev eth1\naddr add fd07::fe/64 dev eth1 nodad\nlink set eth1 up"
        )
        space.batch(
            f"addr add {ip4}/24 dev eth0\naddr add {ip6}/64 dev eth0 nodad\nlink set eth0 up\n"
            "route add default via 10.7.0.254\nroute add default via fd07::fe"
        )
        return Server(self.lab, space, "srv2", FAR_SERVER)
