# SPDX-License-Identifier: Apache-2.0
"""A lab that stays: small scripts to try things with from any terminal, and waiting for Ctrl-C."""

import os
import shlex
import shutil
import signal
import sys

from .client import __file__ as client_path
from .control import TOP, kubelet  # noqa: F401  (the import path of tests/kubernetes)
from binaries import binaries


def script(path, namespace_file, command):
    # Entered through this process: its mount namespace and root are those of the build root,
    # which a terminal outside does not have.
    text = (
        f"#!/bin/sh\n# Works while the demo is kept running (process {os.getpid()}).\n"
        f"cd / && exec nsenter --target {os.getpid()} --mount --root -- "
        f"nsenter --net={namespace_file} -- {command}\n"
    )
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(path, 0o755)


def wait(cluster, tell):
    folder = os.path.join(TOP, "build", "demo")
    os.makedirs(folder, exist_ok=True)
    config = shlex.quote(str(cluster.server.kubeconfig))
    control = cluster.wires.control.path
    kubectl = " ".join(shlex.quote(str(word)) for word in binaries().command("kubectl"))
    script(f"{folder}/kubectl", control, f'{kubectl} --kubeconfig {config} "$@"')
    script(f"{folder}/egw", control, f'{shlex.quote(cluster.egw)} "$@" --kubeconfig {config}')
    script(f"{folder}/server-log", control, f"tail -f {shlex.quote(cluster.srv.requests)}")
    for node in cluster.nodes.values():
        script(f"{folder}/{node.name}", node.netns.path, '"$@"')
    python, client = shlex.quote(sys.executable), shlex.quote(os.path.abspath(client_path))
    for pod in cluster.pods.values():
        if pod.netns:
            script(
                f"{folder}/{pod.namespace}-{pod.name}",
                pod.netns.path,
                f"sh -c 'test $# != 0 || set -- {python} {client} seen {cluster.srv.ip4}; "
                'exec "$@"\' sh "$@"',
            )
    shown = os.path.relpath(folder)
    tell.step("The cluster stays until Ctrl-C; from here or another terminal (as root):")
    pod = next(f"{p.namespace}-{p.name}" for p in cluster.pods.values() if p.netns)
    for words, what in (
        ("kubectl get egw,egp,egresspolicies,egn -A", "the objects"),
        ("egw ctl status", "what egw says about them"),
        (f"{pod}", "asks the outside server which source it sees"),
        (f"{pod} ping -c 1 {cluster.srv.ip4}", "any command in this pod"),
        ("n2 nft list table ip egw", "any command on a node"),
        ("server-log", "every request that the outside server got"),
    ):
        print(f"      {shown + '/' + words:<58} {tell.paint('2', what)}")
    print(flush=True)
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        print()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
