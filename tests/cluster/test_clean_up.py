# SPDX-License-Identifier: Apache-2.0
"""However a cluster ends, nothing of it is left: no process, namespace, mount, cgroup or file."""

import os
import signal
import subprocess
import sys

import pytest

import cgroups
from lab import netns
from lab.wait import until

PROGRAM = """
import sys
sys.path[:0] = sys.argv[1:]
from real_cluster import POD_IMAGE, RealCluster
from workload import Workload
cluster = RealCluster(nodes=1)
print(cluster.prefix, cluster.directory, flush=True)
with cluster:
    Workload(cluster, "billing", POD_IMAGE, replicas=1)
    cluster.rollout("deployment/billing")
    print("ready", flush=True)
    sys.stdin.read()
"""


def processes(text):
    """Those whose command line contains it."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                if text.encode() in file.read():
                    found.append(int(entry))
        except OSError:
            continue
    return found


def of_cluster(prefix, directory):
    """What there is of a cluster. A control group can't go before the last process in it, and with
    the processes of a node go its mounts and the network namespaces of its pods."""
    return {
        "namespaces": netns.named(prefix),
        "control groups": netns.run(*cgroups.command("list", prefix)).split(),
        "processes": processes(directory),
        "files": [directory] if os.path.exists(directory) else [],
    }


def of_machine():
    """What a cluster must not touch: mounts and devices of the namespaces that it is started in."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mounts = [(line.split()[4], line.partition(" - ")[2]) for line in file]
    # `ip netns` makes a mount of its folder, once.
    mounts = [mount for mount in mounts if mount[0] != netns.RUN]
    return mounts, netns.run("ip", "-o", "-br", "link")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, "by itself"])
def test_nothing_is_left_behind(end):
    machine = of_machine()
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A job in the background of a script is started with SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        which = child.stdout.readline().split()
        if end == signal.SIGINT:  # somebody sees a mistake and stops it before it is up
            log = os.path.join(which[1], "n1", "kubelet.log")
            until(lambda: os.path.exists(log), "the kubelet starts", 60)
        else:
            assert child.stdout.readline() == "ready\n"
        assert all(of_cluster(*which).values())
        if end == "by itself":
            child.stdin.close()
        else:
            child.send_signal(end)
        assert (child.wait(timeout=30) == 0) == (end == "by itself")
    finally:
        child.kill()
        child.stdout.close()
    until(lambda: not any(of_cluster(*which).values()), f"nothing of {which} left", 30, 0.1)
    assert of_machine() == machine
