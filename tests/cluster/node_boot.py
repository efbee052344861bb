#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Process 1 of a node: `node_boot.py NODE.json` in the node's network namespace.

It makes the other namespaces and a root of its own (the machine's, but what is written goes to
memory), and starts containerd, kubelet, kube-proxy and flanneld. When one of them ends by itself,
so does the node; one that was killed is started again. What the file holds: nodes.py."""

import ctypes
import ipaddress
import json
import os
import signal
import string
import subprocess
import sys
import time

import cgroups

SUBNET_FILE = "/run/flannel/subnet.env"
ROOT = "/mnt"  # where the node's root is put together
# The kubelet sets these for the whole machine: here it finds a file that has what it wants.
MACHINE_SYSCTLS = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}


def mount(*options):
    subprocess.run(["mount", *map(str, options)], check=True)


def enter_namespaces(node):
    cgroups.enter(node["cgroup"])
    inside = [sys.executable, __file__, sys.argv[1], "inside"]
    options = "--uts --ipc --pid --fork --kill-child --".split()
    os.execvp("unshare", ["unshare", *options, *inside])


def become_root(path):
    """`path` becomes the root of this mount namespace, and all else goes from it. What enters it
    later, as `kubectl exec` does, arrives there: not so where only this process' root is changed,
    which may be a chroot's."""
    libc, detach = ctypes.CDLL(None, use_errno=True), 2
    with open("/proc/self/ns/mnt", encoding="ascii") as own:
        new = os.open(path, os.O_PATH)
        os.setns(own.fileno(), os.CLONE_NEWNS)  # out of the chroot
        os.fchdir(new)
        os.close(new)
    if libc.pivot_root(b".", b".") != 0 or libc.umount2(b".", detach) != 0:
        raise OSError(ctypes.get_errno(), f"pivot_root to {path}")
    os.chdir("/")


def make_root(node):
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", ROOT)
    for name in ("upper", "work", "root"):
        os.mkdir(f"{ROOT}/{name}")
    root = f"{ROOT}/root"
    layers = f"lowerdir=/,upperdir={ROOT}/upper,workdir={ROOT}/work"
    mount("-t", "overlay", "-o", layers, "overlay", root)
    mount("--rbind", "/dev", f"{root}/dev")
    mount("-t", "proc", "proc", f"{root}/proc")
    mount("-t", "sysfs", "sysfs", f"{root}/sys")
    os.makedirs(f"{root}/var/lib/containerd", exist_ok=True)
    for name in ("run", "tmp", "var/lib/containerd"):  # no overlay can stand on the root's overlay
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", f"{root}/{name}")
    for path in node["visible"]:
        os.makedirs(root + path, exist_ok=True)
        mount("--bind", path, root + path)
    become_root(root)
    mount("--make-rshared", "/")  # volumes reach containers by it; nothing of it leaves the node
    os.makedirs("/sys/fs/cgroup", exist_ok=True)
    cgroups.mount_inside("/sys/fs/cgroup")
    for name, value in MACHINE_SYSCTLS.items():
        place = f"/run/sysctl/{name}"
        os.makedirs(os.path.dirname(place), exist_ok=True)
        write(place, f"{value}\n")
        mount("--bind", place, f"/proc/sys/{name}")


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


class Daemons:
    def __init__(self, node):
        self.node, self.names = node, {}

    def start(self, name):
        with open(f"{self.node['directory']}/{name}.log", "ab") as log:
            argv = self.node["daemons"][name]
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.names[process.pid] = name

    def wait_for(self, path):
        while not os.path.exists(path):
            self.check(os.WNOHANG)
            time.sleep(0.01)

    def check(self, options=0):
        """Reaps what containers left as well."""
        try:
            pid, status = os.waitpid(-1, options)
        except ChildProcessError:
            return
        if pid not in self.names:
            return
        name, code = self.names.pop(pid), os.waitstatus_to_exitcode(status)
        if code != -signal.SIGKILL:
            sys.exit(f"{name} ended with status {code}")
        self.start(name)


def read_subnets():
    """flanneld's file: in it ranges are written as their first address."""
    with open(SUBNET_FILE, encoding="ascii") as file:
        found = dict(line.strip().split("=", 1) for line in file)
    return {k: ipaddress.ip_interface(v).network if "/" in v else v for k, v in found.items()}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        node = json.load(file)
    if sys.argv[2:] != ["inside"]:
        enter_namespaces(node)
    make_root(node)
    write("/proc/sys/kernel/hostname", node["name"])
    for path, text in node["files"].items():
        write(path, text)
    os.environ.update(node["environment"])
    daemons = Daemons(node)
    daemons.start("containerd")
    daemons.wait_for("/run/containerd/containerd.sock")
    for name in ("kubelet", "kube-proxy", "flanneld"):
        daemons.start(name)
    subprocess.run(node["import"], check=True)
    # With the network's configuration the node becomes Ready: not before its images are there.
    daemons.wait_for(SUBNET_FILE)
    write(node["network_file"], string.Template(node["network"]).substitute(read_subnets()))
    while True:
        daemons.check()


if __name__ == "__main__":
    main()
