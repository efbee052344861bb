# SPDX-License-Identifier: Apache-2.0
"""Packets made by hand, for what no honest socket sends."""

import ipaddress
import socket
import struct

VXLAN_PORT, VNI = 7789, 100


def mac_bytes(text):
    return bytes(int(part, 16) for part in text.split(":"))


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp_packet(source, target, sport, dport, payload):
    """An IP packet (either family) with a UDP datagram, checksums right."""
    one, other = ipaddress.ip_address(source), ipaddress.ip_address(target)
    length = 8 + len(payload)
    if one.version == 4:
        pseudo = one.packed + other.packed + struct.pack("!BBH", 0, 17, length)
    else:
        pseudo = one.packed + other.packed + struct.pack("!II", length, 17)
    bare = struct.pack("!HHHH", sport, dport, length, 0) + payload
    udp = bare[:6] + struct.pack("!H", checksum(pseudo + bare) or 0xFFFF) + payload
    if one.version == 6:
        return struct.pack("!IHBB", 6 << 28, length, 17, 64) + one.packed + other.packed + udp
    head = (
        struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0, 64, 17, 0) + one.packed + other.packed
    )
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + udp


def vxlan_payload(source_mac, target_mac, inner):
    """What a VXLAN datagram carries: header (RFC 7348 section 5), Ethernet frame with an IP
    packet."""
    kind = 0x0800 if inner[0] >> 4 == 4 else 0x86DD
    return (
        struct.pack("!II", 0x08000000, VNI << 8)
        + mac_bytes(target_mac)
        + mac_bytes(source_mac)
        + struct.pack("!H", kind)
        + inner
    )


def send_udp(netns, target, payload, port=VXLAN_PORT, times=3):
    """An ordinary datagram from a namespace, as any process there can send it."""

    def send():
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            for _ in range(times):
                sock.sendto(payload, (target, port))

    netns.call(send)
