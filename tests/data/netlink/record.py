#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records what the kernel says over netlink, for the byte tests of src/net.

    ./dev shell unshare -n python3 tests/data/netlink/record.py

Each .bin holds datagrams as they came, one after another. Needs root; the namespace ends with
the script.
"""
import pathlib
import socket
import struct
import subprocess

HERE = pathlib.Path(__file__).parent
ROUTE, NETFILTER = 0, 12
DUMP, ACK = 0x301, 0x5
NFT, CONNTRACK = 10 << 8, 1 << 8


def run(command):
    subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)


def opened(bus, *groups):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, bus)
    s.setsockopt(270, 11, 1)  # SOL_NETLINK, NETLINK_EXT_ACK
    s.bind((0, 0))
    for group in groups:
        s.setsockopt(270, 1, group)  # NETLINK_ADD_MEMBERSHIP
    s.settimeout(2)
    return s


def attribute(kind, data):
    size = 4 + len(data)
    return struct.pack("HH", size, kind) + data + b"\0" * (-size % 4)


def message(kind, flags, body):
    return struct.pack("IHHII", 16 + len(body), kind, flags, 1, 0) + body


def ended(part):
    at = 0
    while at < len(part):
        size, kind = struct.unpack_from("IH", part, at)
        if kind in (2, 3):  # ERROR, DONE
            return True
        at += size + -size % 4
    return False


def record(name, bus, kind, body, flags=DUMP):
    with opened(bus) as s:
        s.send(message(kind, flags, body))
        data = b""
        while True:
            part = s.recv(1 << 17)
            data += part
            if flags != DUMP or ended(part):
                break
    (HERE / f"{name}.bin").write_bytes(data)


def drain(s):
    data = b""
    s.setblocking(False)
    while True:
        try:
            data += s.recv(1 << 17)
        except BlockingIOError:
            return data


def text(kind, value):
    return attribute(kind, value.encode() + b"\0")


run("ip link set lo up && ip link add up0 address 02:00:00:00:00:01 type veth peer name peer0 && "
    "ip link set up0 up && ip link set peer0 up && ip addr add 192.0.2.1/24 dev up0 && "
    "ip addr add 2001:db8::1/64 dev up0 nodad && ip route add default via 192.0.2.2 && "
    "ip -6 route add default via 2001:db8::2 metric 7")
events = opened(ROUTE, 1, 3, 5, 7, 8, 9, 11, 19)
run("ip link add egw0 address 66:00:00:00:00:01 mtu 1450 type vxlan id 100 dstport 7789 "
    "local 192.0.2.1 dev up0 nolearning && ip link set egw0 alias 'egw tunnel' addrgenmode none && "
    "ip link set egw0 group 217 && sysctl -q net.ipv4.conf.egw0.rp_filter=2 && "
    "sysctl -q net.ipv4.conf.egw0.src_valid_mark=1 && ip link set egw0 up && "
    "ip addr add 172.31.0.1/32 dev egw0 proto 217 && "
    "ip addr add fe80::6600:1/64 dev egw0 nodad proto 217 && "
    "ip addr add 192.0.2.50/32 dev up0 scope link preferred_lft 0 proto 217 && "
    "ip addr add 2001:db8::50/128 dev up0 nodad noprefixroute preferred_lft 0 proto 217 && "
    "ip neigh add 172.31.0.2 lladdr 66:00:00:00:00:02 dev egw0 nud permanent && "
    "ip neigh add fe80::6600:2 lladdr 66:00:00:00:00:02 dev egw0 nud permanent && "
    "bridge fdb add 66:00:00:00:00:02 dev egw0 dst 192.0.2.2 && "
    "ip route add default via 172.31.0.2 dev egw0 onlink table 7702 metric 1 proto 217 && "
    "ip route add blackhole default table 7702 metric 4294967295 proto 217 && "
    "ip route add throw 10.1.0.0/16 table 7702 proto 217 && "
    "ip -6 route add fd00:1::5/128 via fe80::6600:2 dev egw0 onlink table 7700 proto 217 && "
    "ip rule add pref 98 fwmark 0/0x307f goto 100 proto 217 && "
    "ip rule add pref 99 fwmark 1/0x307f lookup 7700 proto 217 && "
    "ip rule add pref 100 nop proto 217 && "
    "ip rule add pref 97 from 10.0.0.0/8 lookup 7700 proto 217")
(HERE / "events_make.bin").write_bytes(drain(events))
record("links", ROUTE, 18, bytes(16) + attribute(29, struct.pack("I", 8)))
record("addresses", ROUTE, 22, bytes(8))
record("routes_v4", ROUTE, 26, bytes([2]) + bytes(11))
record("routes_v6", ROUTE, 26, bytes([10]) + bytes(11))
record("rules", ROUTE, 34, bytes([2]) + bytes(11))
index = struct.pack("i", socket.if_nametoindex("egw0"))
record("neighbours_v4", ROUTE, 30, bytes([2]) + bytes(11) + attribute(8, index))
record("neighbours_v6", ROUTE, 30, bytes([10]) + bytes(11) + attribute(8, index))
record("fdb", ROUTE, 30, bytes([7, 0, 0, 0]) + index + bytes(4))
record("refused_route", ROUTE, 24, struct.pack("BBBBBBBBI", 2, 0, 0, 0, 0, 217, 0, 1, 4) +
       attribute(15, struct.pack("I", 7711)) + attribute(4, index) +
       attribute(5, bytes([224, 0, 0, 9])), ACK)
record("refused_link", ROUTE, 18, bytes(16) + text(3, "missing0"), 1)

tables = opened(NETFILTER, 7)
subprocess.run(["nft", "-f", "-"], check=True, text=True, input="""
table ip egw {
  set cluster {
    type ipv4_addr; flags interval
    elements = { 10.0.0.0/8, 127.0.0.0/8, 224.0.0.0/3 }
  }
  set macs { type ipv4_addr . ether_addr; elements = { 10.1.0.5 . 66:00:00:00:00:02 } }
  set alive { type nf_proto; flags timeout; elements = { ipv4 timeout 1h } }
  map eips { type mark : ipv4_addr; elements = { 0x00010000 : 192.0.2.50 } }
  map pods {
    type ipv4_addr : verdict
    elements = { 10.1.0.5 : goto eip_1, 10.1.0.6 : drop }
  }
  chain eip_1 {
    ct state new ct mark set ct mark & 0x0000ffff | 0x00010000
    meta mark set meta mark & 0xffffcf80 | 0x00000004 accept
  }
  chain raw_pre {
    type filter hook prerouting priority -310;
    udp dport 7789 ip saddr @cluster notrack accept
    udp dport 7789 fib daddr type local drop
  }
  chain prerouting {
    type filter hook prerouting priority -95;
    iifname "egw0" ip saddr vmap @pods
    ct direction reply return
  }
  chain forward {
    type filter hook forward priority -160;
    tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu
  }
  chain postrouting {
    type nat hook postrouting priority 90;
    oifname "egw0" snat to ip saddr
    snat to ct mark & 0x7fff0000 map @eips
  }
}
table ip other {
  chain foreign {
    log prefix "x"
    limit rate 1/second accept
  }
}
""")
run("iptables-nft -P FORWARD DROP && iptables-nft -A FORWARD -i egw0 -j ACCEPT && "
    "iptables-nft -A FORWARD -o egw0 -j ACCEPT && "
    "iptables-nft -A FORWARD -m conntrack --ctstate INVALID -j DROP")
header = bytes([2, 0, 0, 0])
record("nft_chains", NETFILTER, NFT | 4, header)
record("nft_sets", NETFILTER, NFT | 10, header + text(1, "egw"))
record("nft_rules", NETFILTER, NFT | 7, header)
for name in ("cluster", "macs", "eips", "pods"):
    record(f"nft_elements_{name}", NETFILTER, NFT | 13, header + text(1, "egw") + text(2, name))
run("nft add element ip egw alive '{ ipv4 timeout 2h }' && nft add rule ip other foreign drop && "
    "nft add element ip egw eips '{ 0x00020000 : 192.0.2.51 }' && nft add table inet egw")
(HERE / "events_nft.bin").write_bytes(drain(tables))

run("nft add rule ip egw postrouting accept && ping -c 1 -W 1 192.0.2.1 && "
    "ping -6 -c 1 -W 1 2001:db8::1")
run("conntrack -I -p tcp -s 10.1.0.5 -d 198.51.100.7 --sport 40000 --dport 443 "
    "--state ESTABLISHED --timeout 600 --mark 0x10001 -q 192.0.2.50 -r 198.51.100.7 "
    "--reply-port-src 443 --reply-port-dst 40000")
record("connections", NETFILTER, CONNTRACK | 1, bytes(4))

events = opened(ROUTE, 1, 3, 5, 7, 8, 9, 11, 19)
run("ip link set egw0 down && ip addr del 2001:db8::50/128 dev up0 && ip rule del pref 98 && "
    "ip link del egw0")
(HERE / "events_harm.bin").write_bytes(drain(events))
