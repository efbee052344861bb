# SPDX-License-Identifier: Apache-2.0
"""A cluster by hand: `tests/kubernetes/cluster.py up --dir D --nodes 3`, until Ctrl-C."""

import argparse
import shlex
import signal
import sys

from cluster import ApiServer
from kubelet import Kubelet


def main():
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = ApiServer(options.dir, options.address, options.port, options.netns,
                       controller_manager=options.controller_manager)
    try:
        with server, Kubelet(server.api) as kubelet:
            if options.manifests:
                server.apply_manifests(*options.manifests)
            for number in range(1, options.nodes + 1):
                kubelet.register_node(f"node{number}", [f"192.0.2.{number}", f"2001:db8::{number}"],
                                      [f"10.244.{number}.0/24", f"fd00:244:0:{number:x}::/64"])
            print(f"ready after {server.start_seconds:.1f} s at {server.url}; Ctrl-C ends it")
            print(f"export KUBECONFIG={server.kubeconfig}")
            print(f"alias kubectl={shlex.quote(shlex.join(server.kubectl_command()))}", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)


def _options():
    parser = argparse.ArgumentParser(prog="cluster.py", description=__doc__)
    up = parser.add_subparsers(required=True).add_parser("up", help="start, run until Ctrl-C")
    up.add_argument("--dir", required=True, help="keeps everything; used again it goes on")
    up.add_argument("--address", default="127.0.0.1")
    up.add_argument("--port", type=int, default=0, help="0: a free one")
    up.add_argument("--netns", help="an `ip netns` namespace to run in")
    up.add_argument("--controller-manager", action="store_true")
    up.add_argument("--manifests", action="append", help="apply what is below this path")
    up.add_argument("--nodes", type=int, default=0, help="nodes that are played")
    return parser.parse_args()
