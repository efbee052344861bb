#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server outside the cluster: says to every client which source it saw, and counts every
packet.

TCP and UDP on --port at each --address. A request is one JSON line (UDP: one datagram) with any
`id`; the answer is {"src", "sport", "dst", "id"}. {"push": SECONDS, "id"} on TCP makes the server
send {"n": 0}, {"n": 1}, ... by itself while it goes on answering.

A raw socket on --device notes source, protocol, destination and port of every IP packet that
arrives for one of the addresses, SYNs and packets nobody answers included: what it did not see
did not come.

--control is a unix socket: one JSON request a line, one JSON answer a line (see `control`)."""

import argparse
import asyncio
import collections
import json
import os
import socket
import struct
import sys
import time

ETH_P_IP, ETH_P_IPV6, ETH_P_ALL = 0x0800, 0x86DD, 0x0003
PACKET_OUTGOING = 4
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_RCVBUFFORCE = 33
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp"}
# Neighbour discovery and redirects are about the link, not traffic of pods. A host that forwards
# answers by a redirect what was sent to an address it no longer has.
ICMP_REDIRECT = 5
NEIGHBOUR_DISCOVERY = range(133, 138)


class Sniffer:
    def __init__(self, device, addresses):
        self.addresses = set(addresses)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self.socket.bind((device, ETH_P_ALL))
        self.socket.setblocking(False)
        self.clear()

    def clear(self):
        self.drain() if hasattr(self, "seen") else None
        self.seen = collections.defaultdict(
            lambda: {"packets": 0, "syn": 0, "first": 0.0, "last": 0.0}
        )

    def drain(self):
        while True:
            try:
                data, origin = self.socket.recvfrom(128)
            except BlockingIOError:
                return
            if origin[2] != PACKET_OUTGOING:
                self.note(data, origin[1])

    def note(self, data, kind):
        if kind == ETH_P_IP and len(data) >= 20:
            protocol, header = data[9], (data[0] & 15) * 4
            source, target = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
            if protocol == 1 and len(data) > header and data[header] == ICMP_REDIRECT:
                return
        elif kind == ETH_P_IPV6 and len(data) >= 40:
            protocol, header = data[6], 40
            source = socket.inet_ntop(socket.AF_INET6, data[8:24])
            target = socket.inet_ntop(socket.AF_INET6, data[24:40])
            if protocol == 58 and len(data) > 40 and data[40] in NEIGHBOUR_DISCOVERY:
                return
        else:
            return
        if target not in self.addresses:
            return
        port = syn = 0
        if protocol in (6, 17) and len(data) >= header + 4:
            port = struct.unpack_from("!H", data, header + 2)[0]
        if protocol == 6 and len(data) > header + 13:
            syn = int(data[header + 13] & 0x12 == 0x02)
        entry = self.seen[(source, PROTOCOLS.get(protocol, str(protocol)), target, port)]
        now = time.time()
        entry["packets"] += 1
        entry["syn"] += syn
        if not entry["first"]:  # what it was, for who has to find out why it came
            entry["first"], entry["sample"] = now, data[:60].hex()
        entry["last"] = now

    def lost(self):
        """Packets that the kernel could not hand to this socket since the last call."""
        return struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]


class Server:
    def __init__(self, options):
        self.log = open(options.log, "a", encoding="utf-8", buffering=1) if options.log else None
        self.sniffer = Sniffer(options.device, options.address)
        self.flows = {}  # id of a pushing connection -> what arrived from its client

    def note(self, protocol, source, sport, target, ident):
        if self.log:
            self.log.write(
                json.dumps(
                    {
                        "time": time.time(),
                        "proto": protocol,
                        "src": source,
                        "sport": sport,
                        "dst": target,
                        "id": ident,
                    }
                )
                + "\n"
            )

    def answer(self, protocol, peer, target, line):
        try:
            request = json.loads(line)
        except ValueError:
            return None, None
        if not isinstance(request, dict):
            return None, None
        self.note(protocol, peer[0], peer[1], target, request.get("id"))
        return (
            request,
            json.dumps(
                {"src": peer[0], "sport": peer[1], "dst": target, "id": request.get("id")}
            ).encode()
            + b"\n",
        )

    async def tcp(self, reader, writer):
        peer, target = writer.get_extra_info("peername"), writer.get_extra_info("sockname")[0]
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pusher = None
        try:
            while line := await reader.readline():
                request, said = self.answer("tcp", peer, target, line)
                if said is None:
                    break
                if "n" in request:
                    flow = self.flows.setdefault(
                        str(request.get("id")), {"received": 0, "next": 0, "wrong": 0}
                    )
                    flow["wrong"] += request["n"] != flow["next"]
                    flow["next"] = request["n"] + 1
                    flow["received"] += 1
                if "push" in request and pusher is None:
                    pusher = asyncio.create_task(self.push(writer, float(request["push"])))
                writer.write(said)
        except (ConnectionError, TimeoutError, OSError):
            pass  # the client's end went away: its own statistics tell
        finally:
            if pusher:
                pusher.cancel()
            writer.close()

    async def push(self, writer, pause):
        n = 0
        while True:
            writer.write(json.dumps({"pushed": n}).encode() + b"\n")
            n += 1
            await asyncio.sleep(pause)

    async def control(self, reader, writer):
        while line := await reader.readline():
            request = json.loads(line)
            said = {}
            if request["do"] == "flow":
                said = self.flows.get(request["id"])
            elif self.sniffer is None:
                said = {"error": "the sniffer was stopped"}
            elif request["do"] == "sources":
                self.sniffer.drain()
                said = {
                    "lost": self.sniffer.lost(),
                    "seen": [
                        {"src": k[0], "proto": k[1], "dst": k[2], "dport": k[3], **v}
                        for k, v in self.sniffer.seen.items()
                    ],
                }
            elif request["do"] == "clear":
                self.sniffer.clear()
                self.sniffer.lost()
            elif request["do"] == "stop sniffing":
                asyncio.get_running_loop().remove_reader(self.sniffer.socket)
                self.sniffer.socket.close()
                self.sniffer = None
            writer.write(json.dumps(said).encode() + b"\n")
            await writer.drain()
        writer.close()


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server, target):
        self.server, self.target, self.transport = server, target, None

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        _, said = self.server.answer("udp", addr, self.target, data)
        if said is not None:
            self.transport.sendto(said, addr)


def udp_socket(address, port):
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    # On a busy machine this process may not run for a second: nothing may be lost here meanwhile.
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
    sock.setblocking(False)
    sock.bind((address, port))
    return sock


async def main(options):
    loop = asyncio.get_running_loop()
    server = Server(options)
    loop.add_reader(server.sniffer.socket, server.sniffer.drain)
    for address in options.address:
        await asyncio.start_server(server.tcp, address, options.port, backlog=1024)
        await loop.create_datagram_endpoint(
            lambda a=address: Datagrams(server, a), sock=udp_socket(address, options.port)
        )
    await asyncio.start_unix_server(server.control, options.control)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--address", action="append", required=True)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--device", default="eth0")
    parser.add_argument("--control", required=True)
    parser.add_argument("--log")
    arguments = parser.parse_args()
    if os.path.exists(arguments.control):
        os.unlink(arguments.control)
    try:
        asyncio.run(main(arguments))
    except KeyboardInterrupt:
        sys.exit(130)
